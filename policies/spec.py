"""What a policy reads and what its actions mean, as stored in its bundle."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ObservationSpec:
    """One entry of the observation."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    order: tuple[str, ...] = ()
    """Meaning of each element of a vector."""
    units: tuple[str, ...] = ()
    layout: str = ""
    """`HWC RGB` for an image."""


@dataclass(frozen=True)
class ActionSpec:
    """The action."""

    shape: tuple[int, ...]
    meaning: str
    """`end-effector displacement` or `joint displacement`."""
    order: tuple[str, ...]
    scale: tuple[float, ...]
    """What an action of 1 is, in `units`."""
    units: tuple[str, ...]
    low: float = -1.0
    high: float = 1.0
