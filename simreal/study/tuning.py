"""Search a method's own settings on tuning seeds: its numbers, and its learning rate.

Every method gets equally many trials. A trial is looked at after every training seed, over all targets. Its
cells are in a table: of a trial that was interrupted none is computed twice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simreal.check.statistics import t_interval
from simreal.check.transfer_metrics import Estimate
from simreal.errors import SimrealError
from simreal.seeds import TUNING_RUNS
from simreal.study.cells import Source, cell
from simreal.study.computing import compute
from simreal.study.plan import Budget
from simreal.study.search import Setting, Trial, search
from simreal.study.table import Table
from simreal.targets import Target
from simreal.transfer import UPDATES, method
from simreal.transfer.base import RATE_SCALE

_SPAN = 10.0  # from a tenth of a setting's default to ten times it
_WHOLE_SPAN = 3
_SHARES = ("share", "span", "probing", "kept", "beta")  # which end at 1
_RATES = ("learning_rate", "meta_rate")
_CLOSED_FORM = ("bayes-head",)  # nothing is learned by gradient steps


@dataclass(frozen=True)
class Tuned:
    """What a search came to."""

    method: str
    default: dict[str, float]
    best: dict[str, float]
    searched: float
    """Mean success of the best on the seeds that chose it: flattered, the more trials the more."""
    gain: Estimate
    """Of the best over the default on tuning seeds that chose nothing, t-interval over those."""
    trials: list[Trial]


@dataclass(frozen=True)
class Tuning:
    """How to search; the same for every method."""

    targets: tuple[Target, ...]
    trials: int = 20
    seeds: int = 3
    """Stages of a trial."""
    fresh_seeds: int = 3
    """On which the best is compared with the default."""
    budget: Budget = Budget()
    updates: int = UPDATES
    episodes: int = 50
    run_seed: int = TUNING_RUNS[1]
    """0 is the screen's in scripts/transfer_matrix.py."""
    seed: int = 0
    """Of what is drawn."""

    def __post_init__(self) -> None:
        """Refuse what would look at seeds that results are reported on."""
        if self.run_seed not in TUNING_RUNS:
            first, last = TUNING_RUNS[0], TUNING_RUNS[-1]
            raise SimrealError(
                f"run seed {self.run_seed}: tuning has {first} to {last}; others are for tests"
            )


def space_of(candidate: str) -> tuple[Setting, ...]:
    """Return what can be searched of a method: its numbers, and the scale of a rate that is none of them."""
    own = method(candidate).settings()
    if not set(_RATES) & own.keys() and candidate not in _CLOSED_FORM:
        own[RATE_SCALE] = 1.0
    return tuple(_setting(name, default) for name, default in own.items())


def _setting(name: str, default: float) -> Setting:
    if isinstance(default, int):
        return Setting(name, default, max(1, default // _WHOLE_SPAN), default * _WHOLE_SPAN, True)
    high = min(default * _SPAN, 1.0) if name in _SHARES else default * _SPAN
    return Setting(name, default, default / _SPAN, high, False)


def tune(source: Source, candidate: str, tuning: Tuning, folder: Path) -> Tuned:
    """Search a method's settings.

    Args:
        source: What it starts from.
        candidate: The method.
        tuning: How.
        folder: Keeps the journal and the cells.

    Raises:
        SimrealError: if the method has no numbers, a cell cannot be computed, or optuna is missing.
    """
    space, table = space_of(candidate), Table(folder / "cells.parquet")
    if not space:
        raise SimrealError(f"method {candidate!r} has no number to tune")

    def score(settings: Mapping[str, float], seed: int) -> float:
        return _success(source, candidate, settings, seed, tuning, table)

    name = f"{candidate} {source.sha256[:12]} {_told(tuning)}"
    trials = search(name, space, score, tuning.seeds, tuning.trials, folder / "trials.journal", tuning.seed)
    default = {each.name: each.default for each in space}
    whole = [trial for trial in trials if not trial.stopped]
    best = max(whole, key=lambda trial: trial.scores[-1])
    fresh = range(tuning.seeds, tuning.seeds + tuning.fresh_seeds)
    gains = [score(best.settings, seed) - score(default, seed) for seed in fresh]
    low, high = t_interval(gains) if len(gains) > 1 else (-1.0, 1.0)
    gain = Estimate(float(np.mean(gains)), low, high)
    return Tuned(candidate, default, best.settings, best.scores[-1], gain, trials)


def _told(tuning: Tuning) -> str:
    """Return what decides the scores, for the name of a search."""
    sizes = (tuning.budget, tuning.updates, tuning.episodes, tuning.run_seed, tuning.seeds, tuning.seed)
    return " ".join([*(target.label for target in tuning.targets), *map(str, sizes)])


def _success(
    source: Source, candidate: str, settings: Mapping[str, float], seed: int, tuning: Tuning, table: Table
) -> float:
    """Return mean success over the targets for one training seed; what the table has is not computed."""
    own = {each.name: each.default for each in space_of(candidate)}
    changed = {name: value for name, value in settings.items() if value != own[name]}
    given: dict[str, Any] = {
        **{name: getattr(tuning.budget, name) for name in ("demos", "frames", "steps")},
        "updates": tuning.updates,
        "episodes": tuning.episodes,
        "settings": json.dumps(changed, sort_keys=True) if changed else "",
    }
    cells = [cell(target, candidate, tuning.run_seed, seed, **given) for target in tuning.targets]
    computed = compute(f"{candidate}, seed {seed}", source, cells, table)
    for each, reason in (*computed.refused, *computed.failed):
        raise SimrealError(f"{each.candidate} on {each.target.label}, seed {each.seed}: {reason}")
    return float(np.mean([row["success_rate"] for row in table.rows(source, cells)]))
