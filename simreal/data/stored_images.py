"""Images of more frames than memory should hold: decoded once into a file, and read as they are asked for."""

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 128 << 20  # of images in memory; more go into a file


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Images in a file without a name, which is gone with the process that made it."""

    file: IO[bytes]
    size: tuple[int, ...]
    """(H, W, 3)"""
    rows: NDArray[np.int64]
    """(N,): where in the file each image lies."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (N, H, W, 3)."""
        return (len(self.rows), *self.size)

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images at `indices` (n,), uint8 (n, H, W, 3)."""
        images = np.empty((len(indices), *self.size), np.uint8)
        step = images[:1].nbytes or int(np.prod(self.size))
        for image, row in zip(images, self.rows[indices], strict=True):
            os.preadv(self.file.fileno(), [image.reshape(-1)], int(row) * step)
        return images

    def only(self, indices: NDArray[np.int64]) -> "StoredImages":
        """Return the images at `indices`, still in the file."""
        return dataclasses.replace(self, rows=self.rows[indices])


class ImageStore:
    """Takes images, and keeps them in memory until there are too many."""

    def __init__(self, beside: Path | None, most_bytes: int | None = None) -> None:
        """Prepare to take images.

        Args:
            beside: What the file lies beside: there is room for as much again where a dataset is. Where
                nothing can be written there, it lies where temporary files do.
            most_bytes: In memory; MOST_BYTES by default.
        """
        self._beside = beside
        self._most = MOST_BYTES if most_bytes is None else most_bytes
        self._held: list[NDArray[np.uint8]] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._size: tuple[int, ...] = ()
        self._count = 0

    def add(self, images: NDArray[np.uint8]) -> None:
        """Take images, uint8 (n, H, W, 3)."""
        self._size = images.shape[1:]
        self._count += len(images)
        self._bytes += images.nbytes
        self._held.append(images)
        if self._file is None and self._bytes > self._most:
            self._file = _nameless(self._beside)
        if self._file is not None:
            _write(self._file, self._held)
            self._held = []

    def finish(self) -> NDArray[np.uint8] | StoredImages:
        """Return all images."""
        if self._file is None:
            return np.concatenate(self._held)
        self._file.flush()
        return StoredImages(self._file, self._size, np.arange(self._count))


def _write(file: IO[bytes], parts: Sequence[NDArray[np.uint8]]) -> None:
    for part in parts:
        file.write(np.ascontiguousarray(part).data)


def _nameless(beside: Path | None) -> Any:
    if beside is not None and os.access(beside.parent, os.W_OK):
        return tempfile.TemporaryFile(dir=beside.parent)
    return tempfile.TemporaryFile()
