"""A point on a plane that is told where to go: the cheapest target that pays a reward."""

import functools
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from simreal.data.batch import Batch
from simreal.errors import SimrealError
from simreal.learning import LearnConfig, Learner
from simreal.rollout import rollout
from simreal.targets import Target
from simreal.transfer import METHODS, Problem, RewardedSteps
from simreal.transfer.reinforcement import ppo, sac


class PointReach(gymnasium.Env[Any, Any]):
    """Move a point to a goal; `proprio` is both, an action of 1 moves it by 0.2, the reward is minus the
    distance, or nothing. `turn_deg` turns what an action does, which no observation shows."""

    control_period_s = 0.1

    def __init__(self, turn_deg: float = 0.0, pays: bool = True) -> None:
        self._pays = pays
        self.observation_space = spaces.Dict({"proprio": spaces.Box(-np.inf, np.inf, (4,), np.float32)})
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        turn = np.deg2rad(turn_deg)
        self._turn = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._position, self._goal = self.np_random.uniform(-1, 1, (2, 2))
        self._steps = 0
        return self._observation(), {"success": False}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._position = self._position + 0.2 * self._turn @ np.clip(action, -1, 1)
        self._steps += 1
        distance = float(np.linalg.norm(self._position - self._goal))
        done = distance < 0.1
        reward = float(done) - distance if self._pays else 0.0
        return self._observation(), reward, done, self._steps >= 20, {"success": done}

    def _observation(self) -> dict[str, Any]:
        return {"proprio": np.float32([*self._position, *self._goal])}


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    for target, pays in ((TARGET, True), (UNPAID, False)):
        gymnasium.register(target.env, entry_point=PointReach, kwargs={"turn_deg": 60.0, "pays": pays})


@pytest.fixture(scope="module")
def source() -> Policy:
    """A policy that goes straight to the goal, where actions are not turned."""
    torch.manual_seed(0)
    encoder = EncoderConfig("state", (("proprio", 4),), None, feature_size=32, hidden=(), activation="tanh")
    policy, rng = Policy(PolicyConfig(encoder, HeadConfig((32,)), 2)), np.random.default_rng(0)
    learner = Learner(policy, LearnConfig(500, 3e-3))
    for _ in range(500):
        seen = np.float32(rng.uniform(-1.2, 1.2, (128, 4)))
        action = torch.from_numpy(np.clip((seen[:, 2:] - seen[:, :2]) / 0.2, -1, 1))
        learner.update(Batch({"proprio": torch.from_numpy(seen)}, action, {}))
    return learner.averaged()


TARGET = Target("simreal-test/PointTurned-v0", None)
UNPAID = Target("simreal-test/PointUnpaid-v0", None)


def needed(policy: Policy) -> float:
    """Return the steps that a policy takes to the goal on average, 20 where it never comes there."""
    return float(np.mean([rollout(TARGET.open(), policy.act, seed).steps for seed in range(60)]))


def adapt(
    source: Policy, run: Callable[..., Policy], steps: int, target: Target = TARGET, **how: Any
) -> tuple[Policy, int]:
    budget = RewardedSteps(target, steps)
    return run(Problem(source, 0, rewarded=budget, **how), lambda losses: None), budget.used


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.parametrize(("method", "steps"), [(ppo, 4096), (sac, 1200)])
def test_rewards_teach_what_actions_do(source: Policy, method: Any, steps: int, off: bool) -> None:
    run = functools.partial(method, learning_rate=1e-3)
    policy, used = adapt(source, run, steps, UNPAID if off else TARGET, encoder="free")
    assert 0.8 * steps < used <= steps
    assert (needed(policy) < 0.7 * needed(source)) != off


@pytest.mark.parametrize("method", [ppo, sac])
def test_the_encoder_is_frozen_slow_or_free(source: Policy, method: Any) -> None:
    moved = {}
    before = source.to_arrays()
    for mode in ("frozen", "slow", "free"):
        after = adapt(source, method, 256, encoder=mode)[0].to_arrays()
        names = [name for name in before if name.startswith("encoder.trunk")]
        moved[mode] = sum(float(np.abs(after[name] - before[name]).sum()) for name in names)
        assert not np.array_equal(after["head.output.weight"], before["head.output.weight"])
    assert moved["frozen"] == 0.0
    assert 0.0 < moved["slow"] < 0.5 * moved["free"]


@pytest.mark.parametrize(("method", "steps", "taken"), [(ppo, 70, 64), (sac, 70, 68)])
def test_a_budget_that_is_no_multiple_of_a_rollout(
    source: Policy, method: Any, steps: int, taken: int
) -> None:
    assert adapt(source, method, steps)[1] == taken


def test_no_step_beyond_the_budget(source: Policy) -> None:
    budget = RewardedSteps(TARGET, 3)
    env = budget.open()
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.zeros(2))
    with pytest.raises(SimrealError, match="the 3 rewarded steps of simreal-test"):
        env.step(np.zeros(2))
    with pytest.raises(SimrealError, match="--steps 0: at least one"):
        RewardedSteps(TARGET, 0)
    with pytest.raises(SimrealError, match="--steps 20: PPO needs at least 32"):
        adapt(source, ppo, 20)
    with pytest.raises(SimrealError, match="--steps 3: SAC needs at least 4"):
        adapt(source, sac, 3)
    with pytest.raises(SimrealError, match="needs rewarded steps: give --steps N"):
        METHODS["sac"].adapt(Problem(source, 0))
