"""What methods on unlabelled frames share: the budget's updates over batches that a method composes."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from torch import Tensor, nn

from policies import Policy
from simreal.data.batch import Batch, concatenate, unlabelled
from simreal.data.target import TargetData
from simreal.learning import Learner, Seen, Term
from simreal.transfer.base import BATCH_SIZE, LabelledFrames, Problem, Report

Draw = Callable[[np.random.Generator], Batch]


def fit_drawn(
    problem: Problem,
    report: Report,
    draw: Draw,
    learning_rate: float,
    terms: Sequence[Term] = (),
    helpers: Iterable[nn.Module] = (),
) -> Policy:
    """Take the budget's updates from the source weights, each on a batch from `draw`."""
    config = problem.learning(learning_rate)
    learner = Learner(problem.copy_of_policy(), config, terms=terms, helpers=helpers)
    rng = problem.generator()
    for _ in range(config.updates):
        report(learner.update(draw(rng)))
    return learner.averaged()


def source_of(problem: Problem) -> LabelledFrames:
    """Return the source data of a method that declares it as needed."""
    assert problem.source is not None
    return problem.source


def frames_of(problem: Problem) -> TargetData:
    """Return the unlabelled frames of a method that declares them as needed."""
    assert problem.frames is not None
    return problem.frames


def source_beside_frames(problem: Problem) -> Draw:
    """Draw labelled frames of the source, then as many of the target without their actions."""
    source, frames = source_of(problem), frames_of(problem)

    def draw(rng: np.random.Generator) -> Batch:
        labelled = source.batch(rng, BATCH_SIZE)
        return concatenate(labelled, unlabelled(frames.batch(rng, BATCH_SIZE)))

    return draw


def by_domain(seen: Seen) -> tuple[Tensor, Tensor]:
    """Return the features of labelled rows (the source) and of rows without a label (the target)."""
    known = seen.batch.action.isfinite().all(dim=1)
    return seen.feature[known], seen.feature[~known]
