"""`check`: candidates x training seeds on one target -> verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from envs import Domain
from policies import Policy, PolicyConfig
from simreal import workers
from simreal.check import target_only
from simreal.check.verdict import Comparison, compare_all, sentence, spread
from simreal.data.demonstrations import demonstrate
from simreal.data.source import SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.evaluate import Packed, episode_seeds, pack, run_episodes
from simreal.progress import progress
from simreal.seeds import Purpose, seed_for
from simreal.targets import Target
from simreal.transfer import Problem, SourceAccess, method

ZERO_SHOT, TARGET_ONLY = "zero-shot", "target-only"
EQUAL_UPDATES = "target-only-equal-updates"
_EQUAL_UPDATES = 300  # what every fine-tuning method takes
_COPY = 1 << 12  # from the training seeds of a candidate to those of its next copy
_TUNING_SEEDS = (0, 1)  # of their own purposes: they meet no training seed


@dataclass(frozen=True)
class CheckRequest:
    """One target, its budget, and who competes for it."""

    target: Target
    source_policy: Policy
    teacher: Policy
    """Records the demonstrations."""
    source_data: Path | None
    source_domain: Domain
    methods: tuple[str, ...]
    """The first is the primary candidate, compared with target-only; `cotrain#2` is a second copy of
    `cotrain`, trained independently on the same demonstrations and compared with the first."""
    demos: int
    seeds: int
    episodes: int
    most_updates: int
    """Most updates of target-only."""
    seed: int


@dataclass(frozen=True)
class Budget:
    """What every learning candidate used of the target, on average over seeds."""

    demonstrations: int
    frames: float
    unlabelled_frames: int = 0
    rewarded_steps: int = 0
    tuning_demonstrations: int = 0
    """Recorded on tuning seeds, to set target-only's learning rate and length; no method saw them."""


@dataclass(frozen=True)
class CheckResult:
    """Success per seed and the comparisons, as `result.json` tells them."""

    domain: str
    severity: int
    seeds: int
    budget: Budget
    candidates: dict[str, list[float]]
    comparisons: list[Comparison]


@dataclass(frozen=True)
class CheckDetails:
    """What is reported beside the result."""

    tuned: target_only.Tuned
    sentences: list[str]
    adapted: Policy
    """The primary candidate of the first seed."""


def check(request: CheckRequest) -> tuple[CheckResult, CheckDetails]:
    """Train and evaluate every candidate on every seed, and compare."""
    learning = [*request.methods, TARGET_ONLY, EQUAL_UPDATES]
    candidates = [ZERO_SHOT, *learning]
    shared = _Shared.of(request)
    total = 1 + len(target_only.LEARNING_RATES) * len(_TUNING_SEEDS)
    tuned = _tune(request, shared, total - 1)
    jobs = {
        (name, seed): workers.submit(train_and_run, shared, name, seed, tuned)
        for seed in range(request.seeds)
        for name in candidates
    }
    success: dict[str, list[float]] = {name: [] for name in candidates}
    frames, adapted = [], request.source_policy
    with progress(f"check on {request.target.label}", len(jobs), "trainings") as advance:
        for (name, seed), future in jobs.items():
            rate, used, packed = future.result()
            success[name].append(rate)
            frames += [used] if name == TARGET_ONLY else []
            if name == request.methods[0] and seed == 0:
                adapted = Policy.from_arrays(*packed)
            advance(1)
    primary = (request.methods[0], TARGET_ONLY)
    secondary = _secondary(request.methods)
    comparisons = compare_all(success, primary, secondary, request.episodes)
    sentences = [
        sentence(item, request.seeds, spread(success, (item.candidate, item.baseline)))
        for item in comparisons
    ]
    tuning = len(_TUNING_SEEDS) * request.demos
    budget = Budget(request.demos, float(np.mean(frames)), tuning_demonstrations=tuning)
    target = request.target
    result = CheckResult(target.name, target.severity, request.seeds, budget, success, comparisons)
    return result, CheckDetails(tuned, sentences, adapted)


