"""Intervals and tests. The unit is a training seed, never an episode."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

EXACT_SEEDS = 16  # up to 2^16 sign patterns are counted one by one
MOST_SEEDS_TOLD = 1000
_SAMPLED_PATTERNS = 100_000


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson 1927, JASA 22:209).

    Raises:
        ValueError: if `successes` is not in 0..trials, or there is no trial.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials")
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    rate, spread = successes / trials, z * z / trials
    centre = (rate + spread / 2) / (1 + spread)
    half = z * math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials)) / (1 + spread)
    # At 0 and 1 the ends are exact; rounding must not move them.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high


def t_interval(values: Sequence[float], confidence: float = 0.95, floor: float = 0.0) -> tuple[float, float]:
    """Return the t-interval of the mean (Student 1908).

    Args:
        values: One a training seed, at least two.
        confidence: Of the two-sided interval.
        floor: Smallest standard deviation believed. Success rates of n episodes move in steps of
            1/n, so a spread below that is an accident of counting, not knowledge: identical
            differences must not give an interval of width zero.

    Raises:
        ValueError: for fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"an interval needs at least two seeds, not {len(values)}")
    mean, deviation = float(np.mean(values)), max(float(np.std(values, ddof=1)), floor)
    quantile = float(stats.t.ppf(0.5 + confidence / 2, len(values) - 1))
    half = quantile * deviation / math.sqrt(len(values))
    return mean - half, mean + half


def sign_flip_p(differences: Sequence[float], rng: np.random.Generator | None = None) -> float:
    """Return the two-sided p-value of the sign-flip test that the differences centre on zero.

    Exact up to 16 seeds; above, 100,000 sampled patterns with the observed one counted in
    (Phipson & Smyth 2010, doi:10.2202/1544-6115.1585).
    """
    values = np.asarray(differences, dtype=float)
    observed = abs(values.sum()) - 1e-12  # rounding must not hide a tie
    if len(values) <= EXACT_SEEDS:
        return float(np.mean(np.abs(_sign_patterns(len(values)) @ values) >= observed))
    generator = rng or np.random.default_rng(0)
    signs = generator.choice((-1.0, 1.0), size=(_SAMPLED_PATTERNS, len(values)))
    beyond = int(np.sum(np.abs(signs @ values) >= observed))
    return (beyond + 1) / (_SAMPLED_PATTERNS + 1)


def _sign_patterns(count: int) -> NDArray[np.float64]:
    return np.array(list(itertools.product((-1.0, 1.0), repeat=count)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for several comparisons (Holm 1979, Scand. J. Statist. 6:65)."""
    order = np.argsort(p_values, kind="stable")
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, running)
    return adjusted


def smallest_p(seeds: int, comparisons: int = 1) -> float:
    """Return the smallest p-value that sign flips and then Holm's correction can give.

    All differences of one sign: two patterns of 2^seeds are as extreme. Holm multiplies the smallest
    p-value by the number of comparisons, and makes no other smaller than that.
    """
    return min(1.0, comparisons * 2.0 ** (1 - seeds))


def seeds_to_reach(comparisons: int, level: float = 0.05) -> int:
    """Return the fewest seeds with which one of several corrected comparisons can have p at most `level`."""
    return 1 + math.ceil(math.log2(comparisons / level))


def seeds_needed(
    difference: float, deviation: float, level: float = 0.05, power: float = 0.8, limit: int = MOST_SEEDS_TOLD
) -> int | None:
    """Return how many seeds a two-sided paired t-test at this level needs; None above `limit`."""
    if difference == 0:
        return None
    if deviation == 0:
        return 6
    for seeds in range(6, limit + 1):
        shift = abs(difference) / deviation * math.sqrt(seeds)
        critical = float(stats.t.isf(level / 2, seeds - 1))
        if float(stats.nct.sf(critical, seeds - 1, shift)) >= power:
            return seeds
    return None
