"""Bootstrap intervals, and summaries that outliers move less than the mean. The unit is a training seed."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""Of values (..., n), over the last axis."""
RESAMPLES = 2000  # the ends of 95% intervals then move by less than a twentieth of the width
_QUARTER = 0.25


@dataclass(frozen=True)
class Robust:
    """What is shown beside the mean of the paired differences; the verdict does not look at it.

    All intervals are at 95%, also those of secondary comparisons.
    """

    bca_low: float
    bca_high: float
    """BCa bootstrap interval of the mean difference."""
    iqm: float
    """Interquartile mean of the differences."""
    iqm_low: float
    iqm_high: float
    """Its BCa bootstrap interval."""
    improvement: float
    """Probability that the candidate on some seed beats the baseline on some seed."""
    improvement_low: float
    improvement_high: float
    """Its percentile bootstrap interval."""


def robust(candidate: Sequence[float], baseline: Sequence[float]) -> Robust:
    """Describe a comparison by what few odd seeds move less than they move the mean.

    Args:
        candidate: Success of each training seed, at least two.
        baseline: Of the same seeds.
    """
    differences = np.asarray(candidate, dtype=float) - np.asarray(baseline, dtype=float)
    mean_ends = bca_interval(differences)
    iqm_ends = bca_interval(differences, interquartile_mean)
    likely = probability_of_improvement(candidate, baseline)
    likely_ends = improvement_interval(candidate, baseline)
    center = float(interquartile_mean(differences))
    found = (*map(float, mean_ends), center, *map(float, iqm_ends), likely, *likely_ends)
    return Robust(*found)


def mean(values: Array) -> Array:
    """Return the mean over the last axis."""
    return np.asarray(values.mean(axis=-1))


def interquartile_mean(values: Array) -> Array:
    """Return the mean of the middle half of values (..., n) (Agarwal et al. 2021, arXiv:2108.13264).

    A quarter of the values, rounded down, is left out at either end: of six values one, of ten two.
    """
    count = values.shape[-1]
    cut = int(_QUARTER * count)
    return np.asarray(np.sort(values, axis=-1)[..., cut : count - cut].mean(axis=-1))


def probability_of_improvement(candidate: Sequence[float], baseline: Sequence[float]) -> float:
    """Return how often a run of the candidate beats one of the baseline; a tie counts half.

    The mean over all pairs of runs, equal seeds or not (Agarwal et al. 2021, section 4.3, for one task):
    the Mann-Whitney statistic divided by the number of pairs. 0.5 is neither better nor worse.
    """
    return float(_wins(candidate, baseline).mean())


def improvement_interval(
    candidate: Sequence[float], baseline: Sequence[float], confidence: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the probability of improvement.

    Seeds are drawn, and with one both of its runs: they share their demonstrations.
    """
    pairs = sorted(zip(candidate, baseline, strict=True))  # the order of seeds must not matter
    wins = _wins(*zip(*pairs, strict=True))
    counts = times_drawn(len(pairs))
    found = np.sum((counts @ (2 * wins)) * counts, axis=1) / (2 * len(pairs) ** 2)  # whole numbers: exact
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _wins(candidate: Sequence[float], baseline: Sequence[float]) -> Array:
    """Return 1 for a win, 0.5 for a tie and 0 for a loss, of every candidate's run (rows) and baseline's."""
    gaps = np.subtract.outer(np.asarray(candidate, dtype=float), np.asarray(baseline, dtype=float))
    return np.asarray((np.sign(gaps) + 1) / 2)


def bca_interval(
    values: Array, statistic: Statistic = mean, confidence: float = 0.95, resamples: int = RESAMPLES
) -> tuple[Array, Array]:
    """Return the ends of the bias-corrected and accelerated bootstrap interval (Efron 1987, JASA 82:171).

    Unlike `scipy.stats.bootstrap` it takes many samples at once, gives identical values an interval of
    width zero instead of NaN, and always draws the same resamples, so that a result can be repeated.
    At 6 to 10 values it is too narrow for a verdict: it takes the spread of so few at its word.

    Args:
        values: Samples (..., n), n at least two.
        statistic: Of the last axis.
        confidence: Of the two-sided interval.
        resamples: Drawn with replacement.

    Returns:
        Low and high ends (...).
    """
    values = np.sort(np.asarray(values, dtype=float), axis=-1)  # the order of seeds must not matter
    found = statistic(values[..., draws(values.shape[-1], resamples)])
    gaps = found - statistic(values)[..., None]
    # Ties count half, and rounding must not break them.
    slack = 1e-9 * np.ptp(values, axis=-1, keepdims=True) + 1e-15
    below = (gaps < -slack).mean(axis=-1) + (np.abs(gaps) <= slack).mean(axis=-1) / 2
    # With all resamples on one side the correction would be infinite.
    bias = stats.norm.ppf(np.clip(below, 0.5 / resamples, 1 - 0.5 / resamples))
    speed = _acceleration(values, statistic)
    found.sort(axis=-1)
    tails = stats.norm.ppf([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = (_at(found, stats.norm.cdf(bias + (bias + z) / (1 - speed * (bias + z)))) for z in tails)
    return low, high


def _acceleration(values: Array, statistic: Statistic) -> Array:
    """Return a sixth of the skewness of the statistic under leaving one value out (...)."""
    count = values.shape[-1]
    others = np.array([np.delete(np.arange(count), index) for index in range(count)])
    left = statistic(values[..., others])
    pull = left.mean(axis=-1, keepdims=True) - left
    squares = np.square(pull).sum(axis=-1)
    flat = squares < 1e-20  # no spread, no skewness
    return np.where(flat, 0.0, (pull**3).sum(axis=-1) / (6 * np.where(flat, 1.0, squares) ** 1.5))


def _at(ordered: Array, share: Any) -> Array:
    """Return the quantile of ordered values (..., r) at a share (...) of its own for each sample."""
    place = np.asarray(share) * (ordered.shape[-1] - 1)
    lower = np.floor(place).astype(int)
    upper = np.minimum(lower + 1, ordered.shape[-1] - 1)
    first, second = (np.take_along_axis(ordered, at[..., None], -1)[..., 0] for at in (lower, upper))
    return np.asarray(first + (place - lower) * (second - first))


@functools.lru_cache(maxsize=32)
def draws(count: int, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """Return which seeds each resample has (resamples, count); always the same ones."""
    drawn = np.random.default_rng(0).integers(0, count, (resamples, count))
    drawn.setflags(write=False)
    return drawn


@functools.lru_cache(maxsize=32)
def times_drawn(count: int) -> Array:
    """Return how often each resample has each value (resamples, count); of the same ones as `draws`."""
    found = np.stack([np.bincount(row, minlength=count) for row in draws(count)]).astype(float)
    found.setflags(write=False)
    return found
