"""Whether one success rate is above another, from few rollouts, at whatever moment one looks.

The unit is a block: one rollout of the candidate and one of the baseline under one initial condition. Its
outcome is one of four cells, and all that is known after n blocks is how often each came up: `counts`, an
integer array of shape (..., 4), in the order of `CELLS`.

For the hypothesis that the difference of the rates is at most (or at least) d, two kinds of e-variables (mean
at most 1 whatever the rates within the hypothesis are, and they may differ from block to block):

- the likelihood of an alternative pair of rates over that of the nearest pair within the hypothesis by
  Kullback-Leibler divergence (Turner, Ly & Gruenwald 2021, arXiv:2106.02693, for d = 0; Turner & Gruenwald
  2023, arXiv:2203.09785, for every d). Strong where one policy nearly always succeeds and one never does;
- a bet on the difference within the block, 1 + stake (difference - d) (Waudby-Smith & Ramdas 2024,
  arXiv:2010.09686). It gains where the condition decides for both policies, which the first cannot use.

The product over blocks, averaged over alternatives and stakes fixed beforehand, exceeds 1/a with probability
at most a at any time whatever (Ville's inequality): that is what makes looking after every rollout harmless.
The differences not rejected are a confidence sequence. No number of rollouts need be declared; where one is,
`step` takes fewer.

What is assumed: that the two rollouts of a block are independent given their condition, and that a hypothesis
holds in every condition. Not assumed: that conditions are equally hard, or that nothing drifts from block to
block. Policies that are equal on the whole, but one better here and the other there, are called different on
5 to 6% of days if conditions are drawn at random, and next to never if each comes as often as the others.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import logsumexp

from simreal.check.statistics import wilson_interval

Array = NDArray[np.float64]
CELLS = ("both", "candidate only", "baseline only", "neither")
_DIFFERENCES = np.array([0.0, 1.0, -1.0, 0.0])  # of success, candidate's minus baseline's
LEVEL = 0.05
MOST_EXACT = 200  # rollouts of a policy; the exact test's table grows with their product
LEAST_TO_FORESEE = 5  # blocks; the rates of fewer say nothing of how long it will take
MOST_FORESEEN = 500
_POINTS = 10  # alternatives for each rate, and stakes
_BETS = 0.25  # weight of the bets: from here on the power gained with pairs exceeds that lost without
_HALVINGS = 50
_INTERVAL_HALVINGS = 14  # to 0.0001
_OPEN = 1e-9  # a rejected difference is not in the interval
_SIMULATIONS = 400


def _points() -> Array:
    """Return numbers between 0 and 1 spread after Jeffreys' prior, shape (points,).

    It is denser near 0 and 1, where policies that always or never succeed are told apart in few blocks.
    """
    return np.asarray(np.sin(np.pi * (2 * np.arange(_POINTS) + 1) / (4 * _POINTS)) ** 2)


def nearest_rates(candidate: Array, baseline: Array, difference: float) -> tuple[Array, Array]:
    """Return the pairs of rates that differ by `difference` and are nearest in divergence; shape as given."""
    low = np.full(candidate.shape, max(0.0, difference))
    high = np.full(candidate.shape, min(1.0, 1.0 + difference))
    for _ in range(_HALVINGS):  # the divergence is convex: halve where its slope changes sign
        first = (low + high) / 2
        second = first - difference
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (first - candidate) / (first * (1 - first)) + (second - baseline) / (
                second * (1 - second)
            )
        low, high = np.where(slope < 0, first, low), np.where(slope < 0, high, first)
    first = (low + high) / 2
    return first, first - difference


def _log_likelihood(candidate: Array, baseline: Array) -> Array:
    """Return the logarithm of each cell's probability, shape (alternatives, 4)."""
    rates = (candidate * baseline, candidate * (1 - baseline), (1 - candidate) * baseline)
    return np.log(np.stack([*rates, (1 - candidate) * (1 - baseline)], axis=-1))


@lru_cache(maxsize=256)
def log_factors(difference: float, above: bool) -> tuple[Array, Array]:
    """Return by what a block of each cell multiplies each alternative's evidence, and their weights.

    Args:
        difference: d of the hypothesis, between -1 and 1.
        above: Whether the alternatives lie above d (the hypothesis: at most d) or below (at least d).

    Returns:
        Logarithms, of shapes (k, 4) and (k,); the weights sum to 1.
    """
    candidate, baseline = (rates.ravel() for rates in np.meshgrid(_points(), _points(), indexing="ij"))
    chosen = (candidate - baseline > difference) if above else (candidate - baseline < difference)
    candidate, baseline = candidate[chosen], baseline[chosen]
    within = nearest_rates(candidate, baseline, difference)
    ratios = _log_likelihood(candidate, baseline) - _log_likelihood(*within)
    stakes = _points() / (1 + difference) if above else -_points() / (1 - difference)  # never all is lost
    bets = np.log1p(stakes[:, None] * (_DIFFERENCES - difference))
    shares = (1 - _BETS, _BETS) if len(ratios) else (0.0, 1.0)
    weights = [
        np.full(len(rows), share / max(1, len(rows)))
        for rows, share in zip((ratios, bets), shares, strict=True)
    ]
    return np.concatenate([ratios, bets]), np.log(np.concatenate(weights))


