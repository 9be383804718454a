"""Settings of the learning candidates, searched on tuning seeds: as many trainings for each.

Target-only has its learning rate and its length searched, a method what its own learning rate is multiplied
with. Either is chosen by the loss on the same held-out demonstrations, which no training seed has.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from policies import Policy
from simreal import workers
from simreal.check import target_only
from simreal.check.candidates import (
    TARGET_ONLY,
    Shared,
    copy_of,
    demonstrations,
    learns_from_demonstrations,
    problem_of,
    unlabelled,
)  # fmt: skip
from simreal.check.finished import Finished
from simreal.progress import progress
from simreal.seeds import Purpose, seed_for
from simreal.transfer import method
from simreal.transfer.base import RATE_SCALE

RATE_SCALES = (1.0, 0.3, 3.0)  # the default first: it is taken of equals
TUNING_SEEDS = (0, 1)  # of their own purposes: they meet no training seed


@dataclass(frozen=True)
class Scaled:
    """What a method's learning rate is multiplied with, chosen on tuning seeds alone."""

    rate_scale: float
    held_out_loss: float


Found = target_only.Tuned | Scaled


@dataclass(frozen=True)
class Settings:
    """What the search came to for every candidate that has one."""

    target_only: target_only.Tuned
    methods: dict[str, Scaled]
    trials: int
    """Trainings that each of them took."""

    def of(self, name: str, shared: Shared) -> Shared:
        """Return what the jobs of a candidate need, its settings with it."""
        found = self.methods.get(copy_of(name)[0])
        return dataclasses.replace(shared, settings=settings_text(found)) if found else shared

    def trials_of(self, name: str) -> int:
        """Return the trainings that a candidate's settings took."""
        return self.trials if learns_from_demonstrations(name) else 0


def search(shared: Shared, methods: Sequence[str], finished: Finished) -> Settings:
    """Search the settings of target-only, and of every method that learns from demonstrations.

    Args:
        shared: What they train on.
        methods: Candidates of the check.
        finished: Has what an earlier search came to, and gets what this one does.
    """
    names = tuned_names(methods)
    jobs = {
        name: [
            workers.submit(attempt, shared, name, rate, seed)
            for seed in TUNING_SEEDS
            for rate in attempts(name)
        ]
        for name in names
        if finished.get(_kept_as(name)) is None
    }
    with progress("tune candidates", sum(map(len, jobs.values())), "trainings") as advance:
        for name, futures in jobs.items():
            trials: list[Found] = []
            for future in futures:
                trials.append(future.result())
                advance(1)
            finished.keep(_kept_as(name), choose(trials))
    found = {name: read(name, finished.get(_kept_as(name))) for name in names}
    alone = found.pop(TARGET_ONLY)
    assert isinstance(alone, target_only.Tuned)
    scaled = {name: each for name, each in found.items() if isinstance(each, Scaled)}
    return Settings(alone, scaled, len(TUNING_SEEDS) * len(RATE_SCALES))


def _kept_as(name: str) -> str:
    return f"{name} tuned"


def read(name: str, plain: Mapping[str, Any]) -> Found:
    """Return what was kept of a candidate's search."""
    return target_only.Tuned(**plain) if name == TARGET_ONLY else Scaled(**plain)


def settings_text(found: Scaled) -> str:
    """Return a method's settings as a cell has them: nothing where they are its own."""
    return "" if found.rate_scale == 1 else json.dumps({RATE_SCALE: found.rate_scale})


def tuned_names(methods: Iterable[str]) -> tuple[str, ...]:
    """Return the candidates whose settings are searched: without labels there is nothing to choose by."""
    own = (copy_of(name)[0] for name in methods)
    return (TARGET_ONLY, *dict.fromkeys(name for name in own if learns_from_demonstrations(name)))


def attempts(name: str) -> tuple[float, ...]:
    """Return the learning rates of target-only, or the multiples of a method's own, that are tried."""
    return target_only.LEARNING_RATES if name == TARGET_ONLY else RATE_SCALES


def attempt(shared: Shared, name: str, rate: float, seed: int) -> Found:
    """Train a candidate on part of a tuning seed's demonstrations, and judge it on the rest."""
    data = demonstrations(shared, seed, Purpose.TUNING_DEMONSTRATION)
    tuning_seed = seed_for(Purpose.TUNING, shared.run_seed, seed)
    source = Policy.from_arrays(*shared.source_policy)
    if name == TARGET_ONLY:
        return target_only.converge(source.config, data, rate, shared.most_updates, tuning_seed)
    fitted, held = target_only.parted(data, np.random.default_rng(tuning_seed))
    frames = unlabelled(shared, seed, Purpose.TUNING_UNLABELLED) if shared.frames else None
    problem = problem_of(shared, source, fitted, frames, tuning_seed)
    policy = method(name).with_settings({RATE_SCALE: rate}).adapt(problem)
    return Scaled(rate, target_only.loss(policy, held))


def choose(trials: Sequence[Found]) -> Found:
    """Return the settings with the lowest mean loss, the first of equals."""
    own = [each for each in trials if isinstance(each, target_only.Tuned)]
    if own:
        return target_only.choose(own)
    scaled = [each for each in trials if isinstance(each, Scaled)]
    losses: dict[float, list[float]] = {}
    for each in scaled:
        losses.setdefault(each.rate_scale, []).append(each.held_out_loss)
    means = {scale: float(np.mean(found)) for scale, found in losses.items()}
    best = min(means, key=means.__getitem__)
    return Scaled(best, means[best])
