"""Worlds of scripts/calibrate_check.py: training seeds of known success; and other ways to look."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from simreal.check.sequential import settled
from simreal.check.verdict import MARGIN, decide

EPISODES = 50
STEADY = 0.01  # between-seed deviation of a target-only that hardly differs by seed
CENTERS = {"even": 0.5, "skewed": 0.9, "odd failures": 0.9, "odd successes": 0.1}
Wins = NDArray[np.int64]
Draw = Callable[[float, float], NDArray[np.float64]]


def simulate(world: str, spread: float, shift: float, shape: tuple[int, int], rng: Any) -> Wins:
    """Return the candidate's successes minus target-only's, (comparisons, seeds), of EPISODES each.

    Args:
        world: One of CENTERS, by how the seeds differ.
        spread: Between-seed standard deviation of success.
        shift: Expected success of the candidate minus that of target-only.
        shape: Comparisons and seeds.
        rng: Draws all of it.
    """
    base = CENTERS[world]
    if base > 0.5:
        base -= max(shift, 0)  # nothing beyond the center: there is no room for the spread
    elif base < 0.5:
        base -= min(shift, 0)

    def draw(mean: float, deviation: float) -> NDArray[np.float64]:
        if world == "even":
            return np.clip(rng.normal(mean, deviation, shape), 0, 1)
        weight = mean * (1 - mean) / deviation**2 - 1
        return np.asarray(rng.beta(mean * weight, (1 - mean) * weight, shape))

    ours = draw(base + shift, spread)
    theirs = draw(base, STEADY if world.startswith("odd") else spread)
    return np.asarray(rng.binomial(EPISODES, ours) - rng.binomial(EPISODES, theirs))


def theoretical_power(shift: float, spread: float, seeds: int) -> float:
    """Return the power of a two-sided 5% paired t-test in the even world, to the side of the shift."""
    base = CENTERS["even"]
    # Of one success rate: between seeds, and the binomial variance that this leaves.
    variances = [spread**2 + (p * (1 - p) - spread**2) / EPISODES for p in (base, base + shift)]
    ratio = abs(shift) / np.sqrt(sum(variances)) * np.sqrt(seeds)
    return float(stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, ratio))


def pocock(time: float, level: float) -> float:
    """Return what may be spent of a level by then, if looks are to be alike (Lan & DeMets 1983)."""
    return float(level * np.log(1 + (np.e - 1) * time))


def betting_verdicts(wins: Wins) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Return verdicts (C,) and seeds used (C,) of a confidence sequence by betting, a look at each seed.

    Waudby-Smith & Ramdas 2024 (J. R. Stat. Soc. B 86:1): a gambler bets against each bound of the difference,
    which is rejected when 1 becomes 40. The bets are the largest that cannot lose more than all: of
    all bets they win soonest where the differences are steady.
    """
    share = (wins / EPISODES + 1) / 2  # differences lie in -1..1
    places = {name: (bound + 1) / 2 for name, bound in (("zero", 0), ("worse", -MARGIN), ("better", MARGIN))}

    def above(name: str) -> NDArray[np.bool_]:
        return np.maximum.accumulate(np.cumprod(share / places[name], axis=1), axis=1) >= 40

    def below(name: str) -> NDArray[np.bool_]:
        wealth = np.cumprod((1 - share) / (1 - places[name]), axis=1)
        return np.maximum.accumulate(wealth, axis=1) >= 40

    low = np.where(above("zero"), 0.01, np.where(above("worse"), -MARGIN / 2, -1))
    high = np.where(below("zero"), -0.01, np.where(below("better"), MARGIN / 2, 1))
    found = decide(low, high, True, MARGIN)
    stop = np.vectorize(lambda verdict, end: settled(verdict, end, MARGIN), otypes=[bool])(found, high)
    stop[:, -1] = True
    used = stop.argmax(axis=1)
    return found[np.arange(len(wins)), used], used + 1
