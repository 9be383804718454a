"""Matching posture: a robot whose elbow wanders off, though its gripper is where it says."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import Policy
from simreal.data.batch import Batch
from simreal.data.motions import Motions
from simreal.data.target import TargetData
from simreal.transfer import Problem, appearances, method
from simreal.transfer.appearances import match_appearance
from simreal.transfer.fine_tuning import finetune
from simreal.transfer.motion import match
from simreal.transfer.postures import deviations, match_posture

GRIPPER, WANDERS = (0, 1), 1.5


def quiet(losses: object) -> None:
    pass


def recorded(seed: int, count: int, bias: float = 0.0, noise: float = 0.01) -> Motions:
    """Move about at random: the gripper's place, a joint that follows from it, and one that never moves."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(-1, 1, (count, 1, 2)) + 0.1 * rng.normal(size=(count, 6, 2)).cumsum(axis=1)
    joint = np.sin(place[..., 0]) * place[..., 1] + 0.03 * rng.normal(size=(count, 1)) + bias
    joint = joint + noise * rng.normal(size=joint.shape)
    proprio = np.stack([place[..., 0], place[..., 1], joint, 0 * joint + 0.4], axis=-1).reshape(-1, 4)
    zeros = np.zeros((len(proprio), 2), np.float32)
    return Motions(proprio.astype(np.float32), zeros, np.repeat(np.arange(count), 6))


SOURCE = recorded(0, 100)


@given(st.integers(1, 1000), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_as_the_source_is_nothing_deviates(seed: int, count: int) -> None:
    assert deviations(SOURCE, recorded(seed, count), GRIPPER).shape == (0, 4)


@given(st.floats(0.15, 2.0), st.sampled_from([-1, 1]), st.integers(1, 1000), st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_a_bias_is_found_and_where_the_gripper_is_stays(
    size: float, sign: int, seed: int, count: int
) -> None:
    target = recorded(seed, count, sign * size)
    found = deviations(SOURCE, target, GRIPPER)
    assert found.shape == target.proprio.shape
    assert found[:, 2].mean() == pytest.approx(sign * size, abs=0.1)
    assert not found[:, list(GRIPPER)].any()


def test_noise_is_found_too() -> None:
    found = deviations(SOURCE, recorded(1, 10, noise=0.2), GRIPPER)
    assert found[:, 2].std() == pytest.approx(0.2, rel=0.3)


@pytest.mark.parametrize("gripper", [(), (0, 1, 2, 3)])
def test_who_does_not_know_the_gripper_finds_nothing(gripper: tuple[int, ...]) -> None:
    assert not len(deviations(SOURCE, recorded(1, 10, 1.0), gripper))


def test_a_few_episodes_of_the_source_tell_nothing() -> None:
    assert not len(deviations(recorded(0, 19), recorded(1, 10, 1.0), GRIPPER))
    assert len(deviations(recorded(0, 20), recorded(1, 10, 1.0), GRIPPER))


def test_what_never_moved_in_the_source_is_no_ground() -> None:
    target = recorded(1, 10)
    target.proprio[:, 3] += 0.3
    assert not len(deviations(SOURCE, target, GRIPPER))


def test_places_where_the_source_never_was_do_not_run_away() -> None:
    target = recorded(1, 10, 1.0)
    target.proprio[:, 0] *= 20
    assert np.abs(deviations(SOURCE, target, GRIPPER)).max() < 5


def error(policy: Policy, data: TargetData) -> float:
    with torch.inference_mode():
        batch = data.at(np.arange(len(data)))
        return float((policy(batch.observation) - batch.action).square().mean())


def same(one: Policy, other: Policy) -> bool:
    pairs = zip(one.to_arrays().values(), other.to_arrays().values(), strict=True)
    return all(np.array_equal(mine, its) for mine, its in pairs)


def wandering(elbows: Any, seed: int, count: int, **changed: Any) -> TargetData:
    data: TargetData = elbows.World(elbow=WANDERS, **changed).demonstrations(seed, count)
    return data


@pytest.fixture(scope="module")
def problem(elbows: Any) -> Problem:
    problem: Problem = elbows.problem(wandering(elbows, 1, 4), updates=25, gripper=GRIPPER)
    return problem


@pytest.mark.parametrize("on", [True, False])
def test_an_elbow_that_wanders_off(elbows: Any, problem: Problem, on: bool) -> None:
    adapted = match_posture(problem, quiet, **({} if on else {"first": 0.0}))
    fresh = wandering(elbows, 2, 60)
    ratio = error(adapted, fresh) / error(finetune(problem, quiet), fresh)
    assert (ratio < 0.6) == on, f"{ratio:.3f} of what fine-tuning leaves"


def test_an_elbow_as_ever_is_left_to_fine_tuning(elbows: Any) -> None:
    usual = elbows.problem(elbows.World(elbow=0.0).demonstrations(1, 4), updates=5, gripper=GRIPPER)
    assert same(match_posture(usual, quiet), finetune(usual, quiet))


def test_recorded_data_are_enough(elbows: Any, problem: Problem) -> None:
    """Of a source, too: no layer is composed."""
    source = elbows.World(elbow=0.0).demonstrations(5, 60)
    short = dataclasses.replace(problem, source=source, updates=5)
    assert not same(method("match-posture").adapt(short), finetune(short, quiet))


def test_match_has_it_beside_the_looks(elbows: Any) -> None:
    orders = ("bgr", "bgr", "rgb")
    both: Problem = elbows.problem(wandering(elbows, 1, 9, orders=orders), updates=25, gripper=GRIPPER)
    fresh = wandering(elbows, 2, 60, orders=orders)
    parts = [error(run(both, quiet), fresh) for run in (match_appearance, match_posture)]
    ratio = error(match(both, quiet), fresh) / min(parts)
    assert ratio < 0.8, f"{ratio:.3f} of what the better part leaves"


@pytest.mark.parametrize(("limit", "updates"), [("_HOPELESS", 20), ("_ENOUGH", 80)])
def test_match_goes_on_with_it_where_looks_explain_too_little(
    elbows: Any, problem: Problem, monkeypatch: pytest.MonkeyPatch, limit: str, updates: int
) -> None:
    monkeypatch.setattr(appearances, limit, 0.0)
    drawn, shown = [0], appearances.shown

    def counted(source: Any, found: Any, rng: Any, size: int) -> Batch:
        drawn[0] += 1
        return shown(source, found, rng, size)

    monkeypatch.setattr(appearances, "shown", counted)
    reported: list[object] = []
    adapted, fresh = match(problem, reported.append, most=1.0), wandering(elbows, 2, 60)
    assert drawn == [updates]
    assert len(reported) == 80 + 12
    ratio = error(adapted, fresh) / error(finetune(problem, quiet), fresh)
    assert ratio < 0.6, f"{ratio:.3f} of what fine-tuning leaves"
