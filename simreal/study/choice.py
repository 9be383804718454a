"""Which arm to try on a target, learned from past studies; and what such a choice has been worth.

Extremely randomized trees (Geurts et al. 2006, Mach. Learn. 63:3) predict the success of every arm from the
gap, and from the arm's candidate, family, needs and budget. They are held to their record: every target
of the studies is left out once, with all its severities, and the success that the choice loses there to the
best arm in hindsight is set beside what always taking the best arm of the other targets loses. The settings
of the trees were fixed before anything was measured.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simreal.check.bootstrap import bca_interval
from simreal.check.candidates import ZERO_SHOT
from simreal.check.transfer_metrics import Estimate
from simreal.errors import SimrealError
from simreal.extras import extra
from simreal.study.arms import Arm, Case
from simreal.study.gap import Gap

Array = NDArray[np.float64]
TREES, LEAF = 300, 3
LEAST_TARGETS = 3
ENSEMBLE, FIXED, RANDOM = "ensemble", "best fixed", "random"
Pick = Callable[[Case, Sequence[Arm]], Arm | None]
"""From the arms of a case, without its success; None is any."""


@dataclass(frozen=True)
class Way:
    """A way of choosing, and what it lost."""

    name: str
    regret: Estimate
    """Success lost to the best arm in hindsight: mean over targets, BCa bootstrap interval over targets."""
    chosen: dict[str, str]
    """Target -> arm; none of a random one."""


@dataclass(frozen=True)
class Record:
    """What choosing has been worth on targets that were left out."""

    targets: int
    arms: int
    ways: list[Way]
    over_fixed: Estimate
    """Regret of the ensemble less that of the best fixed arm: below 0 is better."""

    @property
    def better(self) -> bool:
        """Return whether the ensemble is shown to choose better than a fixed arm."""
        return self.over_fixed.high < 0

    @property
    def verdict(self) -> str:
        """Return in words how the ensemble chooses beside a fixed arm."""
        over, low, high = (100 * end for end in dataclasses.astuple(self.over_fixed))
        shown = "is not shown to choose better than"
        if self.better or self.over_fixed.low > 0:
            shown = "chooses better than" if self.better else "chooses worse than"
        return (
            f"on {self.targets} targets left out in turn the ensemble {shown} always taking the best fixed "
            f"method: it loses {over:+.1f} points more ({low:+.1f} to {high:+.1f})"
        )


@dataclass(frozen=True)
class Predicted:
    """What is expected of an arm."""

    arm: Arm
    success: float
    spread: float
    """Deviation over the trees: how far they agree, not an interval."""
    gained: float | None
    """Over zero-shot on the studies' targets, mean; None if it was tried on none of them."""


class Chooser:
    """An ensemble fitted to cases."""

    def __init__(self, cases: Sequence[Case], names: Sequence[str], seed: int) -> None:
        """Fit.

        Args:
            cases: With at least two domains.
            names: The numbers of a gap that may be looked at.
            seed: Of the trees.

        Raises:
            SimrealError: if scikit-learn is missing.
        """
        self._names, self._gains = tuple(names), gains_by_domain(cases)
        arms = sorted({arm for case in cases for arm in case.success})
        self._candidates = sorted({arm.candidate for arm in arms})
        self._families = sorted({arm.family for arm in arms})
        rows = [self._row(case.gap, arm) for case in cases for arm in case.success]
        rates = [rate for case in cases for rate in case.success.values()]
        self._trees = _trees(seed).fit(np.array(rows), np.array(rates))

    def predict(self, gap: Gap, arms: Sequence[Arm]) -> list[Predicted]:
        """Return what is expected of each arm on a target that the cases do not have, best first."""
        rows = np.array([self._row(gap, arm) for arm in arms])
        each = np.stack([tree.predict(rows) for tree in self._trees.estimators_])
        found = [
            Predicted(arm, float(mean), float(spread), gain_of(self._gains, arm))
            for arm, mean, spread in zip(arms, each.mean(axis=0), each.std(axis=0), strict=True)
        ]
        # Trees often put arms of one kind into one leaf: among these, what gained most elsewhere goes first.
        return sorted(found, key=lambda item: (-round(item.success, 9), -(item.gained or 0.0)))

    def _row(self, gap: Gap, arm: Arm) -> list[float]:
        """Return the features of one arm on one target.

        What the arm gained on the other targets is none of them: within an arm it would fall as the success
        to be predicted rises, and give that away.
        """
        numbers = gap.numbers()
        return [
            *(numbers[name] for name in self._names),
            *(float(size) for size in (arm.demos, arm.frames, arm.steps)),
            *(float(need in arm.needs) for need in ("source data", "demonstrations", "unlabelled frames")),
            *(float(arm.family == family) for family in self._families),
            *(float(arm.candidate == candidate) for candidate in self._candidates),
        ]


