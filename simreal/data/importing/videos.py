"""Frames of video files, in order."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from simreal.data.importing.rules import CutOffError


class Videos:
    """The video being read; the next episode mostly goes on where the last one ended."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._capture: Any = None
        self._next = 0

    def frames(self, path: Path, start: int, count: int) -> list[NDArray[np.uint8]]:
        """Return frames `start` to `start + count` of a video, (H, W, 3) RGB each.

        Raises:
            CutOffError: if the file is missing or has no such frames.
        """
        if path != self._path or start < self._next:
            self._path, self._capture, self._next = path, cv2.VideoCapture(str(path)), 0
        while self._next < start and self._capture.grab():  # a jump is not exact in every codec
            self._next += 1
        found: list[NDArray[np.uint8]] = []
        for _ in range(count):
            read, image = self._capture.read()
            if not read:
                raise CutOffError(f"{path}: {len(found)} of {count} frames")
            found.append(np.ascontiguousarray(image[..., ::-1]))
            self._next += 1
        return found
