"""The results of a study's cells: a parquet file, and a journal of what came since it was written."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from simreal.errors import SimrealError
from simreal.results import to_plain
from simreal.study.cells import Cell, Source

_MERGE_S = 60.0  # merging 10,000 cells takes about a second


class Table:
    """Results of cells, each safe on disk as soon as it is added.

    Writing the whole parquet file after every cell is quadratic: 0.1 s a cell beyond 3,000. So a cell is
    a line of JSON at the end of a journal, `cells.journal` beside `cells.parquet`, and the journal is
    merged into the parquet file when it has grown as long, after a minute, and at the end. Killed at any
    moment, what the two have together is every cell but one that was being written.
    """

    def __init__(self, path: Path, copy: Callable[[Path], None] | None = None) -> None:
        """Open the table, or start one; nothing is written before a cell is added.

        Args:
            path: The parquet file.
            copy: Called with it whenever it was written.

        Raises:
            SimrealError: if a file is damaged.
        """
        self.path, self.journal = path, path.with_suffix(".journal")
        self._copy = copy
        journalled = _journalled(self.journal)  # first: another process may merge it before the next line
        rows = _merged(path)
        self._rows: dict[str, dict[str, Any]] = {row["key"]: row for row in rows}
        self._merged, self._merged_s = len(rows), time.monotonic()
        self._appending: BinaryIO | None = None
        self._unmerged = 0
        for row in journalled:
            self._rows[row["key"]] = row
            self._unmerged += 1

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._rows.values())

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._rows[key]

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row."""
        if self._appending is None:
            self.merge()  # what an interruption left, and perhaps half a line behind it
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._appending = self.journal.open("ab")
        self._rows[row["key"]] = row
        self._appending.write(json.dumps(to_plain(row)).encode() + b"\n")
        self._appending.flush()
        self._unmerged += 1
        if self._unmerged >= self._merged or time.monotonic() - self._merged_s > _MERGE_S:
            self.merge()

    def merge(self) -> None:
        """Bring the parquet file up to date; no cell is ever in neither file."""
        if self._unmerged:
            write_table(self.path, self._rows.values())
            self._merged, self._unmerged = len(self._rows), 0
            if self._copy is not None:
                self._copy(self.path)
        if self._appending is not None:
            self._appending.close()
            self._appending = None
        self._merged_s = time.monotonic()
        self.journal.unlink(missing_ok=True)

    def rows(self, source: Source, cells: Iterable[Cell]) -> list[dict[str, Any]]:
        """Return the rows of those cells that are there."""
        keys = [each.key(source) for each in cells]
        return [self._rows[key] for key in keys if key in self]


def _merged(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a parquet file, all of one version of it; none if there is none."""
    if not path.is_file():
        return []
    try:
        # Not of the path: pyarrow would open it twice, and the file may be replaced in between.
        with path.open("rb") as file:
            rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise SimrealError(f"{path}: truncated or damaged: {error}") from None
    return rows


def _journalled(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a journal; a last one that was cut off has no end.

    Raises:
        SimrealError: if another line is damaged.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    try:
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [row for row in rows if row["key"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SimrealError(f"{path}: damaged: {error}: delete it to compute its cells again") from None


def write_table(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as parquet, whole or not at all; a row without a column that others have is null there."""
    found = list(rows)
    names = dict.fromkeys(name for row in found for name in row)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(pa.table({name: [row.get(name) for row in found] for name in names}), partial)
    partial.replace(path)
