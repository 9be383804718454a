"""Progress of anything over a few seconds: a bar with a rate and the time left."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from simreal.interruption import Interruption

console = Console(stderr=True, highlight=False)


def be_quiet(quiet: bool) -> None:
    """Print nothing from now on, or print again."""
    console.quiet = quiet


def say(message: str) -> None:
    """Print a line for people, unless they asked for quiet."""
    console.print(message, soft_wrap=True)


class _Bar(Progress):
    """A bar, and what is shown below it: a terminal that is too low cuts that off first."""

    below: RenderableType | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.below is not None:
            yield self.below


@contextlib.contextmanager
def progress(
    what: str, total: int, unit: str, below: RenderableType | None = None
) -> Iterator[Callable[[int], None]]:
    """Show a bar; call what is given with the number of units just done, which also heeds ctrl-C.

    Without a terminal one line is printed at the end, so that a log stays readable.

    Args:
        what: Is done.
        total: Units, as far as is known beforehand; beyond it the bar tells no end.
        unit: In the plural.
        below: Shown below the bar on a terminal.
    """
    started, done = time.perf_counter(), 0
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
    )  # fmt: skip
    bar = _Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
    bar.below = below
    with bar, Interruption() as interruption:
        task = bar.add_task(what, total=total, rate="")

        def advance(count: int) -> None:
            nonlocal done
            done += count
            rate = f"{done / max(time.perf_counter() - started, 1e-9):,.1f} {unit}/s"
            bar.update(task, advance=count, rate=rate)
            if done > total:  # and nobody knows how many more
                bar.tasks[0].total = None
            interruption.check()

        yield advance
    seconds = time.perf_counter() - started
    console.print(f"  {what}: {done:,} {unit} in {seconds:.0f} s ({done / seconds:,.1f} {unit}/s)")
