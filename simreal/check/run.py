"""`check`: candidates x training seeds on one target -> verdicts."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from envs import Domain
from policies import Policy, PolicyBundle
from simreal import workers
from simreal.bundles import gripper_columns, source_domain
from simreal.check import target_only
from simreal.check.candidates import (
    EQUAL_UPDATES,
    TARGET_ONLY,
    ZERO_SHOT,
    Shared,
    check_candidates,
    check_needs,
    check_seeds,
    converge,
    pairs,
    train_and_run,
)  # fmt: skip
from simreal.check.finished import Finished
from simreal.check.sequential import Look, Plan, Sequential, settled
from simreal.check.spending import Kept, Spending, spending, told
from simreal.check.verdict import MARGIN, Comparison, compare_all, reach, sentence, spread
from simreal.data.source import SourceData
from simreal.errors import SimrealError
from simreal.evaluate import Packed, pack
from simreal.presets import Sizes
from simreal.pretrain.cost import SourceCost
from simreal.progress import progress
from simreal.targets import Target

_TUNED = "target-only tuned"
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
    updates: int
    """Gradient updates of every method, and of target-only at equal updates."""
    most_updates: int
    """Most updates of target-only."""
    seed: int
    frames: int = 0
    """Unlabelled frames for each training seed, recorded by the source policy as it fails or succeeds."""
    gripper: tuple[int, ...] = ()
    """Which elements of the proprioception are the gripper's position."""
    sequential: bool = False
    """Look on the way, and stop when the primary verdict is settled; `seeds` is then the most."""
    source_cost: SourceCost | None = None
    """What the source policy took, where somebody knows."""

    @classmethod
    def of(
        cls,
        bundle: PolicyBundle,
        teacher: Policy,
        target: Target,
        methods: tuple[str, ...],
        sizes: Sizes,
        *,
        run: Path | None,
        demos: int | None = None,
        seeds: int | None = None,
        episodes: int | None = None,
        **more: Any,
    ) -> "CheckRequest":
        """Return the request of a bundle: what nobody gives has the size of a preset.

        Args:
            bundle: The source.
            teacher: Records the demonstrations.
            target: Where.
            methods: Candidates, the primary one first.
            sizes: Of the preset.
            run: The pretraining run that has the source data; None for none.
            demos: For each training seed.
            seeds: Of training.
            episodes: Of each candidate and seed.
            more: Further fields, `seed` among them.
        """
        return cls(
            target=target,
            source_policy=bundle.policy,
            teacher=teacher,
            source_data=None if run is None else run / "source",
            source_domain=source_domain(bundle),
            methods=methods,
            demos=sizes.demos if demos is None else demos,
            seeds=sizes.seeds if seeds is None else seeds,
            episodes=sizes.check_episodes if episodes is None else episodes,
            updates=sizes.updates,
            most_updates=sizes.tuning_updates,
            gripper=gripper_columns(bundle.manifest),
            **more,
        )


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
    sequential: Sequential | None = None
    """How it was looked at on the way; None if it was not."""
    spending: Spending | None = None


@dataclass(frozen=True)
class CheckDetails:
    """What is reported beside the result."""

    tuned: target_only.Tuned
    sentences: list[str]
    adapted: Policy
    """The primary candidate of the first seed."""


def check(
    request: CheckRequest, progress_file: Path | None = None, resume: bool = False
) -> tuple[CheckResult, CheckDetails]:
    """Train and evaluate every candidate on every seed, and compare.

    Args:
        request: Who competes for what.
        progress_file: Where finished trainings are kept; None for nowhere.
        resume: Go on with those, instead of training them again.
    """
    shared = _shared(request)
    finished = Finished(progress_file, _settings(shared), resume)
    tuned = _tune(request, shared, finished)
    plan = Plan.of_budget(request.seeds) if request.sequential else Plan((request.seeds,))
    adapted = request.source_policy
    for seeds in plan.looks:
        kept, shown = _compete(request, shared, tuned, finished, seeds, seeds != plan.looks[0])
        success = {name: [each.success for each in found] for name, found in kept.items()}
        adapted = shown or adapted
        look = Look(plan, seeds) if request.sequential else None
        comparisons = compare_all(success, *pairs(request.methods), request.episodes, look=look)
        if settled(comparisons[0].verdict, comparisons[0].ci_high, MARGIN):
            break
    history = Sequential.of(look) if look else None
    frames = float(np.mean([each.frames for each in kept[TARGET_ONLY]]))
    tuning = len(_TUNING_SEEDS) * request.demos
    budget = Budget(request.demos, frames, request.frames, tuning_demonstrations=tuning)
    spent = spending(kept, shared.frames, shared.steps, request.source_cost)
    where = request.target.name, request.target.severity
    result = CheckResult(*where, seeds, budget, success, comparisons, history, spent)
    return result, CheckDetails(tuned, _sentences(result, request.episodes, look), adapted)


