"""Frames of video files, in order."""

import os
import shlex
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from simreal.data.importing.rules import CutOffError
from simreal.errors import SimrealError

# The decoder writes to the standard error by itself; what is wrong is said here. Read when it first opens.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
_TOLERANCE = 0.01  # of a rate


class Videos:
    """The video being read; the next episode mostly goes on where the last one ended."""

    def __init__(self, info: Path, fps: float) -> None:
        """Prepare to read.

        Args:
            info: The file that says the rate, for messages.
            fps: Which frames are counted by.
        """
        self._info, self._fps = info, fps
        self._path: Path | None = None
        self._capture: Any = None
        self._next = 0

    def frames(self, path: Path, start: int, count: int) -> list[NDArray[np.uint8]]:
        """Return frames `start` to `start + count` of a video, (H, W, 3) RGB each.

        Raises:
            CutOffError: if the file is missing or has no such frames.
            SimrealError: if it has another rate, or a codec that cannot be decoded.
        """
        if path != self._path or start < self._next:
            self._path = None  # stays so if opening fails
            self._capture, self._next = self._opened(path), 0
            self._path = path
        while self._next < start and self._capture.grab():  # a jump is not exact in every codec
            self._next += 1
        found: list[NDArray[np.uint8]] = []
        for _ in range(count):
            read, image = self._capture.read()
            if not read:
                raise CutOffError(f"{path}: cut off or damaged: {len(found)} of {count} frames")
            found.append(np.ascontiguousarray(image[..., ::-1]))
            self._next += 1
        return found

    def _opened(self, path: Path) -> Any:
        if not path.is_file():
            raise CutOffError(f"{path}: missing")
        capture = cv2.VideoCapture(str(path))
        if not capture.isOpened():
            raise CutOffError(f"{path}: cut off or damaged: no video can be read")
        fps = capture.get(cv2.CAP_PROP_FPS)
        if abs(fps - self._fps) > _TOLERANCE * self._fps:
            raise SimrealError(f"{path}: {fps:.4g} Hz; {self._info} says {self._fps:.4g} Hz")
        codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1").strip()
        # AV1 is what LeRobot writes by default, and what OpenCV's own FFmpeg decodes on few machines.
        if codec.upper() in ("AV01", "AV1") and not cv2.VideoCapture(str(path)).grab():
            place = shlex.quote(str(path))
            raise SimrealError(
                f"{path}: AV1 cannot be decoded here: make it H.264, frame by frame: "
                f"ffmpeg -i {place} -c:v libx264 -crf 12 h264.mp4, and put h264.mp4 in its place"
            )
        return capture
