"""Learning from source frames that are shown as the demonstrations are, then from both."""

import dataclasses
from collections.abc import Callable

import numpy as np

from policies import Policy
from simreal.data.batch import Batch, concatenate
from simreal.learning import Learner
from simreal.transfer.base import BATCH_SIZE, Problem, Report

_FIRST_RATE, _RATE = 1e-3, 2e-4
_SMALL = 16  # source frames in an update of the first stage: many small updates learn more than a few large
Draw = Callable[[np.random.Generator, int], Batch]


def first_learner(problem: Problem, first: float) -> Learner:
    """Return what learns from source frames alone, for `first` times the budget's updates."""
    config = problem.learning(_FIRST_RATE, max(1, round(first * problem.updates)))
    return Learner(problem.copy_of_policy(), config)


def go_on(learner: Learner, updates: int, draw: Draw, rng: np.random.Generator, report: Report) -> Policy:
    """Learn until so many updates are done in all, and return the averaged policy, to train further."""
    while learner.done < updates:
        report(learner.update(draw(rng, _SMALL)))
    return learner.averaged().train()


def join(
    problem: Problem, report: Report, policy: Policy, draw: Draw, rng: np.random.Generator, share: float
) -> Policy:
    """Go on with the demonstrations, and `share` source frames to one of theirs, for half of the updates."""
    data, beside = problem.demonstrated(), round(share * BATCH_SIZE)
    learner = Learner(policy, problem.learning(_RATE, max(1, problem.updates // 2)))
    while learner.done < learner.config.updates:
        batch = data.batch(rng, BATCH_SIZE)
        if beside:
            # Without goal positions, as in `cotrain`: they would hold the features to the source's camera.
            other = dataclasses.replace(draw(rng, beside), auxiliary={})
            batch = concatenate(batch, other)
        report(learner.update(batch))
    return learner.averaged()
