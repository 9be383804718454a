"""What every command has: its run folder, its options, and `result.json` at the end."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from simreal.errors import SimrealError
from simreal.progress import be_quiet
from simreal.results import write_result


@dataclass(frozen=True)
class Common:
    """Options of every command."""

    out: Path | None = None
    """Run folder for the results; runs/COMMAND by default."""
    seed: int = 0
    """Of everything random."""
    quiet: bool = False
    """Print nothing but errors."""
    json: bool = False
    """Print result.json at the end."""
    overwrite: bool = False
    """Replace an earlier result in the run folder."""
    products: ClassVar[tuple[str, ...]] = ()
    """What a command writes beside `result.json` and does not replace unasked."""

    def folder(self) -> Path:
        """Return the run folder."""
        return self.out or Path("runs") / type(self).__name__.lower()

    def execute(self) -> None:
        """Do the work, write `result.json`, and print it if asked."""
        be_quiet(self.quiet)
        started = time.perf_counter()
        path = self.folder() / "result.json"
        self._check_folder()
        parts = self.work()
        if parts is not None:
            seconds = time.perf_counter() - started
            write_result(path, type(self).__name__.lower(), self.seed, seconds, **parts)
        if self.json:
            print(path.read_text(encoding="utf-8"), end="")

    def _check_folder(self) -> None:
        """Refuse a folder that has what is to be written there, before anything is computed."""
        if self.folder().exists() and not self.folder().is_dir():
            raise SimrealError(f"--out {self.folder()}: is a file; results are a folder of files")
        if self.overwrite or getattr(self, "resume", False):
            return
        for name in ("result.json", *self.products):
            if (self.folder() / name).exists():
                raise SimrealError(
                    f"{self.folder() / name} exists already: choose another --out, or add --overwrite"
                )

    def work(self) -> dict[str, Any] | None:
        """Return the parts of `result.json`; None if it has been written already."""
        raise NotImplementedError
