"""What a policy reads and what its actions mean, as stored in its bundle."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ObservationSpec:
    """One entry of the observation.

    Raises:
        ValueError: if names or units do not fit the shape.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    order: tuple[str, ...] = ()
    """Meaning of each element of a vector; () for an image, or where nobody has said it."""
    units: tuple[str, ...] = ()
    layout: str = ""
    """`HWC RGB` for an image."""

    def __post_init__(self) -> None:
        for what, given in (("order", self.order), ("units", self.units)):
            if given and (len(given),) != self.shape:
                raise ValueError(f"{self.name}: {len(given)} {what} for shape {self.shape}")


@dataclass(frozen=True)
class ActionSpec:
    """The action.

    Raises:
        ValueError: if names, scale or units do not fit the shape, or the limits are no range.
    """

    shape: tuple[int, ...]
    meaning: str
    """`end-effector displacement` or `joint displacement`."""
    order: tuple[str, ...]
    scale: tuple[float, ...]
    """What an action of 1 is, in `units`."""
    units: tuple[str, ...]
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        for what, given in (("order", self.order), ("scale", self.scale), ("units", self.units)):
            if (len(given),) != self.shape:
                raise ValueError(f"action: {len(given)} {what} for shape {self.shape}")
        if not all(math.isfinite(scale) for scale in self.scale):
            raise ValueError(f"action: scale {self.scale} is not finite")
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"action: [{self.low}, {self.high}] is not a finite range")
