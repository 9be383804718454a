"""Weights on source frames, where the target is a rare part of the source."""

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
import torch

from policies import Policy
from simreal.data.target import TargetData
from simreal.learning import LearnConfig, Learner
from simreal.transfer import instances
from simreal.transfer.importance import effective_samples


def quiet(losses: object) -> None:
    pass


@pytest.fixture(scope="module")
def lying(pictures: Any) -> tuple[Policy, TargetData]:
    """A source nine tenths of which lie on their side, and a policy that had too little time for it."""
    source = pictures.frames(slice(0, 1000))
    images = source.images.copy()
    side = np.arange(1000) % 10 > 0
    images[side] = images[side].transpose(0, 2, 1, 3)[:, ::-1]
    source = dataclasses.replace(source, images=images)
    torch.manual_seed(1)
    learner, rng = Learner(Policy(pictures.policy.config), LearnConfig(250, 5e-3)), np.random.default_rng(1)
    for _ in range(250):
        learner.update(source.batch(rng, 64))
    return learner.averaged(), source


@pytest.mark.parametrize("run", [instances.kmm, instances.density_ratio])
@pytest.mark.parametrize("on", [True, False])
def test_weights_make_the_most_of_a_short_budget(pictures: Any, lying: Any, run: Any, on: bool) -> None:
    policy, source = lying
    problem = dataclasses.replace(pictures.problem(lambda images: images), policy=policy, source=source)
    run = run if on else functools.partial(run, weigh=instances.weigh_equally)
    before, after = pictures.error(policy), pictures.error(run(problem, quiet))
    assert (after < 0.6 * before) == on, f"{before:.3f} to {after:.3f}"


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
def test_without_a_shift_nearly_all_samples_count(weigh: Any) -> None:
    rng = np.random.default_rng(0)
    weights = weigh(rng.normal(size=(300, 8)), rng.normal(size=(300, 8)))
    assert effective_samples(weights) > 200
