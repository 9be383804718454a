"""`Newest`: a record in memory that two processes share; the reader gets the newest, and nobody ever waits.

There is no lock that a killed process could keep. The writer fills the oldest of three slots, then says that
it is the newest; a reader that was so slow that its slot was being filled again reads once more.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SLOTS = 3
_COUNT_BYTES = 8


class Newest:
    """The newest of many records of a fixed layout; one writer, any number of readers."""

    def __init__(self, memory: Any, layout: np.dtype[Any]) -> None:
        """Look at shared memory.

        Args:
            memory: A zeroed buffer of `size_of(layout)` bytes, such as `multiprocessing.RawArray`.
            layout: Of a record.
        """
        self._count = np.frombuffer(memory, np.int64, 1)
        self._slots = np.frombuffer(memory, layout, _SLOTS, offset=_COUNT_BYTES)

    @staticmethod
    def size_of(layout: np.dtype[Any]) -> int:
        """Return the bytes of memory that records of a layout take."""
        return _COUNT_BYTES + _SLOTS * layout.itemsize

    @property
    def count(self) -> int:
        """Return how many records have been written."""
        return int(self._count[0])

    def write(self, **fields: Any) -> None:
        """Write a record, every field of it."""
        following = self.count + 1
        slot = self._slots[following % _SLOTS]
        for name, value in fields.items():
            slot[name] = value
        self._count[0] = following

    def read(self) -> NDArray[Any] | None:
        """Return a copy of the newest record, (); None if there is none yet."""
        while True:
            before = self.count
            if before == 0:
                return None
            record = self._slots[before % _SLOTS].copy()
            if self.count - before < _SLOTS - 1:
                return np.asarray(record)