def _sentences(result: CheckResult, episodes: int, look: Look | None) -> list[str]:
    """Return a sentence for each comparison, and what is to be said of all."""
    found = [
        sentence(item, result.seeds, spread(result.candidates, (item.candidate, item.baseline), episodes))
        for item in result.comparisons
    ]
    beyond = reach(result.seeds, len(result.comparisons) - 1, look)
    cost = result.spending and told(result.spending, result.comparisons[0].candidate)
    saved = result.sequential and result.sequential.sentence()
    return [*found, *(text for text in (beyond, cost, saved) if text)]


def _compete(
    request: CheckRequest,
    shared: Shared,
    tuned: target_only.Tuned,
    finished: Finished,
    seeds: int,
    again: bool,
) -> tuple[dict[str, list[Kept]], Policy | None]:
    """Return what came of every candidate and seed, and the primary candidate's first policy.

    Looking again adds seeds to those of an earlier look, which had the policy: it is then None.
    """
    candidates = [ZERO_SHOT, *request.methods, TARGET_ONLY, EQUAL_UPDATES]
    names = [(name, seed) for seed in range(seeds) for name in candidates]
    shown = (request.methods[0], 0)  # its policy is wanted, not only its success
    jobs = {
        key: workers.submit(train_and_run, shared, *key, tuned)
        for key in names
        if _kept(finished, key) is None or (key == shown and not again)
    }
    adapted = None
    with progress(f"check on {request.target.label}", len(jobs), "trainings") as advance:
        for key, future in jobs.items():
            trained = future.result()
            finished.keep("/".join(map(str, key)), Kept.of(trained))
            adapted = Policy.from_arrays(*trained.policy) if key == shown else adapted
            advance(1)
    found = {name: [_kept(finished, (name, seed)) for seed in range(seeds)] for name in candidates}
    return {name: [each for each in of_name if each] for name, of_name in found.items()}, adapted


def _kept(finished: Finished, key: tuple[str, int]) -> Kept | None:
    """Return what came of a training; None if it is missing, or was kept before its time was."""
    found = finished.get("/".join(map(str, key)))
    return Kept(**found) if isinstance(found, dict) else None


def _tune(request: CheckRequest, shared: Shared, finished: Finished) -> target_only.Tuned:
    """Choose target-only's learning rate and number of updates on tuning seeds."""
    if (kept := finished.get(_TUNED)) is not None:
        return target_only.Tuned(**kept)
    futures = [
        workers.submit(converge, shared, rate, seed)
        for seed in _TUNING_SEEDS
        for rate in target_only.LEARNING_RATES
    ]
    trials = []
    with progress("tune target-only", len(futures), "trainings") as advance:
        for future in futures:
            trials.append(future.result())
            advance(1)
    tuned = target_only.choose(trials)
    finished.keep(_TUNED, tuned)
    return tuned


def _shared(request: CheckRequest) -> Shared:
    """Check the request, and return what every job needs of it."""
    if not request.methods:
        raise SimrealError("no method to check: give --method, such as cotrain")
    check_candidates(request.methods)
    check_seeds(request.seed, request.seeds)
    if request.source_data is not None:
        SourceData.open(request.source_data)
    for name in request.methods:
        check_needs(name, request.source_data, request.frames)
    return Shared(
        request.target,
        pack(request.source_policy),
        pack(request.teacher),
        request.source_data and request.source_data.absolute(),
        request.source_domain,
        request.demos,
        request.episodes,
        request.updates,
        request.most_updates,
        request.seed,
        request.frames,
        request.gripper,
    )


def _settings(shared: Shared) -> dict[str, object]:
    """Return everything that decides what a training of a check comes to."""
    domain = shared.target.domain
    return {
        "target": domain.to_plain() if domain else shared.target.env,
        "source_domain": shared.source_domain.to_plain(),
        "policies": [_digest(shared.source_policy), _digest(shared.teacher)],
        "gripper": list(shared.gripper),
        "sizes": [
            *(shared.demos, shared.frames, shared.episodes),
            *(shared.updates, shared.most_updates, shared.run_seed),
        ],
    }


def _digest(packed: Packed) -> str:
    return hashlib.sha256(b"".join(packed[1][name].tobytes() for name in sorted(packed[1]))).hexdigest()
