"""What a study's table says: the comparisons of one place, and which method to take in each setting."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT, needs_of
from simreal.check.verdict import Comparison, compare_all, reach, sentence, spread
from simreal.study.cells import Cell, Source
from simreal.study.plan import Budget, StudyPlan
from simreal.study.table import Table
from simreal.targets import Target
from simreal.transfer import METHODS, method


@dataclass(frozen=True)
class Compared:
    """The comparisons of one source on one target with one budget."""

    source: str
    domain: str
    severity: int
    budget: Budget
    success: dict[str, list[float]]
    """Candidate -> success rate of each training seed."""
    comparisons: list[Comparison]
    sentences: list[str]
    """One for each comparison, and then what is to be said of all."""


def compare_candidates(
    source: Source,
    target: Target,
    budget: Budget,
    group: Mapping[str, Sequence[Cell]],
    plan: StudyPlan,
    table: Table,
) -> Compared:
    """Compare the candidates that have all their seeds, corrected for all that were to be compared."""
    rates = {
        name: [row["success_rate"] for row in table.rows(source, found)] for name, found in group.items()
    }
    whole = {name: found for name, found in rates.items() if len(found) == plan.seeds}
    primary, secondary = plan.comparisons
    declared = [pair for pair in secondary if set(pair) <= group.keys()]
    complete = [pair for pair in declared if set(pair) <= whole.keys()]
    first = primary if set(primary) <= whole.keys() else None
    comparisons = []
    if first or complete:
        comparisons = compare_all(whole, first, complete, plan.episodes, declared=len(declared))
    told = [
        sentence(item, plan.seeds, spread(whole, (item.candidate, item.baseline), plan.episodes))
        for item in comparisons
    ]
    beyond = reach(plan.seeds, len(declared)) if complete else None
    told += [beyond] if beyond else []
    return Compared(source.name, target.name, target.severity, budget, whole, comparisons, told)


def recommended(compared: Iterable[Compared]) -> dict[str, str]:
    """Return for every transfer setting the best method, by the mean over what all of the setting have.

    Where a baseline does as well on the same places, it is that: zero-shot takes nothing, and target-only is
    asked of what has its demonstrations.
    """
    rates: dict[str, dict[Any, float]] = {}
    for item in compared:
        where = (item.source, item.domain, item.severity, item.budget)
        for name, found in item.success.items():
            rates.setdefault(name, {})[where] = float(np.mean(found))
    settings: dict[str, list[str]] = {}
    for name in rates:
        if name in METHODS:
            settings.setdefault(method(name).setting, []).append(name)
    chosen = {setting: _best(names, rates) for setting, names in settings.items()}
    return {setting: name for setting, name in chosen.items() if name is not None}


def _best(methods: Sequence[str], rates: Mapping[str, Mapping[Any, float]]) -> str | None:
    """Return the best method of a setting, or the baseline that it does not beat; None without a place."""
    shared = set.intersection(*(set(rates[name]) for name in methods))
    if not shared:
        return None

    def mean(name: str, places: Iterable[Any]) -> float:
        return float(np.mean([rates[name][at] for at in places]))

    best = max(methods, key=lambda name: mean(name, shared))
    places = shared & rates.get(ZERO_SHOT, {}).keys()
    if places and mean(ZERO_SHOT, places) >= mean(best, places):
        best = ZERO_SHOT
    places = shared & rates.get(TARGET_ONLY, {}).keys() & rates[best].keys()
    labelled = any("demonstrations" in needs_of(name) for name in methods)
    if labelled and places and mean(TARGET_ONLY, places) > mean(best, places):
        best = TARGET_ONLY
    return best
