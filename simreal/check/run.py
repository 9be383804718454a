"""`check`: candidates x training seeds on one target -> verdicts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policies import Policy
from simreal import workers
from simreal.check import target_only
from simreal.check.candidates import (
    EQUAL_UPDATES,
    TARGET_ONLY,
    ZERO_SHOT,
    Shared,
    check_candidates,
    check_needs,
    check_seeds,
    digest,
    pairs,
    train_and_run,
)  # fmt: skip
from simreal.check.finished import Finished
from simreal.check.looks import Looks
from simreal.check.request import CheckRequest
from simreal.check.sequential import Look, Plan, Sequential, settled
from simreal.check.spending import Kept, Spending, refuse_unequal, spending, told
from simreal.check.tuning import RATE_SCALES, TUNING_SEEDS, Settings, search
from simreal.check.verdict import MARGIN, Comparison, compare_all, reach, sentence, spread
from simreal.data.source import SourceData
from simreal.errors import SimrealError
from simreal.evaluate import pack
from simreal.progress import progress


@dataclass(frozen=True)
class Budget:
    """What every learning candidate used of the target, on average over seeds."""

    demonstrations: int
    frames: float
    unlabelled_frames: int = 0
    rewarded_steps: int = 0
    tuning_demonstrations: int = 0
    """Recorded on tuning seeds, to search the settings of every candidate that learns from demonstrations."""
    tuning_trials: int = 0
    """Trainings that each of those searches took."""


@dataclass(frozen=True)
class CheckResult:
    """Success per seed and the comparisons, as `result.json` tells them."""

    domain: str
    severity: int
    seeds: int
    budget: Budget
    candidates: dict[str, list[float]]
    comparisons: list[Comparison]
    sequential: Sequential | None
    """How it was looked at on the way; None if it was not."""
    spending: Spending


@dataclass(frozen=True)
class CheckDetails:
    """What is reported beside the result."""

    settings: Settings
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
    settings = search(shared, request.methods, finished)
    plan = Plan.of_budget(request.seeds) if request.sequential else Plan((request.seeds,))
    looks = Looks(finished, plan, request.methods)
    adapted = request.source_policy
    for seeds in plan.looks:
        kept, shown = _compete(request, shared, settings, finished, seeds, seeds != plan.looks[0])
        success = {name: [each.success for each in found] for name, found in kept.items()}
        adapted = shown or adapted
        look = Look(plan, seeds) if request.sequential else None
        spent = spending(kept, shared.frames, shared.steps, request.source_cost, settings.trials_of)
        refuse_unequal(spent.spent, *pairs(request.methods))
        looks.add(seeds)
        comparisons = compare_all(success, *pairs(request.methods), request.episodes, look=look)
        if settled(comparisons[0].verdict, comparisons[0].ci_high, MARGIN):
            break
    history = Sequential.of(look) if look else None
    frames = float(np.mean([each.frames for each in kept[TARGET_ONLY]]))
    tuning = len(TUNING_SEEDS) * request.demos
    budget = Budget(request.demos, frames, request.frames, 0, tuning, settings.trials)
    where = request.target.name, request.target.severity
    result = CheckResult(*where, seeds, budget, success, comparisons, history, spent)
    sentences = _sentences(result, request.episodes, look, looks.sentence())
    return result, CheckDetails(settings, sentences, adapted)


def _sentences(result: CheckResult, episodes: int, look: Look | None, before: str | None) -> list[str]:
    """Return a sentence for each comparison, and what is to be said of all."""
    found = [
        sentence(item, result.seeds, spread(result.candidates, (item.candidate, item.baseline), episodes))
        for item in result.comparisons
    ]
    beyond = reach(result.seeds, len(result.comparisons) - 1, look)
    cost = told(result.spending, result.comparisons[0].candidate)
    saved = result.sequential and result.sequential.sentence()
    return [*found, *(text for text in (before, beyond, cost, saved) if text)]


def _compete(
    request: CheckRequest,
    shared: Shared,
    settings: Settings,
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
        key: workers.submit(train_and_run, settings.of(key[0], shared), *key, settings.target_only)
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
        "policies": [digest(shared.source_policy), digest(shared.teacher)],
        "gripper": list(shared.gripper),
        "sizes": [
            *(shared.demos, shared.frames, shared.episodes),
            *(shared.updates, shared.most_updates, shared.run_seed),
        ],
        "search": [*target_only.LEARNING_RATES, *RATE_SCALES],
    }
