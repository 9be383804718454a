"""How well a score ranks what was then gained: Kendall's tau over domains, beside a ranking made blindly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from simreal.check.bootstrap import times_drawn
from simreal.check.statistics import holm
from simreal.errors import SimrealError

Array = NDArray[np.float64]
Worth = Literal["worth something", "ranks backwards", "worth nothing shown"]
LEAST_DOMAINS = 5  # of four the smallest two-sided p of tau is 0.083: nothing could be shown


@dataclass(frozen=True)
class Agreement:
    """What one score says of the order of the domains by one gain."""

    score: str
    gain: str
    domains: int
    tau: float
    """Kendall's tau-b; 0 where all are alike."""
    ci_low: float
    ci_high: float
    """95% percentile bootstrap interval over domains."""
    p_value: float
    """Of tau, two-sided, Holm-adjusted over the scores."""
    over_static: float
    """Tau less that of the static ranking."""
    over_static_low: float
    over_static_high: float
    """Its paired bootstrap interval."""
    worth: Worth


def kendall_tau(left: Array, right: Array, weights: Array | None = None) -> Array:
    r"""Return Kendall's tau-b of two scores (D,) of the same domains; 0 where one of them is all alike.

    .. math:: \tau_b = \frac{\sum_{ij} s_{ij} t_{ij}}{\sqrt{\sum_{ij} s_{ij}^2 \sum_{ij} t_{ij}^2}}, \quad
              s_{ij} = \operatorname{sign}(x_i - x_j)

    Kendall 1945, Biometrika 33:239.

    Args:
        left: x.
        right: y.
        weights: (..., D) how often each domain counts, such as in resamples; once by default.

    Returns:
        (...), one for each row of weights.
    """
    first, second = (np.sign(np.subtract.outer(values, values)) for values in (left, right))
    times = np.ones(len(left)) if weights is None else weights
    product, square, other = (
        np.einsum("...i,ij,...j->...", times, each, times, optimize=True)
        for each in (first * second, first**2, second**2)
    )
    scale = np.sqrt(square * other)
    return np.asarray(np.where(scale > 0, product / np.where(scale > 0, scale, 1), 0.0))


def judge(
    scores: Mapping[str, Sequence[float]], gains: Sequence[float], static: Sequence[float], gain: str
) -> list[Agreement]:
    """Judge scores by the gain realised in each domain.

    A score is worth something if it is shown to order the domains, and to order them better than the
    ranking that looks at nothing: both intervals lie above 0, and the p-value, adjusted for how many
    scores are tried, is at most 0.05. It ranks backwards if its interval lies below 0 with such a p-value.

    Args:
        scores: Name -> of each of D domains; more of it promises more.
        gains: (D,) what was realised.
        static: (D,) the ranking that looks at nothing; more of it promises more.
        gain: What the gain is called.

    Raises:
        SimrealError: for a single domain: it has no order.
    """
    if len(gains) < 2:
        raise SimrealError(f"{gain}: {len(gains)} domain: an order takes at least two")
    realised, blind = np.asarray(gains, float), np.asarray(static, float)
    raw = [_p_value(np.asarray(values, float), realised) for values in scores.values()]
    found = zip(scores.items(), holm(raw), strict=True)
    return [_agreement(name, np.asarray(v, float), realised, blind, p, gain) for (name, v), p in found]


def least_tau(domains: int, scores: int) -> float | None:
    """Return the smallest tau without ties that can have an adjusted p of 0.05; None if not even 1 can."""
    pairs = domains * (domains - 1) // 2
    for inversions in range((pairs - 1) // 2, -1, -1):
        order = _inverted(domains, inversions)
        if scores * float(stats.kendalltau(range(domains), order).pvalue) <= 0.05:
            return 1 - 2 * inversions / pairs
    return None


def _inverted(count: int, inversions: int) -> list[int]:
    """Return an order of `count` numbers with this many pairs the wrong way round."""
    order: list[int] = []
    for number in range(count):
        passed = min(number, inversions)
        order.insert(number - passed, number)
        inversions -= passed
    return order


def _agreement(name: str, values: Array, gains: Array, static: Array, p_value: float, gain: str) -> Agreement:
    drawn = times_drawn(len(gains))
    tau, blind = kendall_tau(values, gains), kendall_tau(static, gains)
    of_draws = kendall_tau(values, gains, drawn)
    low, high = np.quantile(of_draws, [0.025, 0.975])
    over = np.quantile(of_draws - kendall_tau(static, gains, drawn), [0.025, 0.975])
    worth: Worth = "worth nothing shown"
    if len(gains) >= LEAST_DOMAINS and p_value <= 0.05:
        if low > 0 and over[0] > 0:
            worth = "worth something"
        elif high < 0:
            worth = "ranks backwards"
    ends = (float(low), float(high), p_value, float(tau - blind), float(over[0]), float(over[1]))
    return Agreement(name, gain, len(gains), float(tau), *ends, worth)


def _p_value(values: Array, gains: Array) -> float:
    """Return the p-value of tau, exact where nothing is tied; 1 where all are alike."""
    found = float(stats.kendalltau(values, gains).pvalue)
    return found if np.isfinite(found) else 1.0
