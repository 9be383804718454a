"""The results of a study's cells, in one parquet file."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from simreal.errors import SimrealError
from simreal.study.cells import Cell, Source


class Table:
    """Results of cells in a parquet file, which is whole after each one."""

    def __init__(self, path: Path) -> None:
        """Open the table, or start one.

        Raises:
            SimrealError: if the file is damaged.
        """
        self.path = path
        try:
            rows = pq.read_table(path).to_pylist() if path.is_file() else []
        except pa.ArrowException as error:
            raise SimrealError(f"{path}: truncated or damaged: {error}") from None
        self._rows: dict[str, dict[str, Any]] = {row["key"]: row for row in rows}

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._rows.values())

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._rows[key]

    def every(self) -> list[dict[str, Any]]:
        """Return all rows."""
        return list(self._rows.values())

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row."""
        self._rows[row["key"]] = row
        write_table(self.path, self._rows.values())

    def rows(self, source: Source, cells: Iterable[Cell]) -> list[dict[str, Any]]:
        """Return the rows of those cells that are there."""
        keys = [each.key(source) for each in cells]
        return [self._rows[key] for key in keys if key in self]


def write_table(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as parquet, whole or not at all; a row without a column that others have is null there."""
    found = list(rows)
    names = dict.fromkeys(name for row in found for name in row)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(pa.table({name: [row.get(name) for row in found] for name in names}), partial)
    partial.replace(path)
