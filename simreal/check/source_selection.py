"""Which source to start from on a target, or none: before any time on the target is spent.

Sources are ranked by the error of their actions on demonstrations held out from adapting them. Chosen is the
first that is shown to beat what needs no source: target-only, trained properly on the same demonstrations,
or the mean action, whichever of the two errs less. Shown means that the t-interval of the paired log
ratios, over demonstrations, at 95% divided by the number of sources lies below the baseline. Else the answer
is none, since a bad source does harm that the ranking cannot see: among bad sources one is always first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simreal.check.bootstrap import bca_interval
from simreal.check.candidates import TARGET_ONLY
from simreal.check.scores import Scores
from simreal.check.statistics import t_interval
from simreal.check.transfer_metrics import Estimate
from simreal.check.trials import Trials

Array = NDArray[np.float64]
NONE = -1
MEAN_ACTION = "mean action"
_SMALLEST = 1e-9  # of an error, so that its logarithm is a number


@dataclass(frozen=True)
class Ranked:
    """One source, and what speaks for it."""

    source: str
    held_out_error: float
    """Mean squared action error on held-out demonstrations, after adapting."""
    error_ratio: float
    """That error over the baseline's: geometric mean over demonstrations; below 1 is better."""
    ci_low: float
    ci_high: float
    """Its t-interval over demonstrations, at 95% corrected for the number of sources (Bonferroni)."""
    scores: Scores


@dataclass(frozen=True)
class Selection:
    """What was chosen, and from what."""

    chosen: str | None
    """None if no source is shown to beat the baseline."""
    reason: str
    baseline: str
    """`target-only` or `mean action`: what needs no source and errs least."""
    baseline_error: float
    demonstrations: int
    ranking: list[Ranked]
    """Best first."""


def select(scores: Mapping[str, Scores], trials: Trials) -> Selection:
    """Rank sources, and choose the first or none.

    Args:
        scores: Of each source, shown beside.
        trials: Of the same sources in the same order.
    """
    without = {TARGET_ONLY: trials.target_only, MEAN_ACTION: trials.mean_action}
    baseline = min(without, key=lambda name: float(without[name].mean()))
    ranked = [
        _ranked(name, errors, without[baseline], found, len(scores))
        for (name, found), errors in zip(scores.items(), trials.sources, strict=True)
    ]
    ranked.sort(key=lambda item: item.held_out_error)
    shown = [item for item in ranked if item.ci_high < 1]
    chosen = shown[0] if shown else None
    error = float(without[baseline].mean())
    reason = _reason(chosen or ranked[0], baseline, chosen is not None)
    return Selection(
        chosen.source if chosen else None, reason, baseline, error, len(trials.mean_action), ranked
    )


def _ranked(name: str, errors: Array, baseline: Array, scores: Scores, sources: int) -> Ranked:
    logs = np.log(np.maximum(errors, _SMALLEST)) - np.log(np.maximum(baseline, _SMALLEST))
    low, high = t_interval(list(logs), 1 - 0.05 / sources)
    ratio, low, high = (float(np.exp(end)) for end in (logs.mean(), low, high))
    return Ranked(name, float(errors.mean()), ratio, low, high, scores)


def _reason(told: Ranked, baseline: str, shown: bool) -> str:
    ratio = f"{told.error_ratio:.2f} times ({told.ci_low:.2f} to {told.ci_high:.2f})"
    says = f"adapted, {told.source} errs {ratio} as much as {baseline} on held-out demonstrations"
    if shown:
        return f"{says}, the least of the sources that are shown to err less"
    return f"{says}, and none is shown to err less"


def regret(success: Array, without: Array, choices: NDArray[np.int64]) -> Estimate:
    """Return the mean success lost to the oracle over targets, with its BCa bootstrap interval over targets.

    Args:
        success: (S, T) realised from each source on each target.
        without: (T,) realised without any source; the oracle may choose that too.
        choices: (T,) the source chosen on each target, -1 for none.
    """
    every = np.vstack([success, without])  # none is the last row, which -1 finds
    lost = every.max(axis=0) - every[choices, np.arange(len(choices))]
    low, high = bca_interval(lost)
    return Estimate(float(lost.mean()), float(low), float(high))


def best_fixed(success: Array, without: Array) -> NDArray[np.int64]:
    """Return for each target (T,) the choice that did best on all the others, -1 for none.

    From success (S, T) and that without a source (T,): what is always taken cannot have seen the target.
    """
    every = np.vstack([success, without])
    others = every.sum(axis=1, keepdims=True) - every
    chosen = others.argmax(axis=0)
    return np.where(chosen == len(success), NONE, chosen).astype(np.int64)
