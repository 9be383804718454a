"""Tests of scripts/compare_rollout_tests.py: which of two policies is better, from the rollouts so far."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from simreal.check import binary, step

Flags = NDArray[np.bool_]
Signs = NDArray[np.int8]
LEVEL = binary.LEVEL
_NUISANCE = np.linspace(0.005, 0.995, 199)
_NODES = 2000  # of the integral over a posterior
PRIOR = (1.0, 1.0)  # of the beta distribution of each rate: uniform


@lru_cache(maxsize=256)
def barnard(n: int) -> NDArray[np.float64]:
    """Return Barnard's two-sided p-value of every table of n rollouts of each, shape (n + 1, n + 1).

    Barnard 1945 (Nature 156:177) with the pooled Wald statistic; the worst of 199 common rates.
    """
    first, second = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    pooled = (first + second) / (2 * n)
    with np.errstate(invalid="ignore"):
        wald = np.abs(first - second) / np.sqrt(2 * n * pooled * (1 - pooled))
    extreme = np.round(np.nan_to_num(wald), 9)  # alike but for rounding is alike
    chances = stats.binom.pmf(np.arange(n + 1), n, _NUISANCE[:, None])
    order = np.argsort(-extreme, axis=None, kind="stable")
    mass = (chances[:, :, None] * chances[:, None, :]).reshape(len(_NUISANCE), -1)[:, order].cumsum(axis=1)
    ranked = extreme.ravel()[order]
    last = np.searchsorted(-ranked, -ranked, side="right") - 1  # of those that are as extreme
    found = np.empty(ranked.size)
    found[order] = mass[:, last].max(axis=0)
    return np.minimum(1.0, found).reshape(n + 1, n + 1)


def better_a_posteriori(n: int) -> NDArray[np.float64]:
    """Return the posterior probability that the first rate is the higher one, shape (n + 1, n + 1)."""
    ends = np.linspace(0, 1, _NODES + 1)
    below = special.betainc(
        PRIOR[0] + np.arange(n + 1)[:, None], PRIOR[1] + n - np.arange(n + 1)[:, None], ends
    )
    return np.diff(below, axis=1) @ ((below[:, 1:] + below[:, :-1]) / 2).T


def _region(blocks: int, looks: range, signs: Callable[[int], Signs]) -> Signs:
    found = np.zeros((blocks + 1,) * 3, dtype=np.int8)
    for n in looks:
        found[n, : n + 1, : n + 1] = signs(n)
    return found


def _barnard_signs(n: int) -> Signs:
    way = np.sign(np.arange(n + 1)[:, None] - np.arange(n + 1)).astype(np.int8)
    return np.asarray(way * (barnard(n) <= LEVEL), dtype=np.int8)


def _posterior_signs(n: int) -> Signs:
    found = better_a_posteriori(n)
    return ((found >= 1 - LEVEL / 2).astype(np.int8) - (found <= LEVEL / 2)).astype(np.int8)


@lru_cache(maxsize=8)
def regions(blocks: int) -> dict[str, Signs]:
    """Return of each test 1 where it calls the first policy better, -1 where worse, (blocks + 1,) * 3.

    Element (n, s, t) is for n rollouts of each, with s and t successes.
    """
    every = range(1, blocks + 1)
    better = step.rejections(blocks, LEVEL / 2).astype(np.int8)
    return {
        "Barnard, one look": _region(blocks, range(blocks, blocks + 1), _barnard_signs),
        "Barnard, every look": _region(blocks, every, _barnard_signs),
        "posterior, every look": _region(blocks, every, _posterior_signs),
        "STEP": better - better.transpose(0, 2, 1),
    }


def decisions(successes: Flags) -> dict[str, tuple[Signs, NDArray[np.int64]]]:
    """Return of each test what it called the first policy, (days,), and after how many blocks; all if never.

    Args:
        successes: Of both policies in each block of each day, (2, days, blocks).
    """
    blocks = successes.shape[-1]
    n, (s, t) = np.arange(1, blocks + 1), successes.cumsum(axis=-1)
    found = {name: _first(region[n, s, t]) for name, region in regions(blocks).items()}
    found["e-process"] = _first(np.concatenate([_e_process(days) for days in _parts(cells(successes))]))
    return found


def _parts(counts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Split days, so that the evidence of each alternative in each block fits a cache."""
    return np.array_split(counts, 1 + len(counts) * counts.shape[1] // 2000)


def _e_process(counts: NDArray[np.int64]) -> Signs:
    bound = np.log(2 / LEVEL)
    above, below = (binary.log_evidence(counts, 0.0, side) >= bound for side in (True, False))
    return above.astype(np.int8) - below.astype(np.int8)


def cells(successes: Flags) -> NDArray[np.int64]:
    """Count cells after every block, shape (days, blocks, 4), from successes (2, days, blocks)."""
    first, second = successes
    each = (first & second, first & ~second, ~first & second, ~first & ~second)
    return np.stack(each, axis=-1).cumsum(axis=-2)


def _first(signs: Signs) -> tuple[Signs, NDArray[np.int64]]:
    """Return the first sign that is not 0 along the last axis, and its place from 1."""
    decided = signs != 0
    place = np.where(decided.any(axis=-1), decided.argmax(axis=-1), signs.shape[-1] - 1)
    return np.take_along_axis(signs, place[:, None], axis=-1)[:, 0], place + 1


def worst_case(region: Signs) -> float:
    """Return how often equal policies are called different, if their common rate is set anew in every block.

    By whoever has seen all before, to deceive most: dynamic programming from the last block. More than any
    drift can do.
    """
    rates = np.linspace(0, 1, 41)[:, None, None]
    value = (region[-1] != 0).astype(float)
    for n in range(len(region) - 2, -1, -1):
        both, one = value[1 : n + 2, 1 : n + 2], value[1 : n + 2, : n + 1] + value[: n + 1, 1 : n + 2]
        after = (1 - rates) ** 2 * value[: n + 1, : n + 1] + rates * (1 - rates) * one + rates**2 * both
        value = np.maximum(after.max(axis=0), region[n, : n + 1, : n + 1] != 0)
    return float(value[0, 0])
