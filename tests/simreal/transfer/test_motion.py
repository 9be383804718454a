"""Matching motion: a point on a plane that goes to a goal, where it moves less for every action."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import envs  # noqa: F401
from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from simreal.data.motions import Motions
from simreal.data.source import Frames, SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.learning import LearnConfig, Learner
from simreal.transfer import Problem, method
from simreal.transfer.fine_tuning import finetune
from simreal.transfer.motion import _Fitted, effort, match, match_motion

NEAR, STEP = 0.05, 0.1  # of the goal; moved by a full action in the source
Array = NDArray[np.float64]
Act = Callable[[Array], Array]


def quiet(losses: object) -> None:
    pass


@dataclasses.dataclass(frozen=True)
class Plane:
    """How a point moves for its actions."""

    gain: float = 1.0
    drift: float = 0.0
    delay: int = 0
    noise: float = 0.002

    def episode(self, act: Act, rng: np.random.Generator, most: int = 60) -> tuple[Array, Array]:
        """Go to a goal until it is reached: places and goals (T, 4), actions (T, 2)."""
        place, goal = rng.uniform(-0.5, 0.5, (2, 2))
        seen, done = [], [np.zeros(2)] * self.delay
        for _ in range(most):
            seen.append(np.concatenate([place, goal]))
            done.append(act(seen[-1]))
            if np.linalg.norm(goal - place) < NEAR:
                break
            place = place + STEP * self.gain * done[len(seen) - 1] + self.drift
            place = place + rng.normal(0, self.noise, 2)
        return np.array(seen), np.array(done[self.delay :])

    def record(self, act: Act, seed: int, count: int) -> TargetData:
        rng = np.random.default_rng(seed)
        parts = [self.episode(act, rng) for _ in range(count)]
        seen, done = (np.concatenate(each).astype(np.float32) for each in zip(*parts, strict=True))
        images = np.zeros((len(seen), 1, 1, 3), np.uint8)
        return TargetData(images, seen, done, np.repeat(np.arange(count), [len(each) for each, _ in parts]))

    def steps(self, policy: Policy, seed: int, count: int = 40) -> float:
        """Return how long a policy takes to the goal on average."""
        image = np.zeros((1, 1, 3), np.uint8)

        def act(seen: Array) -> Array:
            return policy.act({"image": image, "proprio": seen.astype(np.float32)}).astype(np.float64)

        rng = np.random.default_rng(seed)
        return float(np.mean([len(self.episode(act, rng)[0]) for _ in range(count)]))


def expert(seen: Array) -> Array:
    """Go straight to the goal."""
    return np.clip(4 * (seen[2:] - seen[:2]), -1, 1)


def varied(seed: int, count: int) -> TargetData:
    """Record in sources that move more or less, as randomization makes them."""
    gains = np.random.default_rng(seed).uniform(0.85, 1.15, count)
    parts = [Plane(gain).record(expert, 1000 + number, 1) for number, gain in enumerate(gains)]
    columns = [[part.images, part.proprio, part.actions] for part in parts]
    joined = [np.concatenate(column) for column in zip(*columns, strict=True)]
    return TargetData(*joined, np.repeat(np.arange(count), [len(part) for part in parts]))  # type: ignore[arg-type]


@functools.cache
def source() -> TargetData:
    return varied(0, 120)


def factor(data: TargetData) -> float:
    return effort(source().motions(), data.motions(), (0, 1))


def gains(data: TargetData) -> tuple[float, float, float]:
    return _Fitted(source().motions().totals((0, 1))).gain(data.motions().totals((0, 1)))


@given(st.floats(0.2, 2.0), st.floats(-0.01, 0.01), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_gain_is_found_whatever_the_drift(gain: float, drift: float, seed: int) -> None:
    found, least, most = gains(Plane(gain, drift * gain).record(expert, seed, 10))
    assert found == pytest.approx(gain, rel=0.12)
    assert least <= found <= most


@given(st.floats(0.2, 0.5), st.floats(-0.01, 0.01), st.integers(0, 2), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_weak_robot_is_pushed_harder_whatever_its_drift_and_delay(
    gain: float, drift: float, delay: int, seed: int
) -> None:
    found = factor(Plane(gain, drift * gain, delay).record(expert, seed, 10))
    assert 0.75 / gain < found < 1.15 / gain


@pytest.mark.parametrize("delay", [1, 2, 3, 5, 8])
def test_a_delay_is_no_weakness(delay: int) -> None:
    def slow(seen: Array) -> Array:
        return 0.5 * expert(seen)

    found = [factor(Plane(delay=delay).record(act, seed, 10)) for act in (expert, slow) for seed in range(5)]
    assert found == [1.0] * 10


def slowed(seen: Array) -> Array:
    return 0.4 * expert(seen)


@pytest.mark.parametrize("act", [expert, slowed])
@pytest.mark.parametrize("noise", [0.02, 0.05, 0.08])
def test_a_disturbed_robot_is_not_weak(act: Act, noise: float) -> None:
    assert [factor(Plane(noise=noise).record(act, seed, 10)) for seed in range(20)] == [1.0] * 20


@pytest.mark.parametrize("drift", [-0.02, 0.02])
def test_a_drift_is_no_gain(drift: float) -> None:
    assert [factor(Plane(drift=drift).record(expert, seed, 10)) for seed in range(20)] == [1.0] * 20


def test_the_interval_is_as_wide_as_the_gain_is_uncertain() -> None:
    held = []
    for seed in range(60):
        data = Plane().record(slowed, seed, 10)
        noise = np.random.default_rng(seed).normal(0, 0.2, data.proprio.shape).astype(np.float32)
        _, least, most = gains(dataclasses.replace(data, proprio=data.proprio + noise))
        held.append(least <= 1 <= most)
    assert 0.85 < np.mean(held) <= 1


def test_a_strong_robot_is_held_back() -> None:
    assert 0.4 < factor(Plane(2.0).record(expert, 3, 40)) < 0.7


@pytest.mark.parametrize("seed", range(5))
def test_what_randomization_covers_is_left_alone(seed: int) -> None:
    assert factor(Plane(0.9).record(expert, seed, 10)) == 1.0
    assert factor(Plane(1.0, drift=0.01, delay=1).record(expert, seed, 10)) == 1.0


def test_who_pushes_harder_already_is_only_imitated() -> None:
    weak = Plane(0.3)
    assert factor(weak.record(lambda seen: expert(seen) / 0.3, 3, 10)) == 1.0
    assert factor(weak.record(expert, 3, 10)) > 2.5


def test_who_pushes_a_little_harder_is_helped_with_the_rest() -> None:
    weak = Plane(0.3)
    assert 1.2 < factor(weak.record(lambda seen: 2 * expert(seen), 3, 10)) < 2.4


def test_who_holds_a_strong_robot_back_is_only_imitated() -> None:
    assert factor(Plane(2.0).record(slowed, 3, 40)) == 1.0


@pytest.mark.parametrize("act", [expert, slowed])
@pytest.mark.parametrize("fault", ["mirrored", "swapped", "still", "frozen", "the same"])
def test_what_is_recorded_wrongly_scales_nothing(act: Act, fault: str) -> None:
    found = []
    for seed in range(5):
        data = Plane().record(act, seed, 10)
        actions, proprio = data.actions, data.proprio
        wrong = {
            "mirrored": (-actions, proprio),
            "swapped": (actions[:, ::-1], proprio),
            "still": (0 * actions, proprio),
            "frozen": (actions, 0 * proprio + 0.1),
            "the same": (0 * actions + 0.4, proprio),
        }[fault]
        found.append(factor(dataclasses.replace(data, actions=wrong[0], proprio=wrong[1])))
    assert found == [1.0] * 5


def test_too_few_episodes_tell_nothing() -> None:
    data = Plane(0.3).record(expert, 3, 10)
    assert factor(data.only(np.arange(3))) == 1.0
    assert factor(data.only(np.arange(4))) > 2
    few = source().only(np.arange(19)).motions()
    assert effort(few, data.motions(), (0, 1)) == 1.0
    assert effort(source().only(np.arange(40)).motions(), data.motions(), (0, 1)) > 2


def test_totals_are_of_whole_episodes_and_leave_out_short_ones() -> None:
    proprio = np.array([[0], [1], [3], [6], [9], [9.5]], np.float32)
    done = np.array([[1], [2], [3], [50], [9], [9]], np.float32)
    found = Motions(proprio, done, np.array([0, 0, 0, 0, 1, 1])).totals()
    assert (found.moved.tolist(), found.pushed.tolist(), found.steps.tolist()) == ([[6]], [[6]], [3])
    late = [Motions(proprio, done, np.array([0, 0, 0, 0, 1, 1])).totals((0,), d).pushed for d in (1, 3)]
    assert [each.tolist() for each in late] == [[[3]], [[3]]]  # at most half of an episode did nothing


@functools.cache
def policy() -> Policy:
    torch.manual_seed(0)
    encoder = EncoderConfig("state", (("proprio", 4),), None, 32, (32,))
    made = Policy(PolicyConfig(encoder, HeadConfig((32,)), 2))
    learner, rng = Learner(made, LearnConfig(600, 3e-3)), np.random.default_rng(0)
    for _ in range(600):
        learner.update(source().batch(rng, 64))
    return learner.averaged()


@pytest.mark.parametrize("most", [4.0, 1.0])
def test_slow_servos(most: float) -> None:
    weak = Plane(0.3)
    problem = Problem(policy(), 0, weak.record(expert, 3, 10), source(), updates=60, gripper=(0, 1))
    adapted, imitating = match_motion(problem, quiet, most=most), finetune(problem, quiet)
    faster = weak.steps(imitating, 5) / weak.steps(adapted, 5)
    assert (faster > 1.2) == (most > 1), f"{faster:.2f} times as fast"
    assert same(adapted, imitating) == (most == 1)


def same(one: Policy, other: Policy) -> bool:
    pairs = zip(one.to_arrays().values(), other.to_arrays().values(), strict=True)
    return all(np.array_equal(mine, its) for mine, its in pairs)


def test_it_works_from_recorded_data() -> None:
    problem = Problem(policy(), 0, Plane().record(expert, 3, 4), source(), updates=5, gripper=(0, 1))
    assert same(method("match-motion").adapt(problem), finetune(problem, quiet))


def test_both_together() -> None:
    """With nothing to see `match` is `match-motion`; without that it is fine-tuning."""
    problem = Problem(policy(), 0, Plane(0.3).record(expert, 3, 10), source(), updates=5, gripper=(0, 1))
    assert same(match(problem, quiet, first=0), match_motion(problem, quiet))
    assert same(match(problem, quiet, first=0, most=1), finetune(problem, quiet))
    assert not same(match_motion(problem, quiet), finetune(problem, quiet))
    assert same(match_motion(problem, quiet, most=0.5), finetune(problem, quiet))
    with pytest.raises(SimrealError, match="no layers"):
        match(problem, quiet)


def test_what_a_source_did_is_what_it_executed(tmp_path: Path) -> None:
    columns = {name: np.zeros((4, 1), np.float32) for name in ("shade", "segment", "depth", "camera")}
    columns |= {
        "proprio": np.arange(4.0)[:, None],
        "action": np.ones((4, 3)),
        "executed": np.full((4, 3), 2.0),
    }
    columns |= {"goal_position": np.zeros((4, 3)), "episode": np.zeros(4, int)}
    data = SourceData.create(tmp_path / "s", 4, Frames(columns))
    data.append(Frames(columns), 4)
    assert data.motions().totals().pushed.tolist() == [[6, 6, 6]]


def arm(domain: str, count: int, seed: int) -> Motions:
    """Let a gripper go here and there above the table, ever slower, and return how it moved."""
    env = gymnasium.make("simreal/PandaReach-v0", domain=domain)
    rows, rng = [], np.random.default_rng(seed)
    for episode in range(count):
        observation, _ = env.reset(seed=seed + episode)
        away = rng.uniform(-0.6, 0.6, 3)
        for step in range(10):
            action = (away * (1 - step / 12)).astype(np.float32)
            rows.append((observation["proprio"], action, episode))
            observation = env.step(action)[0]
    env.close()
    return Motions(*(np.array(column) for column in zip(*rows, strict=True)))


def test_a_real_arm_with_slow_servos() -> None:
    usual = arm("source", 24, 0)
    assert 2 < effort(usual, arm("sluggish-joints@3", 8, 40), (7, 8, 9)) < 4
    assert effort(usual, arm("payload@3", 8, 60), (7, 8, 9)) == 1.0
