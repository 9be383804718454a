"""The process that writes a loop's ticks: apart, so that neither its work nor its memory is the loop's.

It shares two buffers with the loop through a file that is mapped into both. A byte on standard input says
that a buffer is full; the end of the input says that the loop is over, or was killed: what is in the buffers
then is written as well.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

BUFFERS = 2
_NICE = 10  # the loop, and a robot that is simulated, come first


class Buffers:
    """Two buffers of rows, and how far they are filled; one side fills them, the other empties them."""

    def __init__(self, path: Path, layout: np.dtype[Any], rows: int) -> None:
        """Map a file of `size_of(layout, rows)` bytes."""
        self._memory = np.memmap(path, np.uint8, "r+")
        head = self._memory[: _HEAD.itemsize].view(_HEAD)[0]
        self.used: NDArray[np.int64] = head["used"]
        """(2,) rows."""
        self.full: NDArray[np.bool_] = head["full"]
        """(2,): handed over, and not yet written."""
        self.lost: NDArray[np.int64] = head["lost"]
        """(1,) rows that could not be written."""
        self.rows = self._memory[_HEAD.itemsize :].view(layout).reshape(BUFFERS, rows)

    @staticmethod
    def size_of(layout: np.dtype[Any], rows: int) -> int:
        """Return the size of the file, bytes."""
        return int(_HEAD.itemsize + BUFFERS * rows * layout.itemsize)


_HEAD = np.dtype(
    [("used", np.int64, BUFFERS), ("full", np.bool_, BUFFERS), ("lost", np.int64, 1)], align=True
)


def main(path: str, folder: str, layout: str, rows: str) -> None:
    """Write parts until the input ends."""
    os.nice(_NICE)
    cv2.setNumThreads(1)
    fields = [(name, kind, tuple(shape)) for name, kind, shape in json.loads(layout)]
    buffers = Buffers(Path(path), np.dtype(fields), int(rows))
    Path(path).unlink()  # it lives on in both maps, and ends with them
    print("ready", flush=True)
    writer = _Writer(Path(folder), buffers)
    while sys.stdin.buffer.read(1):
        writer.write_full()
    writer.write_full()
    writer.write_rest()


class _Writer:
    """Takes the buffers in turn."""

    def __init__(self, folder: Path, buffers: Buffers) -> None:
        self._folder, self._buffers = folder, buffers
        self._next, self._part = 0, 0

    def write_full(self) -> None:
        while self._buffers.full[self._next]:
            self.write_rest()
            self._buffers.full[self._next] = False
            self._next = (self._next + 1) % BUFFERS

    def write_rest(self) -> None:
        """Write the next buffer, as far as it is filled."""
        count = int(self._buffers.used[self._next])
        if count == 0:
            return
        try:
            path = self._folder / f"part-{self._part:05d}.parquet"
            scratch = path.with_name(f".{path.name}")
            pq.write_table(table(self._buffers.rows[self._next][:count]), scratch)
            scratch.replace(path)
            self._part += 1
        except OSError:  # a full disk: the loop goes on
            self._buffers.lost += count
        self._buffers.used[self._next] = 0


def table(rows: NDArray[Any]) -> pa.Table:
    """Return rows as a table; an image as PNG, and only of a tick in which the policy decided."""
    columns: dict[str, pa.Array] = {}
    for name in rows.dtype.names or ():
        values = rows[name]
        if name == "image":
            pictures = [_png(row["image"]) if row["decided"] else None for row in rows]
            columns[name] = pa.array(pictures, pa.binary())
        elif values.ndim == 2:
            flat = pa.array(np.ascontiguousarray(values).ravel())
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        else:
            columns[name] = pa.array(np.ascontiguousarray(values))
    return pa.table(columns)


def _png(image: NDArray[np.uint8]) -> bytes | None:
    if image.size == 0:
        return None
    return bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
