"""What is recorded in a target: demonstrations of an expert, or whatever a policy comes to see."""

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np

from policies import Policy
from simreal.data.episodes import Episode
from simreal.errors import SimrealError
from simreal.rollout import Action, Observation, Step, rollout

_ATTEMPTS = 5  # rollouts for each demonstration wanted before giving up


def demonstrate(
    env: gymnasium.Env[Any, Any],
    expert: Policy,
    count: int,
    seed: int,
    options: dict[str, Any] | None = None,
    progress: Callable[[int], None] = lambda recorded: None,
) -> Iterator[Episode]:
    """Record `count` demonstrations that succeeded.

    Args:
        env: The target, with privileged observations for the expert.
        expert: A teacher.
        count: Demonstrations wanted.
        seed: The first episode's; following ones count up.
        options: For `env.reset`.
        progress: Told the number of demonstrations so far.

    Raises:
        SimrealError: if the expert fails so often that they cannot be had.
    """
    recorded = 0
    for attempt in range(count * _ATTEMPTS):
        if recorded == count:
            return
        steps: list[Step] = []
        summary = rollout(env, expert.act, seed + attempt, after=steps.append, options=options)
        if summary.success:
            recorded += 1
            progress(recorded)
            yield _episode(steps, env.unwrapped.control_period_s)  # type: ignore[attr-defined]
    if recorded < count:
        raise SimrealError(
            f"the expert succeeded in {recorded} of {count * _ATTEMPTS} episodes of this target; "
            f"{count} demonstrations cannot be recorded"
        )


def roam(
    env: gymnasium.Env[Any, Any],
    policy: Policy,
    frames: int,
    seed: int,
    *,
    noise: float = 0.0,
    period_s: float = 0.05,
    options: dict[str, Any] | None = None,
    progress: Callable[[int], None] = lambda recorded: None,
) -> Iterator[Episode]:
    """Let a policy act in a target and record what it sees, failures too; no label is in it.

    Args:
        env: The target.
        policy: Acts; its actions are recorded as executed.
        frames: Frames wanted; the last episode is cut there.
        seed: The first episode's; following ones count up.
        noise: Deviation of the noise on its actions, in action units: it then sees more than its own ways.
        period_s: Between two actions, seconds.
        options: For `env.reset`.
        progress: Told the number of frames just recorded.
    """
    rng = np.random.default_rng(seed)

    def act(observation: Observation) -> Action:
        action = policy.act(observation)
        return np.clip(action + rng.normal(0, noise, action.shape), -1, 1).astype(np.float32)

    recorded = 0
    while recorded < frames:
        steps: list[Step] = []
        rollout(env, act if noise else policy.act, seed, after=steps.append, options=options)
        steps, seed = steps[: frames - recorded], seed + 1
        recorded += len(steps)
        progress(len(steps))
        yield _episode(steps, period_s)


def _episode(steps: list[Step], period_s: float) -> Episode:
    return Episode(
        np.stack([step.observation["image"] for step in steps]).astype(np.uint8),
        np.stack([step.observation["proprio"] for step in steps]).astype(np.float32),
        np.stack([step.action for step in steps]).astype(np.float32),
        np.array([step.reward for step in steps], np.float32),
        (np.arange(len(steps)) * period_s).astype(np.float32),
        steps[-1].success,
    )
