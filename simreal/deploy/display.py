"""What a person sees while a loop runs: state, rate, and how well it keeps time."""

import contextlib
from collections.abc import Iterator

from rich.live import Live
from rich.table import Table

from simreal.deploy.loop import ControlLoop
from simreal.deploy.states import Transition
from simreal.progress import console, say

_TIMES = ("lateness", "jitter", "age", "work")
_COLUMNS = (("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9))
_PER_SECOND = 4


@contextlib.contextmanager
def watched(loop: ControlLoop) -> Iterator[None]:
    """Show a loop while the block lasts; without a terminal nothing is shown."""
    if console.quiet or not console.is_terminal:
        yield
        return
    with Live(get_renderable=lambda: view(loop), console=console, refresh_per_second=_PER_SECOND):
        yield


def view(loop: ControlLoop) -> Table:
    """Return the present figures of a loop as a table."""
    timing, machine = loop.clock.timing, loop.supervisor.machine
    rate = 1 / max(loop.safety.period_s, 1e-9)
    title = f"{machine.state} ({machine.cause})  {rate:.0f} commands/s  {timing.ticks:,} ticks"
    table = Table("ms", *(name for name, _ in _COLUMNS), "max", title=title, title_justify="left")
    for name in _TIMES:
        histogram = getattr(timing, name)
        shares = (f"{1e3 * histogram.percentile(share):.2f}" for _, share in _COLUMNS)
        table.add_row(name, *shares, f"{1e3 * histogram.maximum:.2f}")
    changed = ", ".join(f"{name} {count:,}" for name, count in loop.steering.changed.items()) or "nothing"
    table.caption = f"late {timing.late:,}, missed {timing.missed:,}; changed by limits: {changed}"
    return table


def tell(change: Transition) -> None:
    """Print a change of state."""
    say(f"  {change.before} -> {change.after}: {change.cause}")
