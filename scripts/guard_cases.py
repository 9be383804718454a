"""Cells of a study as cases of scripts/guard_study.py: what a guard would have returned, and how that did."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matrix_tables import whole
from numpy.typing import NDArray

from simreal.check.statistics import holm, sign_flip_p, t_interval
from simreal.check.verdict import MARGIN, MINIMUM_SEEDS, decide, shared_levels
from simreal.errors import SimrealError
from simreal.guarded import rivals
from simreal.study.table import Table
from simreal.targets import label_of
from simreal.transfer import METHODS
from simreal.transfer.guard import elect, stages

GUARDED, BEST = "guarded", "best"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One method in one domain, and its rivals."""

    method: str
    domain: str
    names: tuple[str, ...]
    """Candidates, the method first."""
    seeds: tuple[int, ...]
    outcomes: NDArray[np.bool_]
    """(seeds, candidates, episodes); an episode of a seed is the same for all candidates."""


@dataclass(frozen=True)
class Judged:
    """What a guard returned in a case, on each seed, and how that did in the episodes that it did not see."""

    case: Case
    chosen: NDArray[np.int64]
    """(seeds,): which of the candidates."""
    episodes: int
    """By which it is judged."""
    success: dict[str, Array]
    """Candidate, and `guarded` and `best` of each seed in hindsight -> success (seeds,)."""


@dataclass(frozen=True)
class Compared:
    """A policy against a baseline in a case."""

    method: str
    domain: str
    policy: str
    baseline: str
    verdict: str
    difference: float
    ci_low: float
    ci_high: float
    """Those of all comparisons hold 95% together (Bonferroni)."""
    p_value: float
    plain_high: float
    """Upper end at 95%."""

    def __str__(self) -> str:
        ends = f"{100 * self.ci_low:+.0f} to {100 * self.ci_high:+.0f}"
        what = f"{self.policy} {self.method}" if self.policy == GUARDED else self.method
        return f"{what} on {self.domain} against {self.baseline}: {100 * self.difference:+.0f} ({ends})"


def read_cases(path: Path, demos: int, run_seed: int) -> list[Case]:
    """Return the cases of a table whose every candidate is there, with outcomes.

    Args:
        path: Cells of a study.
        demos: Of the candidates that learn from demonstrations.
        run_seed: Of the cells.

    Raises:
        SimrealError: if the file is missing or damaged, or has several cells of a candidate, domain and seed.
    """
    if not path.is_file():
        raise SimrealError(f"no table {str(path)!r}: give --table, the cells of a study as parquet")
    found: defaultdict[tuple[str, str], dict[int, list[bool]]] = defaultdict(dict)
    for row in Table(path):
        if row.get("successes") and row["run_seed"] == run_seed and row["demos"] in (0, demos):
            label, seed = label_of(row["domain"], row["severity"]), row["seed"]
            of_candidate = found[row["candidate"], label]
            if seed in of_candidate:
                what = f"two cells of {row['candidate']} on {label}, seed {seed}"
                raise SimrealError(f"{path}: {what}: a guard is judged on one source and one budget")
            of_candidate[seed] = row["successes"]
    return [
        case
        for name, domain in list(found)
        if name in METHODS and (case := _case(found, name, domain)) is not None
    ]


def _case(found: dict[tuple[str, str], dict[int, list[bool]]], name: str, domain: str) -> Case | None:
    names = rivals(name)
    seeds = sorted(set.intersection(*(set(found.get((each, domain), {})) for each in names)))
    outcomes = [[found[each, domain][seed] for each in names] for seed in seeds]
    return Case(name, domain, names, tuple(seeds), np.array(outcomes, bool)) if seeds else None


def judge(case: Case, rollouts: int) -> Judged:
    """Let a guard choose by the first episodes, and judge it by the rest.

    Raises:
        SimrealError: if no episode is left.
    """
    plan = stages(rollouts, case.names)
    episodes = case.outcomes.shape[-1]
    if plan[-1] >= episodes:
        raise SimrealError(
            f"--rollouts {rollouts}: the guard runs {plan[-1]} episodes of each cell's {episodes}: none is "
            "left to judge it by"
        )
    chosen = elect(case.outcomes, plan)
    rates = case.outcomes[..., plan[-1] :].mean(axis=-1)
    success = {name: rates[:, index] for index, name in enumerate(case.names)}
    success[GUARDED] = np.take_along_axis(rates, chosen[:, None], axis=-1)[:, 0]
    return Judged(case, chosen, episodes - plan[-1], success | {BEST: rates.max(axis=-1)})


