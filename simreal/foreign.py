"""Environments of other projects, brought to the form in which policies see the world here."""

import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import RescaleAction, TransformObservation
from numpy.typing import NDArray

from simreal.errors import SimrealError

Env = gymnasium.Env[Any, Any]
_Part = tuple[str, spaces.Space[Any], Callable[[Any], Any]]


def is_ours(env: Env) -> bool:
    """Tell whether a world describes itself as this project's do: names, units, control period."""
    return hasattr(env.unwrapped, "controller")


def adapted(env: Env) -> Env:
    """Return the environment with named observations, images (H, W, C), and actions in [-1, 1].

    A lone Box is called `image` if it is a uint8 image, else `observation`. Of a Dict the only image
    is called `image`, and arrays become vectors. What cannot be brought to this form stays as it is.
    """
    if is_ours(env):
        return env
    given = env.observation_space
    before: dict[Any, spaces.Space[Any]] = given.spaces if isinstance(given, spaces.Dict) else {None: given}
    parts = _parts(before)
    if any(name != key or before[key] is not space for key, (name, space, _) in parts.items()):
        env = TransformObservation(
            env,
            lambda seen: {
                name: change(seen if key is None else seen[key]) for key, (name, _, change) in parts.items()
            },
            spaces.Dict({name: space for name, space, _ in parts.values()}),
        )
    action = env.action_space
    if isinstance(action, spaces.Box) and action.is_bounded() and not _is_unit(action):
        env = RescaleAction(env, np.float32(-1.0), np.float32(1.0))
    return env


def control_period(env: Env, given: float | None = None) -> float:
    """Return the seconds between two actions.

    Raises:
        SimrealError: if nobody has said it, or it is no length of time.
    """
    world: Any = env.unwrapped
    frames = env.metadata.get("render_fps")
    said = (given, getattr(world, "control_period_s", None), getattr(world, "dt", None))
    period = next((value for value in said if value is not None), 1 / frames if frames else None)
    if period is None:
        raise SimrealError(
            f"{name_of(env)}: tells no control period (control_period_s, dt or render_fps): "
            "give it in seconds with --control-period"
        )
    if not 0 < float(period) < math.inf:
        raise SimrealError(f"{name_of(env)}: control period {period} s: it must be above 0")
    return float(period)


def half_range(env: Env) -> tuple[float, ...]:
    """Return what an action of 1 is, from the middle of the environment's own bounds."""
    inner = env
    while isinstance(inner, gymnasium.Wrapper) and not isinstance(inner, RescaleAction):
        inner = inner.env
    action: Any = (inner.env if isinstance(inner, RescaleAction) else env).action_space
    return tuple(float(value) for value in ((action.high.astype(float) - action.low) / 2).ravel())


def name_of(env: Env) -> str:
    """Return the id of an environment, or the name of its class."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def _parts(given: dict[Any, spaces.Space[Any]]) -> dict[Any, _Part]:
    images = [key for key, space in given.items() if _is_image(space)]
    if len(images) > 1 or ("image" in given and images != ["image"]):
        images = []
    return {key: _part(key, space, key in images) for key, space in given.items()}


def _part(key: str | None, space: spaces.Space[Any], is_image: bool) -> _Part:
    if is_image and isinstance(space, spaces.Box):
        # As SB3 tells them apart: the channels are the shortest side.
        if int(np.argmin(space.shape)) != 0:
            return "image", space, _same
        last = space.low.transpose(1, 2, 0), space.high.transpose(1, 2, 0)
        return "image", spaces.Box(*last, dtype=np.uint8), _channels_last
    if isinstance(space, spaces.Box) and len(space.shape) != 1 and not _is_image(space):
        flat = spaces.Box(space.low.ravel(), space.high.ravel(), dtype=space.dtype.type)  # type: ignore[union-attr]
        return key or "observation", flat, np.ravel
    return key or "observation", space, _same


def _is_image(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) == 3 and space.dtype == np.uint8


def _is_unit(action: spaces.Box) -> bool:
    return bool((action.low == -1).all() and (action.high == 1).all())


def _same(value: Any) -> Any:
    return value


def _channels_last(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.transpose(image, (1, 2, 0)))
