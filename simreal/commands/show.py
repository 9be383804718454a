"""`report`, `doctor`: what there is, for people."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simreal.commands.common import Common
from simreal.doctor import examine
from simreal.progress import be_quiet, say
from simreal.report import build


@dataclass(frozen=True)
class Report(Common):
    """Run folder -> HTML."""

    def execute(self) -> None:
        """Write the page of the run folder `--out`."""
        be_quiet(self.quiet)
        say(f"report: {build(self.out or Path('runs/run'))}")


@dataclass(frozen=True)
class Doctor(Common):
    """What is installed, what renders, how fast this machine is."""

    def work(self) -> dict[str, Any]:
        """Examine, and print what was found."""
        found = examine()
        for name, value in found.items():
            say(f"{name:<28} {value}")
        return {"benchmark": found}
