"""Rows of successive episodes from parquet files, in one pass: memory holds a few at a time."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_BATCH = 256  # rows


class EpisodeRows:
    """Goes through the files of a dataset whose episodes lie in order, as LeRobot writes them."""

    def __init__(self, columns: list[str]) -> None:
        """Prepare to read.

        Args:
            columns: `episode_index` among them.
        """
        self._columns = columns
        self._path: Path | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._left = pa.table({})

    def read(self, path: Path, index: int, length: int) -> pa.Table:
        """Return the rows of an episode, fewer than `length` if there are no more.

        Args:
            path: File that it is in.
            index: Of the episode; not less than that of the last call in the same file.
            length: Rows that it has.

        Raises:
            pyarrow.ArrowInvalid: if the file is damaged.
            OSError: if it cannot be read.
        """
        if path != self._path:
            self._path = None  # stays so if opening fails
            file = pq.ParquetFile(path)
            self._batches = file.iter_batches(_BATCH, columns=self._columns)
            self._left = file.schema_arrow.empty_table().select(self._columns)
            self._path = path
        while True:
            own = self._left.filter(pc.equal(self._left["episode_index"], index))
            beyond = self._left.filter(pc.greater(self._left["episode_index"], index))
            if len(own) >= length or len(beyond):
                break
            batch = next(self._batches, None)
            if batch is None:
                break
            self._left = pa.concat_tables([own, pa.Table.from_batches([batch])])
        self._left = beyond
        return own
