"""Looking at a check while it runs: error levels that stay right however often one looks. Pure statistics.

Group-sequential tests with alpha spending (Lan & DeMets 1983, Biometrika 70:659) of the O'Brien-Fleming
kind: little is spent on the first seeds, so that the last look has nearly the power of a check without
looks. Each end of the verdict's interval may be wrong with a probability of 2.5% over all looks together
(repeated confidence intervals: Jennison & Turnbull 1989, J. R. Stat. Soc. B 51:305). The levels are those of
a Brownian motion, and are used as levels of the t-interval and of the sign-flip test (the significance level
approach: Jennison & Turnbull 2000, Group Sequential Methods, section 4.4); `scripts/calibrate_check.py`
measures what that comes to with few seeds. Confidence sequences by betting (Waudby-Smith & Ramdas 2024,
J. R. Stat. Soc. B 86:1) need no plan of looks, but far more seeds; the script shows that too.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Array = NDArray[np.float64]
METHOD = "O'Brien-Fleming alpha spending (Lan & DeMets 1983)"
_FIRST = 6  # with fewer there is no verdict
_STEP = 2  # seeds between looks: looking at each saves less than half a seed more
_NODES = 64  # of the integral between two looks; with three times as many the levels agree to 1e-9
_FAR = 8.0  # standard deviations below which nothing is left


@dataclass(frozen=True)
class Plan:
    """When a check is looked at, set before it runs."""

    looks: tuple[int, ...]
    """Numbers of seeds, ascending; the last is the seed budget."""

    @classmethod
    def of_budget(cls, seeds: int) -> "Plan":
        """Look at six seeds and at every second from there, and at the last."""
        return cls((*range(_FIRST, seeds, _STEP), seeds))


@dataclass(frozen=True)
class Look:
    """One look of a plan."""

    plan: Plan
    seeds: int

    def nominal(self, level: float) -> float:
        """Return at which two-sided level to test at this look, for `level` over all looks."""
        looks = tuple(seeds for seeds in self.plan.looks if seeds <= self.seeds)
        return nominal_levels(looks, level, self.plan.looks[-1])[-1]

    def repeated_p(self, p_value: float) -> float:
        """Return the smallest level over all looks at which this p-value is significant at this look.

        At most `level` with a probability of at most `level`, whenever one stops: what Holm's correction
        needs (Jennison & Turnbull 2000, section 9.5).
        """
        most = 1 - 1e-9
        if p_value >= self.nominal(most):
            return 1.0

        def excess(log_level: float) -> float:
            return self.nominal(math.exp(log_level)) - p_value

        low = math.log(p_value) - 1e-9  # a look is never tested above the level of all
        if excess(low) >= 0:
            return p_value
        return math.exp(float(optimize.brentq(excess, low, math.log(most), xtol=1e-5)))


@dataclass(frozen=True)
class Sequential:
    """How a sequential check went."""

    method: str
    looks: tuple[int, ...]
    """Numbers of seeds at which it was looked at."""
    seed_budget: int
    seeds_saved: int

    @classmethod
    def of(cls, look: Look) -> "Sequential":
        """Return it for the look that was the last."""
        done = tuple(seeds for seeds in look.plan.looks if seeds <= look.seeds)
        return cls(METHOD, done, look.plan.looks[-1], look.plan.looks[-1] - look.seeds)

    def sentence(self) -> str:
        """Return it as one sentence for people."""
        times = f"{len(self.looks)} looks" if len(self.looks) > 1 else "one look"
        return (
            f"{self.seeds_saved} of {self.seed_budget} seeds saved, after {times}: intervals and p-values "
            f"hold under looking, by {self.method}."
        )


def settled(verdict: str, high: float, margin: float) -> bool:
    """Return whether further seeds are spared.

    A `safe` candidate goes on while it may yet be better than the baseline by the margin: stopped at
    once, one that helps by ten points would often never be called `positive`.

    Args:
        verdict: At this look.
        high: Upper end of the difference's interval.
        margin: Of the verdict.
    """
    return verdict in ("negative", "positive") or (verdict == "safe" and high < margin)


def spent(time: float, level: float) -> float:
    """Return what may be spent of a one-sided level when a share `time` of the budget is used."""
    return float(2 * special.ndtr(special.ndtri(level / 2) / math.sqrt(time)))


@functools.lru_cache(maxsize=1024)
def nominal_levels(
    looks: tuple[int, ...], level: float, budget: int, spend: Callable[[float, float], float] = spent
) -> tuple[float, ...]:
    """Return the two-sided level of each look, that together spend `level` by the end of the budget.

    By recursive integration (Armitage, McPherson & Rowe 1969, J. R. Stat. Soc. A 132:235): the density of the
    paths of a Brownian motion that no look has stopped is carried from look to look.

    Args:
        looks: Numbers of seeds, ascending.
        level: Two-sided, over all looks, in (0, 1); half of it at either end.
        budget: Seeds of the last look.
        spend: What may be spent of a one-sided level by a share of the budget.
    """
    times = np.asarray(looks, dtype=float) / budget
    shares = np.diff([spend(time, level / 2) for time in times], prepend=0.0)
    places, mass, before = np.zeros(1), np.ones(1), 0.0  # where paths are, and how many
    found = []
    for time, share in zip(times, shares, strict=True):
        step = math.sqrt(time - before)
        bound = _bound(places, mass, step, float(share), math.sqrt(time))
        found.append(2 * float(special.ndtr(-bound / math.sqrt(time))))
        places, mass = _carried(places, mass, step, bound, -_FAR * math.sqrt(time))
        before = float(time)
    return tuple(found)


def _bound(places: Array, mass: Array, step: float, share: float, scale: float) -> float:
    """Return the bound that this share of all paths crosses at this look."""

    def excess(bound: float) -> float:
        return float(mass @ special.ndtr((places - bound) / step)) - share

    low, high = -_FAR * scale, 5 * _FAR * scale
    return float(optimize.brentq(excess, low, high)) if excess(low) > 0 else low


def _carried(places: Array, mass: Array, step: float, bound: float, low: float) -> tuple[Array, Array]:
    """Return where the paths are that were not stopped, on nodes between `low` and the bound."""
    nodes, weights = _rule()
    half = max(bound - low, 1e-12) / 2
    new = low + half * (nodes + 1)
    density = (
        np.exp(-0.5 * np.square((new[:, None] - places) / step)) @ mass / (step * math.sqrt(2 * math.pi))
    )
    return new, density * half * weights


@functools.cache
def _rule() -> tuple[Array, Array]:
    """Return nodes and weights of Gauss and Legendre on -1..1."""
    return np.polynomial.legendre.leggauss(_NODES)
