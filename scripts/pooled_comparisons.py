"""Comparisons of scripts/calibrate_pool.py, drawn from a pool of policies: how often they are wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from simreal.check.bootstrap import robust
from simreal.check.many import verdicts
from simreal.check.statistics import t_interval
from simreal.check.verdict import MARGIN
from simreal.errors import SimrealError
from simreal.extras import extra
from simreal.targets import label_of

SEEDS = (6, 8, 10, 20)
SHOWN = 10  # seeds of the comparison that is shown beside rliable's figures
Wins = NDArray[np.int64]
Pool = dict[str, tuple[Wins, Wins]]
"""Domain -> successes of each training seed, of the candidate and of the baseline."""
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Draws:
    """What is drawn from a pool."""

    episodes: int = 50
    """Behind each number of successes."""
    comparisons: int = 5000
    """For each domain, candidate and number of seeds."""


def pooled(rows: Rows, domains: Sequence[str], candidates: tuple[str, str], seeds: int) -> Pool:
    """Return the successes of every policy by domain and severity, of as many seeds as are whole.

    Raises:
        SimrealError: if there are fewer than two.
    """
    found = {
        (label_of(row["domain"], row["severity"]), row["candidate"], row["seed"]): sum(row["successes"])
        for row in rows
    }
    names = list(dict.fromkeys(domains))
    each = [(name, candidate) for name in names for candidate in candidates]
    whole = [n for n in range(seeds) if all((*own, n) in found for own in each)]
    if len(whole) < 2:
        raise SimrealError(f"the pool has {len(whole)} whole training seeds of {seeds}, and two are needed")
    wins = np.array([[found[(*own, n)] for n in whole] for own in each])
    return {name: (wins[2 * at], wins[2 * at + 1]) for at, name in enumerate(names)}


def thinned(wins: Wins, mean: float, episodes: int, rng: np.random.Generator) -> Wins:
    """Take successes away at random until the expected success rate is lower by the margin.

    Raises:
        ValueError: if it is not above the margin.
    """
    return rng.binomial(wins, 1 - MARGIN * episodes / mean)


def rounded(values: NDArray[np.float64], rng: np.random.Generator) -> Wins:
    """Return whole numbers that are these on average."""
    return np.floor(values + rng.random(values.shape)).astype(np.int64)


def errors(pool: Pool, draws: Draws, rng: np.random.Generator) -> Rows:
    """Return the rates of false verdicts, and how often the interval holds the true 0."""
    return [{"seeds": seeds} | _averaged(pool, seeds, draws, rng) for seeds in SEEDS]


def _averaged(pool: Pool, seeds: int, draws: Draws, rng: np.random.Generator) -> dict[str, str]:
    by_domain: list[dict[str, float]] = []
    for sides in pool.values():
        own = [_same(each, seeds, draws, rng) for each in sides]
        rates = {name: _mean([each[name] for each in own]) for name in own[0]}
        by_domain.append(rates | _paired(sides[0] - sides[1], seeds, draws, rng))
    return {name: _percent([each[name] for each in by_domain]) for name in by_domain[0]}


def _same(own: Wins, seeds: int, draws: Draws, rng: np.random.Generator) -> dict[str, float]:
    ours, theirs = rng.choice(own, (2, draws.comparisons, seeds))
    mean, episodes = float(own.mean()), draws.episodes
    worse = None  # where success is below the margin, nothing can be worse by it
    if mean > MARGIN * episodes:
        worse = thinned(ours, mean, episodes, rng) - theirs
    return _rates("", ours - theirs, worse, episodes)


def _paired(wins: Wins, seeds: int, draws: Draws, rng: np.random.Generator) -> dict[str, float]:
    centred = rng.choice(wins, (draws.comparisons, seeds)) - wins.mean()
    worse = rounded(centred - MARGIN * draws.episodes, rng)
    return _rates("paired: ", rounded(centred, rng), worse, draws.episodes)


def _rates(name: str, same: Wins, worse: Wins | None, episodes: int) -> dict[str, float]:
    found, low, high = verdicts(same, episodes)
    safe = np.nan if worse is None else np.isin(verdicts(worse, episodes)[0], ("safe", "positive")).mean()
    return {
        f"{name}false negative": float((found == "negative").mean()),
        f"{name}false positive": float((found == "positive").mean()),
        f"{name}false safe": float(safe),
        f"{name}interval holds 0": float(((low <= 0) & (high >= 0)).mean()),
    }


def _mean(rates: list[float]) -> float:
    known = [rate for rate in rates if not np.isnan(rate)]
    return float(np.mean(known)) if known else np.nan


def _percent(rates: list[float]) -> str:
    known = [rate for rate in rates if not np.isnan(rate)]
    if not known:
        return ""
    ends = ""
    if len(known) > 1:
        low, high = t_interval(known)
        ends = f" ({100 * max(low, 0):.1f}-{100 * min(high, 1):.1f})"
    return f"{100 * np.mean(known):.1f}{ends}"


def power(pool: Pool, draws: Draws, rng: np.random.Generator) -> Rows:
    """Return how often the candidates' difference is found, beside the power of the paired t-test."""
    rows: Rows = []
    for name, (ours, theirs) in pool.items():
        wins = ours - theirs
        difference, deviation = wins.mean() / draws.episodes, wins.std() / draws.episodes
        side = "positive" if difference > 0 else "negative"
        for seeds in SEEDS:
            found, low, high = verdicts(rng.choice(wins, (draws.comparisons, seeds)), draws.episodes)
            rows.append({
                "domain": name,
                "difference": f"{100 * difference:+.1f}",
                "deviation": f"{100 * deviation:.1f}",
                "seeds": seeds,
                "found": f"{100 * (found == side).mean():.1f}",
                "theory": _theory(difference, deviation, seeds),
                "interval holds it": f"{100 * ((low <= difference) & (difference <= high)).mean():.1f}",
            })  # fmt: skip
    return rows


def _theory(difference: float, deviation: float, seeds: int) -> float:
    """Return the power of a two-sided 5% paired t-test to the side of the difference."""
    ratio = min(abs(difference) / max(deviation, 1e-9) * seeds**0.5, 30.0)
    return float(stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, ratio))


def beside_rliable(pool: Pool, episodes: int) -> Rows:
    """Return our robust figures, and rliable's metrics, on the first seeds of the pool.

    Its intervals are percentile bootstrap ones. They are SciPy's here: rliable's own take a release of `arch`
    that does not import beside pandas 3.
    """
    metrics = extra("rliable.metrics", "this script", "rliable")
    rows: Rows = []
    for name, sides in pool.items():
        ours, theirs = (wins[:SHOWN] / episodes for wins in sides)
        own = robust(list(ours), list(theirs))
        iqm = _bootstrapped(lambda x: metrics.aggregate_iqm(x[:, None]), ours - theirs)
        chance = _bootstrapped(
            lambda x, y: metrics.probability_of_improvement(x[:, None], y[:, None]), ours, theirs
        )
        rows.append({
            "domain": name,
            "interquartile mean": _told(own.iqm, own.iqm_low, own.iqm_high),
            "rliable's": iqm,
            "probability of improvement": _told(own.improvement, own.improvement_low, own.improvement_high),
            "rliable's probability": chance,
        })  # fmt: skip
    return rows


def _bootstrapped(metric: Any, *sides: NDArray[np.float64]) -> str:
    found = stats.bootstrap(sides, metric, vectorized=False, n_resamples=2000, method="percentile", rng=0)
    return _told(float(metric(*sides)), *found.confidence_interval)


def _told(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ({low:.3f} to {high:.3f})"
