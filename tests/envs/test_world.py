import resource
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from envs.parameters import world_from_values

ID = "simreal/PandaReach-v0"


@pytest.mark.parametrize("image", [True, False])
@pytest.mark.parametrize("domain", ["nominal", "source"])
def test_environment_checkers(image: bool, domain: str) -> None:
    env = gymnasium.make(ID, image=image, domain=domain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env.unwrapped, skip_render_check=True)
        sb3_check_env(env.unwrapped)
    env.close()


def episode(env: Any, seed: int, **options: Any) -> list[Any]:
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed, options=options)
    seen = [observation]
    for _ in range(6):
        observation, reward, *_ = env.step(rng.uniform(-1, 1, 3).astype(np.float32))
        seen.append({**observation, "reward": np.float64(reward)})
    return seen


@pytest.mark.parametrize("domain", ["source", "workshop@5", "night-shift@5", "dropped-frames@3"])
def test_same_seed_same_episode_bit_for_bit(world: Any, domain: str) -> None:
    first = episode(world, 3, domain=domain)
    episode(world, 4, domain="payload@5")  # whatever came between must leave no trace
    second = episode(world, 3, domain=domain)
    for before, after in zip(first, second, strict=True):
        assert all(np.array_equal(before[name], after[name]) for name in before)


def test_same_seed_places_the_same_goal_in_every_domain(world: Any) -> None:
    goals = []
    for domain in ("nominal", "clutter@5", "workshop@3"):
        goals.append(world.reset(seed=11, options={"domain": domain})[0]["privileged"][:3])
    assert np.array_equal(goals[0], goals[1])
    assert np.array_equal(goals[0], goals[2])


def test_straight_motion_reaches_the_goal(world: Any) -> None:
    for seed in range(5):
        observation, info = world.reset(seed=seed, options={"domain": "nominal"})
        for _ in range(20):
            way = observation["privileged"][3:6]
            observation, _, done, _, info = world.step(np.clip(way / 0.05, -1, 1).astype(np.float32))
            if done:
                break
        assert info["success"]


def test_mirrored_action_moves_the_other_way(world: Any) -> None:
    def sideways(gain: float) -> float:
        replayed = world_from_values({"dynamics.action_gain": (1.0, gain, 1.0)})
        before, _ = world.reset(seed=0, options={"world": replayed})
        after, *_ = world.step(np.array([0, 1, 0], np.float32))
        return float(after["proprio"][8] - before["proprio"][8])

    assert sideways(1.0) > 0.01
    assert sideways(-1.0) < -0.01


def test_render_is_fit_for_people(world: Any) -> None:
    world.reset(seed=0)
    picture = world.render()
    assert picture.shape == (480, 480, 3)
    assert picture.std() > 10


def test_privileged_state_only_when_asked_for() -> None:
    env = gymnasium.make(ID, image=False)
    assert set(env.reset(seed=0)[0]) == {"proprio"}
    env.close()


def test_physical_parameters_do_not_drift_over_1000_resets() -> None:
    env = gymnasium.make(ID, image=False)
    base: Any = env.unwrapped
    client, body = base.simulation.client, base.robot.body
    masses = [client.getDynamicsInfo(body, link)[0] for link in range(-1, 12)]
    for seed in range(1000):
        env.reset(seed=seed, options={"domain": "source" if seed % 2 else "payload@5"})
    env.reset(seed=0, options={"domain": "nominal"})
    assert [client.getDynamicsInfo(body, link)[0] for link in range(-1, 12)] == masses
    assert base.robot.gain == base.robot.spec.position_gain
    env.close()


def test_memory_does_not_grow_over_10000_resets() -> None:
    env = gymnasium.make(ID, image=False, domain="source")
    for seed in range(1000):
        env.reset(seed=seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(9000):
        env.reset(seed=seed)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB
    env.close()


def test_vectorized_over_processes() -> None:
    vector = gymnasium.make_vec(ID, num_envs=2, vectorization_mode="async", domain="source")
    observation, _ = vector.reset(seed=0)
    assert observation["image"].shape == (2, 64, 64, 3)
    vector.step(vector.action_space.sample())
    vector.close()
