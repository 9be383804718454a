"""Held-out trials: how well a policy trained on some demonstrations tells the actions of the others."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies import Policy, PolicyConfig
from simreal import workers
from simreal.check import target_only
from simreal.check.scores import action_errors
from simreal.check.transferability import episode_folds
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.evaluate import Packed
from simreal.progress import progress
from simreal.seeds import Purpose, seed_for
from simreal.transfer import Problem, method

Array = NDArray[np.float64]
METHOD = "finetune"  # of the methods that need nothing but demonstrations, the best of the screen
FOLDS = 5
MOST_DEMOS = 100  # a little data is what this is for: of more, the first are taken


@dataclasses.dataclass(frozen=True)
class Trials:
    """Mean squared action error of every demonstration, each time held out from training."""

    sources: list[Array]
    """(D,) of each source, adapted to the other demonstrations."""
    target_only: Array
    """(D,) of target-only: trained on the others from nothing, with its own rate and length."""
    mean_action: Array
    """(D,) of the other demonstrations' mean action: chance."""


def run_trials(
    sources: Sequence[Packed],
    data: TargetData,
    updates: int,
    most_updates: int,
    seed: int,
    folds: int = FOLDS,
) -> Trials:
    """Adapt every source, and train from nothing, on all parts of the demonstrations but one, by turns.

    Args:
        sources: Policies; target-only has the first one's architecture.
        data: At least two demonstrations; of more than a hundred the first are taken.
        updates: Of every adaptation.
        most_updates: Of target-only, whose rate and length are tuned on all the demonstrations as in a
            check, which favours it, if anything.
        seed: Of the trainings.
        folds: Parts; each takes a training of every source, and one from nothing.

    Raises:
        SimrealError: for a single demonstration.
    """
    if data.demonstrations < 2:
        raise SimrealError("one demonstration: some are held out from training, so give two or more")
    data = _in_memory(data.only(np.arange(MOST_DEMOS)))
    parts = _parted(data, min(folds, data.demonstrations))
    training_seed = seed_for(Purpose.TRAINING, seed)
    tuned = _tune(sources[0][0], data, most_updates, seed)
    jobs = [
        [workers.submit(_adapted, source, *part, updates, training_seed) for part in parts]
        for source in sources
    ]
    jobs.append([workers.submit(_from_nothing, sources[0][0], *part, tuned, training_seed) for part in parts])
    with progress("trials", len(jobs) * len(parts), "trainings") as advance:
        *found, nothing = [_gathered(futures, advance) for futures in jobs]
    chance = _joined(_by_demonstration(held, _mean_error(fitted, held)) for fitted, held in parts)
    return Trials(found, nothing, chance)


def _parted(data: TargetData, folds: int) -> list[tuple[TargetData, TargetData]]:
    """Return for every fold what is fitted, and what is held out."""
    fold = episode_folds(data.episode, folds)
    return [
        (data.chosen(np.flatnonzero(fold != index)), data.chosen(np.flatnonzero(fold == index)))
        for index in range(folds)
    ]


def _tune(config: PolicyConfig, data: TargetData, most: int, seed: int) -> target_only.Tuned:
    jobs = [
        workers.submit(target_only.converge, config, data, rate, most, seed_for(Purpose.TUNING, seed))
        for rate in target_only.LEARNING_RATES
    ]
    with progress("tune target-only", len(jobs), "trainings") as advance:
        trials = []
        for job in jobs:
            trials.append(job.result())
            advance(1)
    return target_only.choose(trials)


def _gathered(futures: list["Future[Any]"], advance: Callable[[int], None]) -> Array:
    found = []
    for future in futures:
        found.append(future.result())
        advance(1)
    return _joined(found)


def _joined(found: Iterable[dict[int, float]]) -> Array:
    """Return the errors of all demonstrations in the order of the demonstrations."""
    errors: dict[int, float] = {}
    for part in found:
        errors |= part
    return np.array([errors[name] for name in sorted(errors)])


def _adapted(
    source: Packed, fitted: TargetData, held: TargetData, updates: int, seed: int
) -> dict[int, float]:
    policy = Policy.from_arrays(*source)
    adapted = method(METHOD).adapt(Problem(policy, seed, fitted, updates=updates)).eval()
    return _by_demonstration(held, action_errors(adapted, held))


def _from_nothing(
    config: PolicyConfig, fitted: TargetData, held: TargetData, tuned: target_only.Tuned, seed: int
) -> dict[int, float]:
    policy = target_only.train(config, fitted, tuned.learning_rate, tuned.updates, seed)
    return _by_demonstration(held, action_errors(policy, held))


def _mean_error(fitted: TargetData, held: TargetData) -> Array:
    return np.asarray(np.square(held.actions - fitted.actions.mean(axis=0)).mean(axis=1), float)


def _by_demonstration(held: TargetData, errors: Array) -> dict[int, float]:
    return {int(name): float(errors[held.episode == name].mean()) for name in np.unique(held.episode)}


def _in_memory(data: TargetData) -> TargetData:
    """Return the data with its images in memory, fit to be sent to a worker."""
    return dataclasses.replace(data, images=data.images[np.arange(len(data))])
