"""The pixels of `sensor_msgs/msg/Image`, from the wire or from a bag."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from simreal.errors import SimrealError, nearest

# Encoding -> channels, and OpenCV's conversion to RGB.
_ENCODINGS: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
}


def rgb_of_image(image: Any) -> NDArray[np.uint8]:
    """Return a message's image, uint8 (H, W, 3) RGB, contiguous.

    Args:
        image: Anything with the members of `sensor_msgs/msg/Image`.

    Raises:
        SimrealError: if the encoding is not known or the rows do not fit the data.
    """
    if image.encoding not in _ENCODINGS:
        raise SimrealError(
            f"image encoding {image.encoding!r} is not read; {nearest(image.encoding, _ENCODINGS)}"
        )
    channels, conversion = _ENCODINGS[image.encoding]
    row, flat = image.width * channels, np.frombuffer(image.data, np.uint8)
    if image.step < row or image.height * image.step > flat.size or not row * image.height:
        raise SimrealError(
            f"image of {image.width}x{image.height} {image.encoding}: step {image.step} and"
            f" {flat.size} bytes do not fit: at least {row} and {image.height * image.step}"
        )
    rows = flat[: image.height * image.step].reshape(image.height, image.step)[:, :row]
    pixels = rows.reshape(image.height, image.width, channels)
    if conversion is None:
        return pixels.copy()  # the message's own bytes cannot be written to
    return cv2.cvtColor(pixels, conversion).astype(np.uint8, copy=False)
