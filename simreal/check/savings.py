"""What transfer saves of training time or environment steps on the way to a threshold.

Whether the source's cost counts is a choice of the reader's (Taylor & Stone 2009, JMLR 10:1633:
total time and target-task time scenarios); both are given. A source pays if it serves enough targets.
Only what reaches the threshold saves anything: a policy that learns nothing is cheap. A run that is above it
with the smallest budget is taken to cost what that budget does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simreal.check.bootstrap import draws
from simreal.check.transfer_metrics import Curve, ends, shared_budgets, time_to_threshold

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Saved:
    """Median over seeds of what target-only costs more than the method, in seconds or steps.

    Where runs are censored it is only known to lie between `at_least` and `at_most`.
    """

    at_least: float
    at_most: float
    low: float
    high: float
    """Percentile bootstrap interval, from the low end of `at_least` to the high end of `at_most`."""
    exact: int
    """Seeds on which both reach the threshold."""
    seeds: int


@dataclass(frozen=True)
class Savings:
    """What is saved on the target alone, and when the source is paid for too."""

    target_only_counts: Saved
    source_counts: Saved | None
    """None where nobody knows what the source cost."""
    targets_to_pay: float | None
    """Targets after which the source has paid for itself, at the median saving that is certain; infinite
    if that is not positive."""


def savings(
    method: Curve,
    baseline: Curve,
    threshold: float,
    costs: tuple[ArrayLike, ArrayLike],
    source_cost: float | None,
) -> Savings:
    """Return what a method saves against target-only until a threshold of success.

    Args:
        method: Success of the method.
        baseline: Success of target-only; row i is the same seed.
        threshold: Of success.
        costs: What each costs with each of its budgets, (K,) or (S, K), in seconds or steps.
        source_cost: What pretraining cost, in the same unit; None if unknown.

    Raises:
        ValueError: for shapes that do not fit, or a cost that falls as the budget grows.
    """
    shared_budgets(method, baseline)  # as many seeds
    (least, most), (base_least, base_most) = (
        _cost(curve, threshold, cost) for curve, cost in zip((method, baseline), costs, strict=True)
    )
    low, high = base_least - most, base_most - least
    alone = _summary(low, high)
    if source_cost is None:
        return Savings(alone, None, None)
    pays = source_cost / alone.at_least if alone.at_least > 0 else float("inf")
    return Savings(alone, _summary(low - source_cost, high - source_cost), pays)


def _cost(curve: Curve, threshold: float, cost: ArrayLike) -> tuple[Array, Array]:
    """Return the least and the most (S,) that reaching the threshold costs: unequal where censored."""
    spent = np.asarray(cost, dtype=float)
    if spent.shape not in (curve.budgets.shape, curve.success.shape) or not np.all(np.diff(spent) >= 0):
        raise ValueError(f"costs {spent.tolist()}: one for each budget, and none less than the one before")
    times = time_to_threshold(curve, threshold)
    at = np.minimum(times, curve.budgets[-1])
    rows = np.broadcast_to(spent, curve.success.shape)
    known = np.array([np.interp(time, curve.budgets, row) for time, row in zip(at, rows, strict=True)])
    return known, np.where(np.isinf(times), np.inf, known)


def _summary(low: Array, high: Array) -> Saved:
    """Summarize bounds (S,) of what each seed saves."""
    rows = draws(len(low))
    exact = int(np.sum(low == high))
    interval = ends(_lower(low[rows]))[0], ends(_upper(high[rows]))[1]
    return Saved(float(_lower(low)), float(_upper(high)), *interval, exact, len(low))


def _lower(values: Array) -> Array:
    """Return the median over the last axis; of an even number, and of infinite ones, the lower middle."""
    return _middle(values, (values.shape[-1] - 1) // 2)


def _upper(values: Array) -> Array:
    return _middle(values, values.shape[-1] // 2)


def _middle(values: Array, infinite: int) -> Array:
    ordered, count = np.sort(values, axis=-1), values.shape[-1]
    left, right = ordered[..., (count - 1) // 2], ordered[..., count // 2]
    finite = np.isfinite(left) & np.isfinite(right)
    middle = (np.where(finite, left, 0) + np.where(finite, right, 0)) / 2
    return np.where(finite, middle, ordered[..., infinite])