def gains_by_domain(cases: Iterable[Case]) -> dict[Arm, dict[str, float]]:
    """Return what each arm gained over zero-shot in each domain, the mean over its cases."""
    found: defaultdict[Arm, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for case in cases:
        for arm, rate in case.success.items():
            found[arm][case.domain].append(rate - case.success[Arm(ZERO_SHOT)])
    return {
        arm: {domain: float(np.mean(gains)) for domain, gains in by_domain.items()}
        for arm, by_domain in found.items()
    }


def gain_of(gains: Mapping[Arm, Mapping[str, float]], arm: Arm) -> float | None:
    """Return an arm's mean gain over the domains; None if it was tried in none."""
    return float(np.mean(list(gains[arm].values()))) if arm in gains else None


def best_fixed(gains: Mapping[Arm, Mapping[str, float]], arms: Sequence[Arm]) -> Arm:
    """Return the arm that gained most over zero-shot, the mean over domains; zero-shot if none was tried."""
    found = {arm: gain for arm in arms if (gain := gain_of(gains, arm)) is not None}
    return max(found, key=lambda arm: found[arm]) if found else Arm(ZERO_SHOT)


def gap_numbers(cases: Sequence[Case], *more: Gap, labels: bool) -> list[str]:
    """Return the numbers that every gap has; without `labels` none that takes demonstrations."""
    every = [gap.numbers() for gap in (*(case.gap for case in cases), *more)]
    shared = [name for name in every[0] if all(name in numbers for numbers in every)]
    return [name for name in shared if labels or not name.startswith("action_")]


def record(cases: Sequence[Case], names: Sequence[str], seed: int) -> Record:
    """Choose on every domain from what all the others say, and count what that loses.

    Args:
        cases: Of past studies, with the arms that may be chosen.
        names: The numbers of a gap that may be looked at.
        seed: Of the trees.

    Raises:
        SimrealError: for fewer than three domains.
    """
    domains = sorted({case.domain for case in cases})
    if len(domains) < LEAST_TARGETS:
        raise SimrealError(
            f"the study has {len(domains)} targets with something to choose: leaving one out takes "
            f"{LEAST_TARGETS}"
        )
    lost: dict[str, list[float]] = {name: [] for name in (ENSEMBLE, FIXED, ZERO_SHOT, RANDOM)}
    chosen: dict[str, dict[str, str]] = {name: {} for name in lost}
    for domain in domains:
        held = [case for case in cases if case.domain == domain]
        for name, pick in _picks([case for case in cases if case.domain != domain], names, seed).items():
            found = [(case, pick(case, list(case.success))) for case in held]
            lost[name].append(float(np.mean([_regret(*each) for each in found])))
            chosen[name] |= {case.target: arm.label for case, arm in found if arm is not None}
    ways = [Way(name, estimate(values), chosen[name]) for name, values in lost.items()]
    over = estimate(list(np.subtract(lost[ENSEMBLE], lost[FIXED])))
    return Record(len(domains), len({arm for case in cases for arm in case.success}), ways, over)


def _picks(others: Sequence[Case], names: Sequence[str], seed: int) -> dict[str, Pick]:
    """Return the ways of choosing, each from what other domains say."""
    chooser, gains = Chooser(others, names, seed), gains_by_domain(others)
    return {
        ENSEMBLE: lambda case, arms: chooser.predict(case.gap, arms)[0].arm,
        FIXED: lambda case, arms: best_fixed(gains, arms),
        ZERO_SHOT: lambda case, arms: Arm(ZERO_SHOT),
        RANDOM: lambda case, arms: None,
    }


def _regret(case: Case, arm: Arm | None) -> float:
    """Return what an arm loses to the best one in hindsight; without an arm the mean over all."""
    rates = list(case.success.values())
    return max(rates) - (float(np.mean(rates)) if arm is None else case.success[arm])


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean over targets and its BCa bootstrap interval."""
    low, high = bca_interval(np.array(values))
    return Estimate(float(np.mean(values)), float(low), float(high))


def _trees(seed: int) -> Any:
    ensemble = extra("sklearn.ensemble", "choosing a method", "search")
    return ensemble.ExtraTreesRegressor(TREES, min_samples_leaf=LEAF, random_state=seed)
