"""Candidates of a check: what each trains on, and how well it then does."""

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from envs import Domain
from policies import Policy, PolicyConfig
from simreal.check import target_only
from simreal.data.demonstrations import demonstrate, roam
from simreal.data.source import SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.evaluate import Packed, episode_seeds, pack, run_episodes
from simreal.rollout import EpisodeSummary
from simreal.seeds import MAXIMUM, Purpose, seed_for
from simreal.targets import Target
from simreal.transfer import METHODS, Problem, RewardedSteps, SourceAccess, method
from simreal.transfer.base import Once, each_time

ZERO_SHOT, TARGET_ONLY = "zero-shot", "target-only"
EQUAL_UPDATES = "target-only-equal-updates"
MOST_SEEDS = 1000  # training seeds that a run has room for: above, two runs would share random numbers
_MOST_RUN = MAXIMUM // MOST_SEEDS - 1
_COPY = 1 << 12  # from the training seeds of a candidate to those of its next copy


@dataclass(frozen=True)
class Shared:
    """What every job of a check needs, fit to be sent to a worker."""

    target: Target
    source_policy: Packed
    teacher: Packed
    source_data: Path | None
    source_domain: Domain
    demos: int
    episodes: int
    updates: int
    most_updates: int
    run_seed: int
    frames: int = 0
    """Unlabelled frames for each training seed, recorded by the source policy."""
    gripper: tuple[int, ...] = ()
    """Which elements of the proprioception are the gripper's position."""
    steps: int = 0
    """Rewarded steps for each training seed."""
    settings: str = ""
    """Of the method where they are not its own: JSON, name to number."""


@dataclass(frozen=True)
class Trained:
    """One candidate of one training seed."""

    policy: Packed
    frames_used: int
    """Of the demonstrations, if it learned from any."""
    episodes: list[EpisodeSummary]
    seconds: float
    """Of training alone, wall clock; what `once` kept from an earlier target is not in it again."""

    @property
    def success_rate(self) -> float:
        """Return the share of the episodes that succeeded."""
        return float(np.mean([episode.success for episode in self.episodes]))


def train_and_run(
    shared: Shared, name: str, seed: int, tuned: target_only.Tuned, once: Once = each_time
) -> Trained:
    """Train one candidate for one training seed, and run it in the target.

    Args:
        shared: What it trains on.
        name: The candidate.
        seed: The training seed.
        tuned: Settings of target-only.
        once: Keeps what a method makes without looking at the target, for the next target.
    """
    data = demonstrations(shared, seed, Purpose.DEMONSTRATION) if shared.demos else None
    used = len(data) if data is not None and "demonstrations" in needs_of(name) else 0
    name, copy = copy_of(name)
    training_seed = seed_for(Purpose.TRAINING, shared.run_seed, seed + copy * _COPY)
    source = Policy.from_arrays(*shared.source_policy)
    train: Callable[[], Policy]
    if name == ZERO_SHOT:
        train = functools.partial(Policy.from_arrays, *shared.source_policy)  # as it is
    elif name in (TARGET_ONLY, EQUAL_UPDATES):
        updates = tuned.updates if name == TARGET_ONLY else shared.updates
        assert data is not None  # without any there is nothing to train on
        settings = (tuned.learning_rate, updates, training_seed)
        train = functools.partial(target_only.train, source.config, data, *settings)
    else:
        problem = _problem(shared, source, data, seed, training_seed, once)
        chosen = method(name).with_settings(json.loads(shared.settings or "{}"))
        train = functools.partial(chosen.adapt, problem)
    started = time.perf_counter()
    policy = train()
    seconds = 0.0 if name == ZERO_SHOT else time.perf_counter() - started
    run = shared.run_seed * MOST_SEEDS + seed
    seeds = episode_seeds(run, shared.episodes, Purpose.CHECK_EVALUATION)
    summaries = run_episodes(pack(policy), shared.target, seeds)
    return Trained(pack(policy), used, summaries, seconds)


def _problem(
    shared: Shared, source: Policy, data: TargetData | None, seed: int, training_seed: int, once: Once
) -> Problem:
    access = None
    if shared.source_data is not None:
        access = SourceAccess(SourceData.open(shared.source_data), shared.source_domain)
    return Problem(
        source,
        training_seed,
        data,
        access,
        unlabelled(shared, seed) if shared.frames else None,
        shared.updates,
        shared.gripper,
        RewardedSteps(shared.target, shared.steps) if shared.steps else None,
        once=once,
    )


