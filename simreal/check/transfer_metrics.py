"""What transfer gains along the target budget: learning curves of a method and of target-only, compared.

The metrics of Taylor & Stone 2009 (JMLR 10:1633): jumpstart, asymptotic performance, total
reward (here the area under the curve), transfer ratio, time to threshold. A curve is success at
`budgets` (K,) of the target, such as demonstrations or rewarded steps, for each of S training seeds; row i
of both curves is the same seed. Intervals are at 95%, by bootstrap over seeds, the unit of all this.
The threshold is set before anything is run: one chosen on the curves flatters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simreal.check.bootstrap import bca_interval, draws

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure and its bootstrap interval over seeds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Reached:
    """When a threshold was reached, in units of the budget."""

    median: float
    """Over seeds, those that never reach it counted as infinite: infinite where half or more do not."""
    low: float
    high: float
    """Percentile bootstrap interval; its high end is infinite where too few reach it."""
    censored: int
    """Seeds that do not reach the threshold within the budget."""
    seeds: int


@dataclass(frozen=True)
class TransferMetrics:
    """A method beside target-only."""

    jumpstart: Estimate
    asymptote: Estimate
    area: Estimate
    """Difference of the mean success along the budget."""
    transfer_ratio: Estimate
    method_reached: Reached
    baseline_reached: Reached


def compare_curves(
    budgets: ArrayLike, method: ArrayLike, baseline: ArrayLike, threshold: float
) -> TransferMetrics:
    """Return every metric of a method against target-only.

    Args:
        budgets: Of the target (K,), ascending, at least two.
        method: Success (S, K) of the method, at least two seeds.
        baseline: Success (S, K) of target-only.
        threshold: Of success, for time to threshold.

    Raises:
        ValueError: for shapes that do not fit, budgets that do not ascend, or values that are not finite.
    """
    at, ours, theirs = checked(budgets, method, baseline)
    return TransferMetrics(
        _mean(jumpstart(ours, theirs)),
        _mean(asymptote(ours, theirs)),
        _mean(area(at, ours) - area(at, theirs)),
        transfer_ratio(area(at, ours), area(at, theirs)),
        reached(time_to_threshold(at, ours, threshold)),
        reached(time_to_threshold(at, theirs, threshold)),
    )


def jumpstart(method: Array, baseline: Array) -> Array:
    """Return the gain at the smallest budget (S,) from curves (S, K)."""
    return np.asarray(method[:, 0] - baseline[:, 0])


def asymptote(method: Array, baseline: Array, last: int = 1) -> Array:
    """Return the gain at the largest budgets (S,): the mean over the `last` points of curves (S, K).

    It is the asymptotic performance only as far as the curves are flat there.
    """
    return np.asarray(method[:, -last:].mean(axis=1) - baseline[:, -last:].mean(axis=1))


def area(budgets: Array, success: Array) -> Array:
    """Return the mean success along the budget (S,): the area under curves (S, K), divided by its width.

    By trapezoids: success is taken to change evenly between two budgets.
    """
    return np.asarray(np.trapezoid(success, budgets, axis=1) / (budgets[-1] - budgets[0]))


def transfer_ratio(method: Array, baseline: Array) -> Estimate:
    """Return (area with transfer - area without) / area without, from areas (S,).

    Of the means over seeds: a seed on which target-only learns nothing would make a ratio of its own
    infinite. Infinite, or NaN for 0 / 0, where target-only learns nothing on any seed.
    """
    rows = draws(len(method))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = method.mean() / baseline.mean() - 1
        found = method[rows].mean(axis=1) / baseline[rows].mean(axis=1) - 1
    return Estimate(float(value), *ends(found))


def time_to_threshold(budgets: Array, success: Array, threshold: float) -> Array:
    """Return the budget (S,) at which curves (S, K) first reach a threshold; infinite where they do not.

    Between two budgets success is taken to change evenly. A run that is infinite is censored: its time is
    known to lie above the largest budget, and nothing else.
    """
    above = success >= threshold
    index = np.where(above.any(axis=1), above.argmax(axis=1), -1)
    found = np.full(len(success), np.inf)
    found[index == 0] = budgets[0]
    for row in np.flatnonzero(index > 0):
        before, after = success[row, index[row] - 1], success[row, index[row]]
        share = (threshold - before) / (after - before)
        left, right = budgets[index[row] - 1], budgets[index[row]]
        found[row] = left + share * (right - left)
    return found


def reached(times: Array) -> Reached:
    """Summarize times to threshold (S,), infinite where censored."""
    found = np.median(times[draws(len(times))], axis=1)
    censored = int(np.isinf(times).sum())
    return Reached(float(np.median(times)), *ends(found), censored, len(times))


def _mean(values: Array) -> Estimate:
    low, high = bca_interval(values)
    return Estimate(float(values.mean()), float(low), float(high))


def ends(found: Array, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of resampled figures, which may be infinite: nothing is interpolated."""
    ordered = np.sort(found)
    outside = int((1 - confidence) / 2 * len(ordered))
    return float(ordered[outside]), float(ordered[-1 - outside])


def checked(budgets: ArrayLike, *curves: ArrayLike) -> tuple[Array, ...]:
    """Return budgets (K,) and curves (S, K) as arrays.

    Raises:
        ValueError: for shapes that do not fit, budgets that do not ascend, or values that are not finite.
    """
    at = np.asarray(budgets, dtype=float)
    if at.ndim != 1 or len(at) < 2 or not np.all(np.diff(at) > 0):
        raise ValueError(f"budgets {at.tolist()}: at least two, ascending, are needed")
    found = [np.asarray(curve, dtype=float) for curve in curves]
    for curve in found:
        if curve.shape != (len(found[0]), len(at)) or len(curve) < 2:
            raise ValueError(f"a curve of shape {curve.shape}: (seeds, {len(at)}) is needed, seeds alike")
        if not np.isfinite(curve).all():
            raise ValueError("a curve has values that are not finite")
    return at, *found
