"""What the messages of a bag hold: numbers by name, pixels, and a time."""

import dataclasses
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simreal.data.importing.pictures import decode
from simreal.encodings import rgb_of_image
from simreal.errors import SimrealError

IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_LISTS = ("position", "velocity", "effort")


def numbers_of(message: Any, prefix: str = "") -> dict[str, float]:
    """Return every number of a message by its path.

    `twist.linear.x`; `data.0` of an array; and the lists of `sensor_msgs/msg/JointState` by the joint's
    name, `position.JOINT`, whatever order they came in.
    """
    names = getattr(message, "name", None)
    found: dict[str, float] = {}
    for field in dataclasses.fields(message):
        value, path = getattr(message, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            found |= numbers_of(value, f"{path}.")
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            keys = names if field.name in _LISTS and isinstance(names, list) else range(len(value))
            found |= {f"{path}.{key}": float(item) for key, item in zip(keys, value, strict=False)}
        elif isinstance(value, bool | int | float):
            found[path] = float(value)
    return found


def pixels_of(message: Any) -> NDArray[np.uint8]:
    """Return the image (H, W, 3) RGB of `sensor_msgs/msg/Image` or `CompressedImage`.

    Raises:
        SimrealError: if it is damaged, or not of 8 bits a channel.
    """
    if hasattr(message, "encoding"):
        return rgb_of_image(message)
    image = decode(message.data)
    if image is None:
        raise SimrealError(
            f"{message.format!r} of {len(message.data)} bytes is not a readable image of 8 bits a channel"
        )
    return image


def time_of(message: Any, received_ns: int, clock: Literal["header", "received"]) -> int:
    """Return when a message was made, ns; when it was received if it does not say."""
    stamp = getattr(getattr(message, "header", None), "stamp", None)
    if clock == "received" or stamp is None:
        return received_ns
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec) or received_ns
