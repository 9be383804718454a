"""The command line: subcommands and nothing else. `simreal COMMAND --help` tells the options."""

import sys

import tyro

from simreal.commands import COMMANDS
from simreal.exits import exit_code


def main(arguments: list[str] | None = None) -> int:
    """Run a command; errors of the user are one line on standard error and exit code 2."""
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="simreal",
        description="Take a robot policy from simulation to a target, and learn whether that helped.",
        args=sys.argv[1:] if arguments is None else arguments,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagConversionOff)[:1],
    )
    return exit_code("simreal", command.execute)


def entry() -> None:
    """Exit with the code of `main`."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
