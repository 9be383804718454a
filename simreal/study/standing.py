"""How a study stands while it runs: of candidates x targets the mean success so far, and the cells done."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rich.table import Table as Grid

from simreal.progress import console, progress, say
from simreal.study.cells import Cell
from simreal.study.table import Table

Told = Callable[[Cell, float | None], None]


@dataclass
class _Count:
    cells: int = 0
    done: int = 0
    """With what could not be computed."""
    rates: int = 0
    total: float = 0.0

    def add(self, rate: float | None) -> None:
        self.done += 1
        if rate is not None:
            self.rates += 1
            self.total += rate

    def __str__(self) -> str:
        mean = f"{self.total / self.rates:.2f}" if self.rates else "-"
        return f"{mean} {self.done}/{self.cells}" if self.cells else ""


class Standing:
    """Counts of cells by candidate and target; rich prints it as a table."""

    def __init__(self, cells: Mapping[str, Cell], table: Table) -> None:
        """Count cells, which go by their keys, and what the table has of them."""
        self._counts: dict[tuple[str, str], _Count] = {}
        for key, each in cells.items():
            self._of(each).cells += 1
            if key in table:
                self.add(each, table[key]["success_rate"])

    def add(self, each: Cell, rate: float | None) -> None:
        """Count a cell as done; the rate is None if it could not be computed."""
        self._of(each).add(rate)

    def __rich__(self) -> Grid:
        candidates, targets = (list(dict.fromkeys(names)) for names in zip(*self._counts, strict=True))
        # The longer list goes down: a terminal scrolls, and is narrow.
        across, down, turned = candidates, targets, True
        if len(candidates) > len(targets):
            across, down, turned = targets, candidates, False
        grid = Grid("", *across, title="mean success so far, cells done", title_justify="left", min_width=1)
        for row in down:
            pairs = [(name, row) if turned else (row, name) for name in across]
            grid.add_row(row, *(str(self._counts.get(pair, "")) for pair in pairs))
        return grid

    def _of(self, each: Cell) -> _Count:
        return self._counts.setdefault((each.candidate, each.target.label), _Count())


@contextlib.contextmanager
def watched(name: str, cells: Mapping[str, Cell], table: Table) -> Iterator[Told]:
    """Show how a study stands while the block lasts; call what is given with every cell that is done.

    Without a terminal a line is printed at every tenth.
    """
    standing = Standing(cells, table)
    total = sum(key not in table for key in cells)
    started, count = time.monotonic(), 0
    with progress(name, total, "cells", standing if total else None) as advance:

        def told(each: Cell, rate: float | None) -> None:
            nonlocal count
            count += 1
            standing.add(each, rate)
            advance(1)
            tenths = [10 * number // total for number in (count - 1, count)]
            if tenths[0] < tenths[1] < 10 and not console.is_terminal:
                left = (time.monotonic() - started) / count * (total - count)
                say(f"  {name}: {count:,} of {total:,} cells, {left / 60:.0f} min left")

        yield told