def log_evidence(counts: Any, difference: float, above: bool) -> Array:
    """Return the log e-value against `at most difference` (above) or `at least difference`; shape (...)."""
    factors, weights = log_factors(difference, above)
    return np.asarray(logsumexp(np.asarray(counts, dtype=float) @ factors.T + weights, axis=-1))


def p_value(counts: Any) -> Array:
    """Return the two-sided p-value of equal rates that holds at any time; shape (...)."""
    most = np.maximum(log_evidence(counts, 0.0, True), log_evidence(counts, 0.0, False))
    return np.minimum(1.0, 2 * np.exp(-most))


def interval(counts: Any, level: float = LEVEL) -> tuple[float, float]:
    """Return the differences that are not rejected: valid at any time, with error `level` in all.

    Args:
        counts: Of one comparison, shape (4,).
        level: Error, half of it on each side.
    """
    return _end(counts, level, above=True), _end(counts, level, above=False)


def _end(counts: Any, level: float, above: bool) -> float:
    """Return the innermost rejected difference; those further out are rejected too, which a test holds."""
    rejected, standing = (-1.0, 1.0) if above else (1.0, -1.0)
    for _ in range(_INTERVAL_HALVINGS):  # the first tests 0 itself, so that interval and p-value agree
        middle = (rejected + standing) / 2
        if float(log_evidence(counts, middle, above)) >= np.log(2 / level):
            rejected = middle
        else:
            standing = middle
    if abs(rejected) == 1.0:
        return rejected
    return rejected + (_OPEN if above else -_OPEN)


def newcombe_interval(counts: Any, level: float = LEVEL) -> tuple[float, float]:
    """Return the score interval of the difference (Newcombe 1998, Statist. Med. 17:873, method 10).

    It holds for a number of rollouts fixed beforehand, looked at once; it is shown as a reference.

    Args:
        counts: (successes, rollouts) of candidate and baseline, shape (2, 2), at least one rollout each.
        level: Error in all.
    """
    (s1, n1), (s2, n2) = ((int(a), int(b)) for a, b in counts)
    (l1, u1), (l2, u2) = wilson_interval(s1, n1, 1 - level), wilson_interval(s2, n2, 1 - level)
    first, second = s1 / n1, s2 / n2
    below = np.hypot(first - l1, u2 - second)
    beyond = np.hypot(u1 - first, second - l2)
    return float(first - second - below), float(first - second + beyond)


def barnard_p(counts: Any) -> float | None:
    """Return Barnard's exact two-sided p-value (1945, Nature 156:177); None if there are too many rollouts.

    It holds for a number of rollouts fixed beforehand, looked at once; it is shown as a reference.

    Args:
        counts: (successes, rollouts) of candidate and baseline, shape (2, 2), at least one rollout each.
    """
    (s1, n1), (s2, n2) = ((int(a), int(b)) for a, b in counts)
    if max(n1, n2) > MOST_EXACT:
        return None
    if s1 + s2 in (0, n1 + n2):  # nothing varies: the statistic is 0/0
        return 1.0
    table = np.array([[s1, s2], [n1 - s1, n2 - s2]])
    return min(1.0, float(stats.barnard_exact(table, alternative="two-sided").pvalue))


def settled(counts: Any, margin: float, level: float = LEVEL) -> NDArray[np.bool_]:
    """Return whether the verdict would be another than inconclusive; shape (...)."""
    bound = np.log(2 / level)
    against = [log_evidence(counts, 0.0, False), log_evidence(counts, -margin, True)]
    return np.asarray(np.maximum(*against) >= bound)  # what rejects `at most 0` rejects `at most -margin`


def more_blocks(
    counts: Any, margin: float, seed: int = 0, level: float = LEVEL, power: float = 0.8
) -> int | None:
    """Return how many further blocks settle it with probability `power`, should the cells come as so far.

    By simulation of continuations that are looked at ever more rarely. None for more than
    `MOST_FORESEEN`.

    Args:
        counts: Shape (4,), with at least one block.
        margin: How much worse is still `safe`.
        seed: Of the simulation.
        level: Error in all.
        power: Share of continuations that must have settled.
    """
    looks = np.unique(np.geomspace(1, MOST_FORESEEN, 60).round().astype(int))
    steps = np.diff(looks, prepend=0)
    so_far = np.asarray(counts)
    rng, rates = np.random.default_rng(seed), so_far / so_far.sum()
    drawn = rng.multinomial(steps, rates, size=(_SIMULATIONS, len(steps)))  # (simulations, looks, 4)
    reached = settled(so_far + drawn.cumsum(axis=1), margin, level)
    share = np.maximum.accumulate(reached, axis=1).mean(axis=0)
    enough = np.flatnonzero(share >= power)
    return int(looks[enough[0]]) if len(enough) else None
