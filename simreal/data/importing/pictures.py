"""`Picture`: what is done to an image of a recording before the policy can read it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from simreal.errors import SimrealError, nearest

Image = NDArray[np.uint8]
Colour = Literal["rgb", "bgr"]


@dataclass(frozen=True)
class Picture:
    """Crop first, then resize; nothing is done that is not said."""

    crop: tuple[int, int, int, int] | None = None
    """Left, top, width, height, pixels."""
    resize: tuple[int, int] | None = None
    """Width, height, pixels."""
    colour: Colour = "rgb"
    """What the recording says to be RGB is really this."""

    @classmethod
    def read(cls, where: Path, raw: dict[str, Any]) -> "Picture":
        """Read the `image` section of a mapping file.

        Raises:
            SimrealError: naming file, key, value and what would be right.
        """
        colour = raw.get("colour", "rgb")
        if colour not in ("rgb", "bgr"):
            raise SimrealError(f"{where}: image: colour: {colour!r}; {nearest(str(colour), ('rgb', 'bgr'))}")
        crop: Any = _pixels(where, raw, "crop", "left, top, width, height", (0, 0, 1, 1))
        resize: Any = _pixels(where, raw, "resize", "width, height", (1, 1))
        return cls(crop, resize, colour)

    def apply(self, image: Image) -> Image:
        """Return an image (H, W, 3) RGB as the policy is to see it.

        Raises:
            SimrealError: if the crop is not within the image.
        """
        if self.crop is not None:
            left, top, width, height = self.crop
            if left + width > image.shape[1] or top + height > image.shape[0]:
                raise SimrealError(
                    f"image: crop: {list(self.crop)} reaches out of {image.shape[1]}x{image.shape[0]} pixels"
                )
            image = image[top : top + height, left : left + width]
        if self.resize is not None and self.resize != image.shape[1::-1]:
            shrinks = self.resize[0] * self.resize[1] < image.shape[0] * image.shape[1]
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = np.asarray(cv2.resize(image, self.resize, interpolation=how), np.uint8)
        return np.ascontiguousarray(image[..., ::-1] if self.colour == "bgr" else image)


def decode(data: Any) -> Image | None:
    """Return the image (H, W, 3) RGB of a PNG or JPEG; None if it is none, or not of 8 bits a channel."""
    buffer = np.frombuffer(data, np.uint8)
    how = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH  # else a depth image comes as a picture
    image = cv2.imdecode(buffer, how) if len(buffer) else None
    return None if image is None or image.dtype != np.uint8 else np.ascontiguousarray(image[..., ::-1])


def _pixels(
    where: Path, raw: dict[str, Any], key: str, words: str, least: tuple[int, ...]
) -> tuple[int, ...] | None:
    if key not in raw:
        return None
    value = raw[key]
    good = isinstance(value, list) and len(value) == len(least) and all(type(item) is int for item in value)
    if not good or any(item < low for item, low in zip(value, least, strict=True)):
        raise SimrealError(f"{where}: image: {key}: takes [{words}] in pixels, not {value!r}")
    return tuple(value)
