"""How a program ends: what the user can act on is one line on standard error, and an exit code."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import tyro

from envs import DomainError
from policies import BundleError
from simreal import workers
from simreal.errors import SimrealError
from simreal.interruption import Interruption

Options = TypeVar("Options")


def exit_code(program: str, work: Callable[[], None]) -> int:
    """Do the work, on one thread; return 0, 2 for an error of the user's, or 130 for ctrl-C."""
    try:
        with Interruption(), workers.threads(1):
            work()
    except (SimrealError, DomainError, BundleError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        workers.shut_down()
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def run_script(main: Callable[[Options], None], options: type[Options]) -> NoReturn:
    """Run a script with the options of its command line, and exit as `simreal` does."""
    sys.exit(exit_code(Path(sys.argv[0]).name, lambda: main(tyro.cli(options))))
