"""The one rollout loop: a policy acts in an environment for an episode."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

Observation = dict[str, NDArray[np.generic]]
Action = NDArray[np.float32]
Act = Callable[[Observation], Action]


@dataclass(frozen=True)
class EpisodeSummary:
    """What became of one episode."""

    seed: int
    success: bool
    steps: int
    total_reward: float


@dataclass(frozen=True)
class Step:
    """One control step, as it is handed to a visitor: what was seen, what was done, what came of it."""

    observation: Observation
    action: Action
    reward: float
    success: bool


def rollout(
    env: gymnasium.Env[Any, Any],
    act: Act,
    seed: int,
    *,
    before: Callable[[Observation], None] | None = None,
    after: Callable[[Step], None] | None = None,
    options: dict[str, Any] | None = None,
) -> EpisodeSummary:
    """Run one episode.

    Args:
        env: A Gymnasium environment whose info tells `success` or `is_success`; else nothing succeeds.
        act: Observation to action.
        seed: Of the episode.
        before: Called with each observation before the action is taken.
        after: Called with each completed step.
        options: For `env.reset`.
    """
    observation, info = env.reset(seed=seed, options=options)
    total, steps, done = 0.0, 0, False
    while not done:
        if before is not None:
            before(observation)
        action = act(observation)
        following, reward, terminated, truncated, info = env.step(action)
        steps, total = steps + 1, total + float(reward)
        if after is not None:
            after(Step(observation, action, float(reward), succeeded(info)))
        observation, done = following, terminated or truncated
    return EpisodeSummary(seed, succeeded(info), steps, total)


def succeeded(info: dict[str, Any]) -> bool:
    """Tell whether a step's info says success: `success` here, `is_success` elsewhere (panda-gym)."""
    return bool(info.get("success", info.get("is_success", False)))


@functools.lru_cache(maxsize=4)
def cached_env(env_id: str, image: bool, privileged: bool) -> gymnasium.Env[Any, Any]:
    """Return this process's own environment; its domain is set at each reset by `options`."""
    import envs  # noqa: F401  registers the ids

    return gymnasium.make(env_id, image=image, privileged=privileged)
