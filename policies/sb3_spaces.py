"""Spaces of a foreign environment or model, and the names that a policy of ours knows their parts by."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from policies.errors import Sb3Error
from policies.inert import array_of, name_of, state_of

_Bounds = tuple[NDArray[Any], NDArray[Any]]
_BOX = ("gymnasium.spaces.box.Box", "gym.spaces.box.Box")
_DICT = ("gymnasium.spaces.dict.Dict", "gym.spaces.dict.Dict")


@dataclass(frozen=True)
class SpaceEntry:
    """One part of an observation: an image, or anything else, which is read as a flat vector."""

    key: str | None
    """Its key in a Dict space; None if it is the whole observation."""
    shape: tuple[int, ...]
    """(height, width, channels) of an image, however it is stored."""
    dtype: str
    is_image: bool
    channels_first: bool = field(default=False, compare=False)
    limit: float = field(default=math.inf, compare=False)
    """Largest magnitude within the bounds."""

    @property
    def name(self) -> str:
        """Return what our policies call it."""
        return "image" if self.is_image else self.key or "observation"

    @property
    def size(self) -> int:
        """Return the number of its elements."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.key or 'observation'} {self.dtype}{self.shape}".replace(" ", ":", 1)


@dataclass(frozen=True)
class SpaceInfo:
    """The observation, in its own order, and the bounds of a flat action."""

    observations: tuple[SpaceEntry, ...]
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]

    @classmethod
    def of(cls, observation: spaces.Space[Any], action: spaces.Space[Any], where: str) -> "SpaceInfo":
        """Read the spaces of an environment.

        Raises:
            Sb3Error: naming the part that is no Box.
        """
        is_dict = isinstance(observation, spaces.Dict)
        parts = observation.spaces if isinstance(observation, spaces.Dict) else {None: observation}
        entries = [_entry(key, _box(part, where), None) for key, part in parts.items()]
        return cls(_checked(entries, is_dict, where), *_action(_box(action, where), where))

    @classmethod
    def of_inert(cls, observation: Any, action: Any, where: str) -> "SpaceInfo":
        """Read the spaces of a model, whose images SB3 has turned to channels first.

        Raises:
            Sb3Error: naming the part that is no Box.
        """
        is_dict = name_of(observation) in _DICT
        parts = state_of(observation, where).get("spaces") if is_dict else {None: observation}
        if not isinstance(parts, dict) or not all(isinstance(key, str | None) for key in parts):
            raise Sb3Error(f"{where}: observation_space: a Dict without named spaces")
        entries = [_entry(key, _inert_box(part, where), True) for key, part in parts.items()]
        return cls(_checked(entries, is_dict, where), *_action(_inert_box(action, where), where))

    @property
    def vectors(self) -> tuple[SpaceEntry, ...]:
        """Return the parts that are no image, in their order."""
        return tuple(entry for entry in self.observations if not entry.is_image)

    @property
    def image(self) -> SpaceEntry | None:
        """Return the image, if there is one."""
        return next((entry for entry in self.observations if entry.is_image), None)

    def fits(self, other: "SpaceInfo") -> bool:
        """Tell whether a policy for one can work in the other."""
        same = set(self.observations) == set(other.observations)
        low = np.array_equal(self.action_low, other.action_low)
        return same and low and np.array_equal(self.action_high, other.action_high)

    def __str__(self) -> str:
        parts = ", ".join(map(str, sorted(self.observations, key=str)))
        low, high = (" ".join(f"{value:g}" for value in end) for end in (self.action_low, self.action_high))
        return f"({parts}; action from [{low}] to [{high}])"


def _box(space: spaces.Space[Any], where: str) -> _Bounds:
    if not isinstance(space, spaces.Box):
        raise Sb3Error(f"{where}: a {type(space).__name__} space: only Box, and Dict of Box, can be used")
    return space.low, space.high


def _inert_box(space: Any, where: str) -> _Bounds:
    if name_of(space) not in _BOX:
        raise Sb3Error(f"{where}: a {name_of(space)} space: only Box, and Dict of Box, can be imported")
    state = state_of(space, where)
    low, high = (array_of(state.get(end), f"{where}: {end}") for end in ("low", "high"))
    if low.shape != high.shape:
        raise Sb3Error(f"{where}: a Box from {low.shape} to {high.shape} values")
    return low, high


def _entry(key: str | None, bounds: _Bounds, channels_first: bool | None) -> SpaceEntry:
    """Describe a box as SB3 sees it (is_image_space of its preprocessing.py)."""
    low, high = bounds
    shape = low.shape
    is_image = low.ndim == 3 and low.dtype == np.uint8 and bool((low == 0).all() and (high == 255).all())
    if not is_image:
        limit = float(np.abs(np.stack([low, high]).astype(float)).max(initial=0.0))
        return SpaceEntry(key, shape, str(low.dtype), False, limit=limit)
    first = int(np.argmin(shape)) == 0 if channels_first is None else channels_first
    return SpaceEntry(key, (*shape[1:], shape[0]) if first else shape, "uint8", True, first)


def _checked(entries: list[SpaceEntry], is_dict: bool, where: str) -> tuple[SpaceEntry, ...]:
    if sum(entry.is_image for entry in entries) > 1:
        raise Sb3Error(f"{where}: several images: a policy here has one")
    names = [entry.name for entry in entries]
    if not names or len(set(names)) < len(names):
        raise Sb3Error(f"{where}: the names {names} are not one or more different ones")
    if any(entry.size < 1 for entry in entries):
        raise Sb3Error(f"{where}: an entry without elements")
    if is_dict and len(entries) == 1 and entries[0].key is None:
        raise Sb3Error(f"{where}: a Dict without keys")
    return tuple(entries)


def _action(bounds: _Bounds, where: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    low, high = bounds
    if low.ndim != 1 or not len(low):
        raise Sb3Error(f"{where}: an action of shape {low.shape}: only flat ones can be used")
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise Sb3Error(f"{where}: an action from {low.tolist()} to {high.tolist()}: no finite range")
    return tuple(map(float, low)), tuple(map(float, high))
