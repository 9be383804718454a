"""Weights on source frames, where the target is a rare part of the source."""

import functools
from typing import Any

import numpy as np
import pytest
import torch

from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from simreal.data.target import TargetData
from simreal.learning import LearnConfig, Learner
from simreal.transfer import Problem, instances
from simreal.transfer.importance import effective_samples


def quiet(losses: object) -> None:
    pass


def frames(rng: np.random.Generator, count: int, rare: float) -> TargetData:
    """Return frames of a robot whose first axis is mirrored in a rare mode, which it is told."""
    mode = np.where(rng.random(count) < rare, 1.0, -1.0)
    seen = np.column_stack([rng.uniform(-1, 1, (count, 2)), mode + rng.normal(0, 0.2, count)])
    right = 0.8 * seen[:, :2] * np.column_stack([mode, np.ones(count)])
    blank = np.zeros((count, 1, 1, 3), np.uint8)
    return TargetData(blank, np.float32(seen), np.float32(right), np.arange(count))


def error(policy: Policy, data: TargetData) -> float:
    with torch.inference_mode():
        guess = policy(data.at(np.arange(len(data))).observation)
    return float((guess - torch.from_numpy(data.actions)).square().mean())


@pytest.fixture(scope="module")
def problem() -> Problem:
    """A policy too small to be right in both modes; a tenth of its source was in the target's."""
    rng = np.random.default_rng(0)
    source, target = frames(rng, 1000, 0.1), frames(rng, 200, 1.0)
    torch.manual_seed(0)
    encoder = EncoderConfig("state", (("proprio", 3),), None, 12, hidden=(), activation="tanh")
    learner = Learner(Policy(PolicyConfig(encoder, HeadConfig(()), 2)), LearnConfig(300, 1e-2))
    for _ in range(300):
        learner.update(source.batch(rng, 64))
    return Problem(learner.averaged(), 0, source=source, frames=target, updates=600)


@pytest.mark.parametrize("run", [instances.kmm, instances.density_ratio])
@pytest.mark.parametrize("on", [True, False])
def test_weights_make_the_most_of_a_small_policy(problem: Problem, run: Any, on: bool) -> None:
    run = run if on else functools.partial(run, weigh=instances.weigh_equally)
    test = frames(np.random.default_rng(1), 300, 1.0)
    before, after = error(problem.policy, test), error(run(problem, quiet), test)
    assert (after < 0.3 * before) == on, f"{before:.3f} to {after:.3f}"


@pytest.mark.parametrize("weigh", [instances.match_kernel_means, instances.divide_densities])
def test_weights_find_the_part_that_the_target_is(weigh: Any) -> None:
    rng = np.random.default_rng(0)
    source = np.concatenate([rng.normal(size=(270, 8)), rng.normal(size=(30, 8)) + 2])
    target = rng.normal(size=(100, 8)) + 2
    weights = weigh(source, target)
    assert weights.mean() == pytest.approx(1, abs=0.02)
    assert weights[270:].mean() > 5 * weights[:270].mean()
    assert effective_samples(weights) > 15


@pytest.mark.parametrize("weigh", [instances.match_kernel_means, instances.divide_densities])
def test_without_a_shift_most_samples_count(weigh: Any) -> None:
    """Of few dimensions: in many, matching chance differences of the means takes ever fewer samples."""
    rng = np.random.default_rng(0)
    weights = weigh(rng.normal(size=(300, 2)), rng.normal(size=(300, 2)))
    assert effective_samples(weights) > 200
