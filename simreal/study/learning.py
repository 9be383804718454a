"""Learning curves of a study over the target budget, and what transfer gained along them.

A method that takes demonstrations is compared with target-only over demonstrations. One that takes only
unlabelled frames or rewarded steps is compared over those with zero-shot, which takes nothing: there,
target-only does not exist.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT, needs_of
from simreal.check.savings import Savings, savings
from simreal.check.transfer_metrics import Curve, compare_curves, shared_budgets
from simreal.pretrain.cost import SourceCost
from simreal.results import finite
from simreal.transfer import METHODS

Row = Mapping[str, Any]  # of the table
_AXES = {"demonstrations": "demos", "unlabelled frames": "frames", "rewarded steps": "steps"}
_PLACE = ("source", "domain", "severity")


@dataclass(frozen=True)
class Points:
    """Success of one candidate along a budget."""

    candidate: str
    budgets: list[int]
    """Ascending."""
    success: list[list[float]]
    """Of every training seed, for each budget."""


@dataclass(frozen=True)
class Learning:
    """A method beside its baseline, on one target, along one budget."""

    source: str
    domain: str
    severity: int
    axis: str
    """What the budget is: `demos`, `frames` or `steps`."""
    beside: dict[str, int]
    """What else of the target the method took, the same for every point."""
    method: Points
    baseline: Points
    compared_from: int | None
    compared_to: int | None
    """The budgets that both cover: all metrics but the times to threshold are along these; None if there are
    not two."""
    metrics: dict[str, Any]
    """`TransferMetrics`; null for what is infinite or unknown."""
    saved: dict[str, Any]
    """`seconds` of training and `steps` of the target -> `Savings` until the threshold, against target-only;
    null where that is not the baseline, and seconds where a table was begun before they were kept."""


@dataclass(frozen=True)
class _Line:
    """Rows of one candidate along one budget: whole points alone."""

    points: dict[int, list[Row]]
    """Budget -> one row for each seed."""

    @property
    def curve(self) -> Curve:
        rates = [[row["success_rate"] for row in rows] for rows in self.points.values()]
        return Curve.of(list(self.points), np.transpose(rates))

    def told(self, candidate: str) -> Points:
        rates = [[float(row["success_rate"]) for row in rows] for rows in self.points.values()]
        return Points(candidate, list(self.points), rates)

    def costs(self, of_row: Callable[[Row], float | None]) -> list[float] | None:
        """Return the mean over seeds at each budget, which noise in timing must not let fall."""
        means = []
        for rows in self.points.values():
            found = [cost for cost in map(of_row, rows) if cost is not None]
            if len(found) < len(rows):
                return None
            means.append(float(np.mean(found)))
        return list(itertools.accumulate(means, max))


def learning_curves(
    rows: Iterable[Row], seeds: int, threshold: float, costs: Mapping[str, SourceCost | None]
) -> list[Learning]:
    """Return every method's curve over its budget against that of its baseline.

    Args:
        rows: Of the table of cells.
        seeds: That a point needs to be whole; with one there are no curves.
        threshold: Of success, set beforehand.
        costs: Source -> what it took to pretrain.
    """
    if seeds < 2:
        return []
    lines = _lines(rows, seeds)
    found = []
    for (*place, name, axis, beside), line in lines.items():
        if name not in METHODS or len(line.points) < 2:
            continue
        baseline = TARGET_ONLY if axis == "demos" else ZERO_SHOT
        theirs = lines.get((*place, baseline, axis, ()))
        if baseline == ZERO_SHOT:
            theirs = _flat(lines.get((*place, ZERO_SHOT, "", ())), max(line.points))
        if theirs is not None:
            about = dict(zip(_PLACE, place, strict=True), axis=axis, beside=dict(beside))
            pair = (line.told(name), theirs.told(baseline))
            found.append(_compared(about, pair, (line, theirs), threshold, costs.get(place[0])))
    return found


def _compared(
    about: dict[str, Any],
    pair: tuple[Points, Points],
    lines: tuple[_Line, _Line],
    threshold: float,
    cost: SourceCost | None,
) -> Learning:
    ours, theirs = (line.curve for line in lines)
    at = [int(budget) for budget in shared_budgets(ours, theirs)]
    span = (at[0], at[-1]) if len(at) > 1 else (None, None)
    saved: dict[str, Savings | None] = {}
    for unit, of_row, paid in (
        ("seconds", _seconds, cost.seconds if cost else None),
        ("steps", _steps, cost.steps if cost else None),
    ):
        first, second = (line.costs(of_row) for line in lines)
        saved[unit] = None
        if pair[1].candidate == TARGET_ONLY and first is not None and second is not None:
            saved[unit] = savings(ours, theirs, threshold, (first, second), paid)
    metrics = finite(compare_curves(ours, theirs, threshold))
    return Learning(
        **about,
        method=pair[0],
        baseline=pair[1],
        compared_from=span[0],
        compared_to=span[1],
        metrics=metrics,
        saved=finite(saved),
    )


def _lines(rows: Iterable[Row], seeds: int) -> dict[tuple[Any, ...], _Line]:
    """Return (source, domain, severity, candidate, axis, what is beside it) -> whole points, ascending."""
    found: defaultdict[tuple[Any, ...], defaultdict[int, dict[int, Row]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for row in rows:
        taken = [_AXES[need] for need in _AXES if need in needs_of(row["candidate"])]
        axis = taken[0] if taken else ""
        beside = tuple((name, row[name]) for name in taken[1:])
        key = (*(row[name] for name in _PLACE), row["candidate"], axis, beside)
        found[key][row[axis] if axis else 0][row["seed"]] = row
    return {key: _Line(dict(_whole(points, seeds))) for key, points in found.items()}


def _whole(points: Mapping[int, Mapping[int, Row]], seeds: int) -> Iterator[tuple[int, list[Row]]]:
    for budget, by_seed in sorted(points.items()):
        if len(by_seed) == seeds:
            yield budget, [by_seed[seed] for seed in sorted(by_seed)]


def _flat(zero_shot: _Line | None, most: int) -> _Line | None:
    """Return zero-shot from no budget at all to the largest: it learns nothing of it."""
    if zero_shot is None or not zero_shot.points:
        return None
    (rows,) = zero_shot.points.values()
    return _Line({0: rows, most: rows})


def _seconds(row: Row) -> float | None:
    found: float | None = row.get("train_seconds")
    return found


def _steps(row: Row) -> int:
    return int(row["frames_used"] + row["frames"] + row["steps"])
