"""The verdict on a candidate against a baseline, from paired differences over training seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simreal.check.bootstrap import Robust, robust
from simreal.check.sequential import Look
from simreal.check.statistics import (
    MOST_SEEDS_TOLD,
    holm,
    seeds_needed,
    seeds_to_reach,
    sign_flip_p,
    smallest_p,
    t_interval,
)  # fmt: skip
from simreal.errors import SimrealError, nearest

Verdict = Literal["negative", "positive", "safe", "inconclusive"]
MARGIN = 0.05
MINIMUM_SEEDS = 6  # with five the smallest two-sided sign-flip p is 0.0625


@dataclass(frozen=True)
class Comparison:
    """One candidate against one baseline."""

    candidate: str
    baseline: str
    primary: bool
    verdict: Verdict
    difference: float
    """Mean over seeds of the candidate's success minus the baseline's."""
    ci_low: float
    ci_high: float
    p_value: float
    """Of the sign-flip test; Holm-adjusted for a secondary comparison."""
    robust: Robust | None = None
    """Shown beside; the verdict does not look at it. None for fewer than two seeds."""
    confidence: float = 0.95
    """Of the interval. Those of the secondary comparisons hold 95% together (Bonferroni)."""


def compare_all(
    success: Mapping[str, Sequence[float]],
    primary: tuple[str, str] | None,
    secondary: Sequence[tuple[str, str]],
    episodes: int,
    margin: float = MARGIN,
    look: Look | None = None,
    declared: int | None = None,
) -> list[Comparison]:
    """Compare candidates with baselines: one primary comparison, and others corrected after Holm.

    Holm's p-values speak against no difference alone. `negative` and `safe` are read off intervals, so
    those of the secondary comparisons are simultaneous: each at 95% divided by their number (Bonferroni).

    Args:
        success: Candidate -> success rate of each training seed; all of the same length.
        primary: (candidate, baseline), declared before anything was run; None where it is incomplete, which
            promotes no other.
        secondary: Further (candidate, baseline) pairs.
        episodes: Episodes behind each success rate.
        margin: How much worse is still `safe`.
        look: Of a sequential check: p-values and intervals hold however often it is looked at.
        declared: How many secondary comparisons there were to be, where some are incomplete.

    Raises:
        SimrealError: for unequal numbers of seeds, or a success rate outside 0..1.
    """
    pairs = [*([primary] if primary else []), *secondary]
    first = len(pairs) - len(secondary)  # of the secondary ones
    for name, rates in success.items():
        _check(name, rates, len(success[pairs[0][0]]))
    differences = [_paired(success, *pair) for pair in pairs]
    raw = [sign_flip_p(values) for values in differences]
    raw = [look.repeated_p(p) for p in raw] if look else raw
    missing = max(0, (declared or 0) - len(secondary))
    adjusted = [*raw[:first], *holm([*raw[first:], *missing * [1.0]])]
    levels = [*first * [0.05], *shared_levels(len(secondary) + missing)[: len(secondary)]]
    nominal = [look.nominal(level) for level in levels] if look else levels
    found = [
        _comparison(pair, index < first, values, adjusted[index], nominal[index], episodes, margin)
        for index, (pair, values) in enumerate(zip(pairs, differences, strict=True))
    ]
    return [
        replace(_described(item, success), confidence=1 - level)
        for item, level in zip(found, levels, strict=True)
    ]


def _described(item: Comparison, success: Mapping[str, Sequence[float]]) -> Comparison:
    """Add what is shown beside the mean."""
    rates, base = success[item.candidate], success[item.baseline]
    return replace(item, robust=robust(rates, base)) if len(rates) > 1 else item


def _comparison(
    pair: tuple[str, str],
    primary: bool,
    values: list[float],
    p_value: float,
    level: float,
    episodes: int,
    margin: float,
) -> Comparison:
    mean = float(np.mean(values))
    if len(values) < 2:
        return Comparison(*pair, primary, "inconclusive", mean, -1.0, 1.0, 1.0)
    low, high = (max(-1.0, min(1.0, end)) for end in t_interval(values, 1 - level, floor=1 / episodes))
    verdict: Any = str(decide(low, high, p_value <= 0.05, margin))
    verdict = verdict if len(values) >= MINIMUM_SEEDS else "inconclusive"
    return Comparison(*pair, primary, verdict, mean, low, high, p_value)


def decide(low: Any, high: Any, significant: Any, margin: float) -> NDArray[np.str_]:
    """Return the verdicts, which are the first that matches, from arrays of one shape or plain values.

    Args:
        low: Lower end of the difference's interval.
        high: Upper end.
        significant: Whether the sign-flip test says so too.
        margin: How much worse is still `safe`.
    """
    positive = np.logical_and(np.asarray(low) > 0, significant)
    conditions = [np.asarray(high) < 0, positive, np.asarray(low) > -margin]
    return np.select(conditions, ["negative", "positive", "safe"], default="inconclusive")


def sentence(comparison: Comparison, seeds: int, spread: float | None = None) -> str:
    """Return the verdict as one sentence for people."""
    points = 100 * comparison.difference
    manner = "beat" if points > 0 else "fell short of" if points < 0 else "equalled"
    which = "95% interval" if comparison.primary else "simultaneous 95% interval"
    amount = f" by {abs(points):.0f} points" if round(abs(points)) else " (difference below a point)"
    text = (
        f"{comparison.candidate} {manner} {comparison.baseline}{amount} "
        f"({which} {100 * comparison.ci_low:+.0f} to {100 * comparison.ci_high:+.0f}, "
        f"{seeds} seeds, p = {comparison.p_value:.3g}): {comparison.verdict}."
    )
    parts = [text, _lacking(comparison, seeds, spread)]
    parts.append(beside(comparison.robust) if comparison.robust else "")
    return " ".join(part for part in parts if part)


def _lacking(comparison: Comparison, seeds: int, spread: float | None) -> str:
    """Return what an inconclusive comparison lacks."""
    if comparison.verdict != "inconclusive":
        return ""
    if seeds < MINIMUM_SEEDS:
        return f"A verdict needs at least {MINIMUM_SEEDS} seeds."
    if spread is None:
        return ""
    level, difference = 1 - comparison.confidence, comparison.difference
    shifts = {"positive" if difference > 0 else "negative": difference}
    if difference > -MARGIN:
        shifts["safe"] = difference + MARGIN
    needed = {name: seeds_needed(shift, spread, level) for name, shift in shifts.items()}
    known = {name: max(number, seeds + 1) for name, number in needed.items() if number is not None}
    if not known:
        return f"More than {MOST_SEEDS_TOLD:,} seeds would be needed to settle a difference like this."
    soonest = min(known, key=known.__getitem__)
    return f"About {known[soonest]} seeds would settle a difference like this, as {soonest}."


def beside(found: Robust) -> str:
    """Return what is shown beside the mean as one sentence for people."""
    return (
        f"Beside the mean: BCa interval {100 * found.bca_low:+.0f} to {100 * found.bca_high:+.0f}; "
        f"interquartile mean {100 * found.iqm:+.0f} ({100 * found.iqm_low:+.0f} to "
        f"{100 * found.iqm_high:+.0f}); probability of improvement {found.improvement:.2f} "
        f"({found.improvement_low:.2f} to {found.improvement_high:.2f})."
    )


def reach(seeds: int, secondary: int, look: Look | None = None) -> str | None:
    """Return a sentence when no secondary comparison can be `positive`, whatever it comes to; else None."""
    smallest = smallest_p(seeds, secondary)
    if look is not None:
        smallest = min(1.0, secondary * look.repeated_p(smallest_p(seeds)))
    if not secondary or smallest <= 0.05 or seeds < MINIMUM_SEEDS:
        return None
    text = (
        f"With {seeds} seeds and {secondary} secondary comparisons none of these can be positive: the "
        f"smallest p that Holm's correction can leave is {smallest:.2g}."
    )
    return text if look else f"{text} {seeds_to_reach(secondary)} seeds are enough."


def spread(success: Mapping[str, Sequence[float]], pair: tuple[str, str], episodes: int) -> float | None:
    """Return the deviation of the paired differences, as intervals believe it; None below two seeds."""
    values = _paired(success, *pair)
    return max(float(np.std(values, ddof=1)), 1 / episodes) if len(values) > 1 else None


def _paired(success: Mapping[str, Sequence[float]], candidate: str, baseline: str) -> list[float]:
    for name in (candidate, baseline):
        if name not in success:
            raise SimrealError(f"no candidate {name!r} among the results; {nearest(name, success)}")
    return [a - b for a, b in zip(success[candidate], success[baseline], strict=True)]


def shared_levels(comparisons: int) -> list[float]:
    """Return the error level of each of several intervals that hold 95% together (Bonferroni)."""
    return comparisons * [0.05 / max(1, comparisons)]


def _check(name: str, rates: Sequence[float], seeds: int) -> None:
    if len(rates) != seeds:
        raise SimrealError(f"{name}: {len(rates)} seeds where others have {seeds}; pairs are needed")
    wrong = [rate for rate in rates if not 0 <= rate <= 1]
    if wrong:
        raise SimrealError(f"{name}: success rate {wrong[0]!r} is not between 0 and 1")