def compare(judged: Sequence[Judged], policy: str | None) -> list[Compared]:
    """Compare with every baseline of every case, corrected for the number of all of them.

    Left out are cases of so few seeds that there can be no verdict: they would only take from the others.

    Args:
        judged: All cases of a family.
        policy: `guarded`, or None for each case's method.
    """
    keys = [
        (found, policy or found.case.method, base)
        for found in judged
        for base in found.case.names[1:]
        if len(found.case.seeds) >= MINIMUM_SEEDS
    ]
    values = [(found.success[mine] - found.success[base]).tolist() for found, mine, base in keys]
    raw = [sign_flip_p(each) for each in values]
    adjusted, levels = holm(raw), shared_levels(len(raw))
    return [_compared(*key, *rest) for key, *rest in zip(keys, values, adjusted, levels, strict=True)]


def _compared(
    found: Judged, policy: str, baseline: str, values: list[float], p_value: float, level: float
) -> Compared:
    floor = 1 / found.episodes
    low, high = t_interval(values, 1 - level, floor)
    verdict = str(decide(low, high, p_value <= 0.05, MARGIN))
    case, plain = found.case, t_interval(values, floor=floor)[1]
    difference = float(np.mean(values))
    return Compared(
        case.method, case.domain, policy, baseline, verdict, difference, low, high, p_value, plain
    )


def by_seed(judged: Iterable[Judged], values: Iterable[Array]) -> Array:
    """Return the mean over cases for each seed that has them all; the unit is a training seed."""
    found = {
        (each.case.domain, seed): float(value)
        for each, mine in zip(judged, values, strict=True)
        for seed, value in zip(each.case.seeds, mine, strict=True)
    }
    rates: defaultdict[int, list[float]] = defaultdict(list)
    for domain, seed in sorted(whole(found)):
        rates[seed].append(found[domain, seed])
    return np.array([np.mean(own) for own in rates.values()])


def summary(judged: Sequence[Judged], told: dict[str, list[Compared]]) -> dict[str, Any]:
    """Return what a guard did to one method: means over domains with the same seeds, and where it is worse.

    Args:
        judged: The method's cases.
        told: `unguarded` and `guarded` -> comparisons of the whole family.
    """
    name = judged[0].case.method
    names = judged[0].case.names
    block = whole((each.case.domain, seed) for each in judged for seed in each.case.seeds)
    sizes = {"domains": len({domain for domain, _ in block}), "seeds": len({seed for _, seed in block})}
    row: dict[str, Any] = {"method": name, **sizes}
    row["success"] = {
        each: float(by_seed(judged, (found.success[each] for found in judged)).mean())
        for each in (*names, GUARDED, BEST)
    }
    row["returned"] = {
        each: float(by_seed(judged, (found.chosen == index for found in judged)).mean())
        for index, each in enumerate(names)
    }
    row["cost"] = _spread(by_seed(judged, (found.success[BEST] - found.success[GUARDED] for found in judged)))
    row["gain"] = _spread(by_seed(judged, (found.success[GUARDED] - found.success[name] for found in judged)))
    steady = (_steady(found) - found.success[GUARDED] for found in judged)
    row["cost_to_domains_best"] = _spread(by_seed(judged, steady))
    for base in names[1:]:
        over = (found.success[GUARDED] - found.success[base] for found in judged)
        row[f"gain over {base}"] = _spread(by_seed(judged, over))
    for who, comparisons in told.items():
        mine = [each for each in comparisons if each.method == name]
        for base in names[1:]:
            against = [each for each in mine if each.baseline == base]
            row[f"{who} worse than {base}"] = {
                "corrected": sum(each.verdict == "negative" for each in against),
                "plain": sum(each.plain_high < 0 for each in against),
            }
    return row


def _steady(found: Judged) -> Array:
    """Return the success of the candidate that is best on average over the case's seeds."""
    return max((found.success[name] for name in found.case.names), key=lambda rates: float(rates.mean()))


def _spread(values: Array) -> dict[str, float | None]:
    low, high = t_interval(values.tolist()) if len(values) > 1 else (None, None)
    return {"mean": float(values.mean()), "ci_low": low, "ci_high": high}
