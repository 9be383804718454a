"""The verdict's rule for many comparisons at once: to simulate what it gets wrong, and how often."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from simreal.check.sequential import Plan, nominal_levels, settled, spent
from simreal.check.verdict import MARGIN, MINIMUM_SEEDS, decide

Array = NDArray[np.float64]
_AT_ONCE = 500  # comparisons whose frequencies are held in memory


def verdicts(
    wins: NDArray[np.int64], episodes: int, level: float = 0.05, margin: float = MARGIN
) -> tuple[NDArray[np.str_], Array, Array]:
    """Return verdicts (C,) and both ends of the intervals (C,), as `verdict.compare_all` has them.

    Args:
        wins: Successes of the candidate minus the baseline's (C, n), for each of n seeds.
        episodes: Behind each of both.
        level: Two-sided, of interval and sign-flip test.
        margin: How much worse is still `safe`.
    """
    seeds = wins.shape[1]
    mean, deviation = wins.mean(axis=1) / episodes, wins.std(axis=1, ddof=1) / episodes
    quantile = float(stats.t.isf(level / 2, seeds - 1))
    half = quantile * np.maximum(deviation, 1 / episodes) / math.sqrt(seeds)
    low, high = mean - half, mean + half
    significant, asked = np.zeros(len(wins), dtype=bool), low > 0  # of others the p-value decides nothing
    significant[asked] = sign_flip_p_values(wins[asked]) <= level
    found = decide(low, high, significant, margin)
    return np.where(seeds < MINIMUM_SEEDS, "inconclusive", found), low, high


def sign_flip_p_values(wins: NDArray[np.int64]) -> Array:
    """Return exact two-sided p-values (C,) of the sign-flip test on whole numbers (C, n), for any n.

    The sum of randomly signed numbers has the characteristic function prod(cos(w * number)); its
    distribution on whole numbers is that at evenly spaced w, transformed back.
    """
    most = int(np.abs(wins).sum(axis=1).max(initial=0))
    size = 1 << (2 * most + 1).bit_length()  # room for both signs
    waves = np.cos(2 * np.pi * np.outer(np.arange(np.abs(wins).max(initial=0) + 1), _frequencies(size)))
    found = [_p_values(wins[at : at + _AT_ONCE], waves, size) for at in range(0, len(wins), _AT_ONCE)]
    return np.concatenate([np.zeros(0), *found])


def _frequencies(size: int) -> Array:
    return np.arange(size // 2 + 1) / size


def _p_values(wins: NDArray[np.int64], waves: Array, size: int) -> Array:
    product = np.ones((len(wins), waves.shape[1]))
    for seed in range(wins.shape[1]):
        product *= waves[np.abs(wins[:, seed])]
    chances = np.fft.irfft(product, size, axis=1)[:, : size // 2]  # of sums from 0 upwards
    beyond = np.cumsum(chances[:, ::-1], axis=1)[:, ::-1]  # of sums as large or larger
    observed = np.abs(wins.sum(axis=1))
    either = 2 * beyond[np.arange(len(wins)), observed]
    return np.where(observed == 0, 1.0, np.minimum(either, 1.0))


def sequential_verdicts(
    wins: NDArray[np.int64],
    episodes: int,
    plan: Plan,
    spend: Callable[[float, float], float] = spent,
    margin: float = MARGIN,
) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Return verdicts (C,) and the seeds used (C,) of sequential checks, from wins (C, budget)."""
    levels = nominal_levels(plan.looks, 0.05, plan.looks[-1], spend)
    found = np.full(len(wins), "inconclusive", dtype="<U12")
    used = np.full(len(wins), plan.looks[-1])
    going = np.arange(len(wins))
    for seeds, level in zip(plan.looks, levels, strict=True):
        now, _, high = verdicts(wins[going, :seeds], episodes, level, margin)
        found[going], used[going] = now, seeds
        going = going[[not settled(*each, margin) for each in zip(now, high, strict=True)]]
        if not len(going):
            break
    return found, used
