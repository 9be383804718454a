"""What transfer gains along the target budget: learning curves of a method and of target-only, compared.

The metrics of Taylor & Stone 2009 (JMLR 10:1633): jumpstart, asymptotic performance, total
reward (here the area under the curve), transfer ratio, time to threshold. Two curves may have budgets of
their own: a method is looked at with 1 to 30 demonstrations where target-only takes 10 to 300. They are then
compared along what both cover, but for the time to threshold, which each has by itself. Row i of both is the
same seed. Intervals are at 95%, by bootstrap over seeds, the unit of all this.
The threshold is set before anything is run: one chosen on the curves flatters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simreal.check.bootstrap import bca_interval, draws

Array = NDArray[np.float64]
THRESHOLD = 0.75  # of success, unless another is set beforehand


@dataclass(frozen=True)
class Curve:
    """Success over the target budget, for each training seed."""

    budgets: Array
    """(K,) of the target, ascending, such as demonstrations or rewarded steps."""
    success: Array
    """(S, K)."""

    @classmethod
    def of(cls, budgets: ArrayLike, success: ArrayLike) -> "Curve":
        """Return a curve.

        Raises:
            ValueError: for shapes that do not fit, fewer than two seeds, budgets that do not ascend, or
                values that are not finite.
        """
        at, found = np.asarray(budgets, dtype=float), np.asarray(success, dtype=float)
        if at.ndim != 1 or not len(at) or not np.all(np.diff(at) > 0):
            raise ValueError(f"budgets {at.tolist()}: at least one is needed, and they must be ascending")
        if found.ndim != 2 or found.shape[1] != len(at) or len(found) < 2:
            raise ValueError(
                f"a curve of shape {found.shape}: (seeds, {len(at)}) is needed, seeds at least 2"
            )
        if not np.isfinite(found).all():
            raise ValueError("a curve has values that are not finite")
        return cls(at, found)

    def on(self, budgets: Array) -> Array:
        """Return success (S, B) at `budgets` (B,) within the curve's own, changing evenly between two."""
        return np.stack([np.interp(budgets, self.budgets, row) for row in self.success])


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
    at_once: int
    """Seeds that have it at the smallest budget already: their time is at most that, and counted as that."""
    seeds: int


@dataclass(frozen=True)
class TransferMetrics:
    """A method beside target-only; estimates are NaN where the budgets of both have no stretch in common."""

    jumpstart: Estimate
    asymptote: Estimate
    area: Estimate
    """Difference of the mean success along the budget."""
    transfer_ratio: Estimate
    method_reached: Reached
    baseline_reached: Reached


def compare_curves(method: Curve, baseline: Curve, threshold: float = THRESHOLD) -> TransferMetrics:
    """Return every metric of a method against target-only.

    Args:
        method: Of the method.
        baseline: Of target-only; row i is the same seed.
        threshold: Of success, for time to threshold.

    Raises:
        ValueError: for unequal numbers of seeds.
    """
    at = shared_budgets(method, baseline)
    both = tuple(reached(time_to_threshold(each, threshold), each) for each in (method, baseline))
    if len(at) < 2:
        unknown = Estimate(np.nan, np.nan, np.nan)
        return TransferMetrics(unknown, unknown, unknown, unknown, *both)
    ours, theirs = method.on(at), baseline.on(at)
    areas = area(at, ours), area(at, theirs)
    return TransferMetrics(
        _mean(jumpstart(ours, theirs)),
        _mean(asymptote(ours, theirs)),
        _mean(areas[0] - areas[1]),
        transfer_ratio(*areas),
        *both,
    )


def shared_budgets(first: Curve, second: Curve) -> Array:
    """Return the budgets (B,) of either curve that lie within both.

    Raises:
        ValueError: for unequal numbers of seeds.
    """
    if len(first.success) != len(second.success):
        raise ValueError(
            f"curves of shapes {first.success.shape} and {second.success.shape}: row i of both is one seed"
        )
    at = np.union1d(first.budgets, second.budgets)
    low = max(first.budgets[0], second.budgets[0])
    return np.asarray(at[(at >= low) & (at <= min(first.budgets[-1], second.budgets[-1]))])


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


def time_to_threshold(curve: Curve, threshold: float) -> Array:
    """Return the budget (S,) at which a curve first reaches a threshold; infinite where it does not.

    Between two budgets success is taken to change evenly. A run that is infinite is censored: its time is
    known to lie above the largest budget, and nothing else.
    """
    budgets, success = curve.budgets, curve.success
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


def reached(times: Array, curve: Curve) -> Reached:
    """Summarize the times to threshold (S,) of a curve, infinite where censored."""
    found = np.median(times[draws(len(times))], axis=1)
    censored, at_once = int(np.isinf(times).sum()), int((times <= curve.budgets[0]).sum())
    return Reached(float(np.median(times)), *ends(found), censored, at_once, len(times))


def _mean(values: Array) -> Estimate:
    low, high = bca_interval(values)
    return Estimate(float(values.mean()), float(low), float(high))


def ends(found: Array, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of resampled figures, which may be infinite: nothing is interpolated."""
    ordered = np.sort(found)
    outside = int((1 - confidence) / 2 * len(ordered))
    return float(ordered[outside]), float(ordered[-1 - outside])
