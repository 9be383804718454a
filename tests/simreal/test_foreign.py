"""Environments of other projects are brought to our form, and left as they are where that cannot be."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from simreal.errors import SimrealError
from simreal.foreign import adapted, control_period, half_range
from simreal.rollout import rollout
from simreal.targets import make, parse_target

PICTURE = spaces.Box(0, 255, (40, 44, 3), np.uint8)
ARM = spaces.Box(-np.inf, np.inf, (2, 3))
ACTION = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([1.0, 0.5], np.float32))


class World(gymnasium.Env[Any, Any]):
    """Keeps the last action, and succeeds as panda-gym does."""

    def __init__(self, observation: spaces.Space[Any] = PICTURE, action: spaces.Space[Any] = ACTION) -> None:
        self.observation_space, self.action_space = observation, action

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {"is_success": False}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.last = action
        return self.observation_space.sample(), -2.5, True, False, {"is_success": True}


@pytest.mark.parametrize(
    ("given", "shapes"),
    [
        (PICTURE, {"image": (40, 44, 3)}),
        (spaces.Box(0, 255, (3, 40, 44), np.uint8), {"image": (40, 44, 3)}),
        (ARM, {"observation": (6,)}),
        (spaces.Dict({"eye": PICTURE, "arm": ARM}), {"image": (40, 44, 3), "arm": (6,)}),
        (
            spaces.Dict({"image": PICTURE, "wrist": PICTURE}),
            {"image": (40, 44, 3), "wrist": (40, 44, 3)},
        ),
    ],
)
def test_observations_get_our_names(given: spaces.Space[Any], shapes: dict[str, tuple[int, ...]]) -> None:
    env = adapted(World(given))
    observation, _ = env.reset()
    assert {name: value.shape for name, value in observation.items()} == shapes
    assert env.observation_space.contains(observation)


def test_actions_are_rescaled() -> None:
    env = adapted(World())
    env.reset()
    for action, expected in (([-1, -1], [-2, 0]), ([1, 1], [1, 0.5]), ([0, 0], [-0.5, 0.25])):
        env.step(np.array(action, np.float32))
        assert np.allclose(env.unwrapped.last, expected)
    assert half_range(env) == (1.5, 0.25)
    unbounded = World(action=spaces.Box(-np.inf, np.inf, (2,)))
    assert adapted(unbounded).action_space is unbounded.action_space


def test_our_own_world_is_left_alone(world: Any) -> None:
    assert adapted(world) is world


def test_success_and_return_are_read() -> None:
    summary = rollout(adapted(World()), lambda _: np.zeros(2, np.float32), 0)
    assert (summary.success, summary.total_reward, summary.steps) == (True, -2.5, 1)


def test_the_control_period_is_found_or_asked_for() -> None:
    env = World()
    with pytest.raises(SimrealError, match=r"World: tells no control period .*--control-period"):
        control_period(env)
    assert control_period(env, 0.1) == 0.1
    with pytest.raises(SimrealError, match="must be above 0"):
        control_period(env, 0.0)
    env.metadata = {"render_fps": 20}
    assert control_period(env) == 0.05
    env.dt = 0.02
    assert control_period(env) == 0.02
    env.control_period_s = 0.04
    assert control_period(env) == 0.04


def test_targets_by_id_module_and_factory() -> None:
    pytest.importorskip("panda_gym")
    names = {"Pendulum-v1": 1, "panda_gym:PandaReach-v3": 3, "simreal.targets:pendulum_of_a_test": 0}
    for name, size in names.items():
        target = parse_target(name, "simreal/PandaReach-v0")
        assert target.domain is None
        if size:
            assert target.open().action_space.shape == (size,)
        else:
            with pytest.raises(SimrealError, match="has no attribute 'pendulum_of_a_test'"):
                target.open()
    with pytest.raises(SimrealError, match="Did you mean: `Pendulum`"):
        make("Pendulun-v1")
