"""Worlds of scripts/guard_study.py: candidates of known success; and other rules than the guard's."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from simreal.transfer.guard import elect, stages

RATES = (0.02, 0.2, 0.4, 0.6, 0.8, 0.9, 0.98)
"""True success rates; every combination for the candidates is a case."""
WORLDS = {"independent": 0.0, "shared": 0.5}
"""Share of the episodes in which one draw decides for all: what succeeds less fails there first."""
Outcomes = NDArray[np.bool_]
Rule = Callable[[Outcomes, int], NDArray[np.int64]]


def cases(candidates: int) -> Iterator[NDArray[np.float64]]:
    """Yield the true rates of candidates, the adapted policy's first."""
    yield from (np.array(rates) for rates in itertools.product(RATES, repeat=candidates))


def simulate(
    rates: NDArray[np.float64], world: str, shape: tuple[int, int], rng: np.random.Generator
) -> Outcomes:
    """Return successes (days, candidates, episodes).

    Args:
        rates: True success of each candidate.
        world: One of WORLDS.
        shape: Days and episodes.
        rng: Draws all of it.
    """
    days, episodes = shape
    draws = rng.random((days, len(rates), episodes))
    shared = rng.random((days, 1, episodes)) < WORLDS[world]
    return np.where(shared, draws[:, :1], draws) < rates[:, None]


def guard(outcomes: Outcomes, rollouts: int) -> NDArray[np.int64]:
    """Return whom the guard of `simreal adapt` chooses (days,)."""
    return elect(outcomes, stages(rollouts, [str(index) for index in range(outcomes.shape[1])]))


def even(outcomes: Outcomes, rollouts: int) -> NDArray[np.int64]:
    """Return the most successes when all run equally often; of equals the first."""
    return elect(outcomes, [rollouts // outcomes.shape[1]] * (outcomes.shape[1] - 1))


def significant(outcomes: Outcomes, rollouts: int) -> NDArray[np.int64]:
    """Return the first, unless the best other beats it in McNemar's exact one-sided test at 5% (1947)."""
    mine = outcomes[..., : rollouts // outcomes.shape[1]]
    best = 1 + mine[:, 1:].sum(axis=-1).argmax(axis=-1)
    other, first = mine[np.arange(len(mine)), best], mine[:, 0]
    wins, losses = (other & ~first).sum(axis=-1), (first & ~other).sum(axis=-1)
    return np.where(stats.binom.sf(wins - 1, wins + losses, 0.5) <= 0.05, best, 0)


RULES: dict[str, Rule] = {"guard": guard, "even split": even, "significance test": significant}