def converge(shared: Shared, learning_rate: float, seed: int) -> target_only.Tuned:
    """Train target-only on demonstrations of a tuning seed until it no longer improves."""
    data = demonstrations(shared, seed, Purpose.TUNING_DEMONSTRATION)
    config: PolicyConfig = shared.source_policy[0]
    tuning_seed = seed_for(Purpose.TUNING, shared.run_seed, seed)
    return target_only.converge(config, data, learning_rate, shared.most_updates, tuning_seed)


def demonstrations(shared: Shared, seed: int, purpose: Purpose) -> TargetData:
    """Record the demonstrations of a training seed: the same for every candidate."""
    env = shared.target.open(privileged=True)
    first = seed_for(purpose, shared.run_seed, seed << 10)
    teacher = Policy.from_arrays(*shared.teacher)
    return TargetData.of_episodes(list(demonstrate(env, teacher, shared.demos, first, shared.target.options)))


def unlabelled(shared: Shared, seed: int) -> TargetData:
    """Let the source policy roam the target for the frames of a training seed: the same for every method."""
    env, source = shared.target.open(), Policy.from_arrays(*shared.source_policy)
    first = seed_for(Purpose.UNLABELLED, shared.run_seed, seed << 10)
    return TargetData.of_episodes(
        list(roam(env, source, shared.frames, first, options=shared.target.options))
    )


def needs_of(name: str) -> tuple[str, ...]:
    """Return what a candidate needs of source and target."""
    if name in (TARGET_ONLY, EQUAL_UPDATES):
        return ("demonstrations",)
    first = copy_of(name)[0]
    return method(first).needs if first in METHODS else ()


def check_needs(name: str, source_data: Path | None, frames: int) -> None:
    """Refuse a method that needs what a check does not give it, before anything is trained.

    Raises:
        SimrealError: naming what is missing.
    """
    needs = method(copy_of(name)[0]).needs
    if "source data" in needs and source_data is None:
        raise SimrealError(f"method {name!r} needs source data: give --source RUN")
    if "unlabelled frames" in needs and not frames:
        raise SimrealError(f"method {name!r} needs unlabelled frames: give --frames N")
    if "rewarded steps" in needs:
        raise SimrealError(
            f"method {name!r} learns from rewards, and target-only, which it would be compared with, has "
            f"none: use simreal adapt --method {name} --steps N"
        )


def check_candidates(names: Sequence[str]) -> None:
    """Refuse candidates of a check that cannot be compared, before anything is trained.

    Raises:
        SimrealError: for one that is named twice, or a copy of one that is not there.
    """
    for name in names:
        if names.count(name) > 1:
            raise SimrealError(f"--method {name} is named twice; a second copy of it is called {name}#2")
        if copy_of(name)[0] not in names:
            raise SimrealError(f"--method {name}: is compared with its first copy: add {copy_of(name)[0]}")


def check_seeds(run_seed: int, seeds: int | None) -> None:
    """Refuse seeds that would share random numbers with others, before anything is trained.

    Raises:
        SimrealError: naming the option, and what it may be.
    """
    for option, value, least, most in (("--seed", run_seed, 0, _MOST_RUN), ("--seeds", seeds, 1, MOST_SEEDS)):
        if value is not None and not least <= value <= most:
            raise SimrealError(f"{option} {value}: must be from {least} to {most}")


def copy_of(name: str) -> tuple[str, int]:
    """Return a candidate's method, and which copy of it this is, from 0.

    Raises:
        SimrealError: if what follows `#` is no number from 2 to 9.
    """
    first, mark, number = name.partition("#")
    if mark and number not in tuple("23456789"):
        raise SimrealError(f"candidate {name!r}: copies are numbered from {first}#2 to {first}#9")
    return first, int(number) - 1 if mark else 0


def pairs(methods: Sequence[str]) -> tuple[tuple[str, str], list[tuple[str, str]]]:
    """Return the primary comparison, candidate and baseline, and the secondary ones."""
    first, *others = [(name, baseline) for name in methods for baseline in _baselines(name)]
    return first, [*others, (ZERO_SHOT, TARGET_ONLY)]


def _baselines(name: str) -> tuple[str, ...]:
    """Return what a candidate is compared with: with target-only if it learns from what that has, no more."""
    first, copy = copy_of(name)
    if copy:
        return (first,)
    needs = needs_of(name)
    labelled = "demonstrations" in needs and "rewarded steps" not in needs
    return (TARGET_ONLY, ZERO_SHOT) if labelled else (ZERO_SHOT,)