@dataclass(frozen=True)
class _Shared:
    """What every job of a check needs, fit to be sent to a worker."""

    target: Target
    source_policy: Packed
    teacher: Packed
    source_data: Path | None
    source_domain: Domain
    demos: int
    episodes: int
    most_updates: int
    run_seed: int

    @classmethod
    def of(cls, request: CheckRequest) -> "_Shared":
        for name in request.methods:
            if "source data" in method(_copy(name)[0]).needs and request.source_data is None:
                raise SimrealError(f"method {name!r} needs source data: give --source RUN")
        if not request.methods:
            raise SimrealError("no method to check: give --methods, such as cotrain")
        return cls(
            request.target,
            pack(request.source_policy),
            pack(request.teacher),
            request.source_data and request.source_data.absolute(),
            request.source_domain,
            request.demos,
            request.episodes,
            request.most_updates,
            request.seed,
        )


def train_and_run(
    shared: _Shared, name: str, seed: int, tuned: target_only.Tuned
) -> tuple[float, int, Packed]:
    """Return success rate, frames used and policy of one candidate for one training seed."""
    data = _demonstrations(shared, seed, Purpose.DEMONSTRATION)
    name, copy = _copy(name)
    training_seed = seed_for(Purpose.TRAINING, shared.run_seed, seed + copy * _COPY)
    source = Policy.from_arrays(*shared.source_policy)
    if name == ZERO_SHOT:
        policy = source
    elif name in (TARGET_ONLY, EQUAL_UPDATES):
        updates = tuned.updates if name == TARGET_ONLY else _EQUAL_UPDATES
        config: PolicyConfig = source.config
        policy = target_only.train(config, data, tuned.learning_rate, updates, training_seed)
    else:
        access = None
        if shared.source_data is not None:
            access = SourceAccess(SourceData.open(shared.source_data), shared.source_domain)
        policy = method(name).adapt(Problem(source, training_seed, data, access))
    run = shared.run_seed * 1000 + seed
    seeds = episode_seeds(run, shared.episodes, Purpose.CHECK_EVALUATION)
    summaries = run_episodes(pack(policy), shared.target, seeds)
    return float(np.mean([summary.success for summary in summaries])), len(data), pack(policy)


def _tune(request: CheckRequest, shared: _Shared, total: int) -> target_only.Tuned:
    """Choose target-only's learning rate and number of updates on tuning seeds."""
    futures = [
        workers.submit(_converge, shared, rate, seed)
        for seed in _TUNING_SEEDS
        for rate in target_only.LEARNING_RATES
    ]
    trials = []
    with progress("tune target-only", total, "trainings") as advance:
        for future in futures:
            trials.append(future.result())
            advance(1)
    return target_only.choose(trials)


def _converge(shared: _Shared, learning_rate: float, seed: int) -> target_only.Tuned:
    data = _demonstrations(shared, seed, Purpose.TUNING_DEMONSTRATION)
    config: PolicyConfig = shared.source_policy[0]
    tuning_seed = seed_for(Purpose.TUNING, shared.run_seed, seed)
    return target_only.converge(config, data, learning_rate, shared.most_updates, tuning_seed)


def _demonstrations(shared: _Shared, seed: int, purpose: Purpose) -> TargetData:
    """Record the demonstrations of a training seed: the same for every candidate."""
    env = shared.target.open(privileged=True)
    first = seed_for(purpose, shared.run_seed, seed << 10)
    teacher = Policy.from_arrays(*shared.teacher)
    return TargetData.of_episodes(list(demonstrate(env, teacher, shared.demos, first, shared.target.options)))


def _copy(name: str) -> tuple[str, int]:
    """Return a candidate's method, and which copy of it this is, from 0.

    Raises:
        SimrealError: if what follows `#` is no number from 2 to 9.
    """
    first, mark, number = name.partition("#")
    if mark and number not in tuple("23456789"):
        raise SimrealError(f"candidate {name!r}: copies are numbered from {first}#2 to {first}#9")
    return first, int(number) - 1 if mark else 0


def _secondary(methods: Sequence[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = [(methods[0], ZERO_SHOT)]
    for name in methods[1:]:
        first, copy = _copy(name)
        pairs += [(name, first)] if copy else [(name, TARGET_ONLY), (name, ZERO_SHOT)]
    return [*pairs, (ZERO_SHOT, TARGET_ONLY)]
