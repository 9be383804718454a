"""What the candidates of a check took of time and of the target, and what that saved against target-only."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simreal.check.candidates import EQUAL_UPDATES, TARGET_ONLY, Trained, needs_of
from simreal.check.savings import savings
from simreal.check.transfer_metrics import THRESHOLD, Curve
from simreal.errors import SimrealError
from simreal.pretrain.cost import SourceCost
from simreal.results import finite


@dataclass(frozen=True)
class Kept:
    """What is kept of one candidate's training seed."""

    success: float
    frames: int
    """Of the demonstrations it learned from."""
    seconds: float
    """Of training, wall clock of one process."""
    rollout_steps: int
    """Of the rollouts that judged it."""

    @classmethod
    def of(cls, trained: Trained) -> "Kept":
        """Return what is kept."""
        steps = sum(episode.steps for episode in trained.episodes)
        return cls(trained.success_rate, trained.frames_used, trained.seconds, steps)


@dataclass(frozen=True)
class Spent:
    """By one candidate, mean over training seeds."""

    seconds: float
    """Of training, wall clock of one process; recording the target's data and judging are left out."""
    steps: float
    """Of the target, that it learned from: the sum of the next three."""
    demonstration_frames: float
    unlabelled_frames: float
    rewarded_steps: float
    rollout_steps: float
    """Of the rollouts that judged it; not counted, since none was used to choose anything."""
    trials: int = 0
    """Trainings on tuning seeds that its settings took."""


@dataclass(frozen=True)
class Spending:
    """What was spent, and what was saved until a threshold of success."""

    threshold: float
    source: SourceCost | None
    """None where the source policy comes from no run folder."""
    spent: dict[str, Spent]
    saved: dict[str, dict[str, Any]]
    """Candidate -> `seconds` and `steps` -> `Savings` against target-only, null for what is unbounded.
    The searches of settings are not counted. Empty with one seed."""


def spending(
    kept: Mapping[str, Sequence[Kept]],
    frames: int,
    steps: int,
    source: SourceCost | None,
    trials_of: Callable[[str], int] = lambda name: 0,
) -> Spending:
    """Summarize what every candidate took, and what it saved.

    Args:
        kept: Candidate -> what came of each training seed.
        frames: Unlabelled ones that a candidate got if it takes any.
        steps: Rewarded ones that it got if it takes any.
        source: What the source policy cost.
        trials_of: The trainings that a candidate's settings took.
    """
    spent, took = {}, {}
    for name, found in kept.items():
        needs = needs_of(name)
        others = frames * ("unlabelled frames" in needs), steps * ("rewarded steps" in needs)
        took[name] = [each.frames + sum(others) for each in found]
        spent[name] = Spent(
            seconds=float(np.mean([each.seconds for each in found])),
            steps=float(np.mean(took[name])),
            demonstration_frames=float(np.mean([each.frames for each in found])),
            unlabelled_frames=others[0],
            rewarded_steps=others[1],
            rollout_steps=float(np.mean([each.rollout_steps for each in found])),
            trials=trials_of(name),
        )
    saved = {
        name: _saved(kept, took, name, source)
        for name in kept
        if name not in (TARGET_ONLY, EQUAL_UPDATES) and len(kept[name]) > 1
    }
    return Spending(THRESHOLD, source, spent, saved)


def _saved(
    kept: Mapping[str, Sequence[Kept]],
    took: Mapping[str, Sequence[int]],
    name: str,
    source: SourceCost | None,
) -> dict[str, Any]:
    """Return what a candidate saved of seconds and of steps, at the one budget of a check."""
    pair = (name, TARGET_ONLY)
    curves = [Curve.of([1], [[each.success] for each in kept[one]]) for one in pair]
    seconds = [[[each.seconds] for each in kept[one]] for one in pair]
    steps = [[[count] for count in took[one]] for one in pair]
    found = {}
    for unit, costs, paid in (
        ("seconds", seconds, source.seconds if source else None),
        ("steps", steps, source.steps if source else None),
    ):
        found[unit] = finite(savings(curves[0], curves[1], THRESHOLD, (costs[0], costs[1]), paid))
    return found


def refuse_unequal(
    spent: Mapping[str, Spent], primary: tuple[str, str], secondary: Sequence[tuple[str, str]]
) -> None:
    """Refuse to compare two candidates that learned from unequal budgets.

    Raises:
        SimrealError: naming both and what each had.
    """
    for pair in (primary, *secondary):
        ours, theirs = (_learned_from(spent[name]) for name in pair)
        if ours != theirs and any(ours) and any(theirs):
            had = " and ".join(
                f"{name} {demos:.0f} frames of demonstrations, {steps:.0f} rewarded steps and {trials} "
                "trainings to tune it"
                for name, (demos, steps, trials) in zip(pair, (ours, theirs), strict=True)
            )
            raise SimrealError(f"{pair[0]} is not compared with {pair[1]}: their budgets differ: {had}")


def _learned_from(spent: Spent) -> tuple[float, float, int]:
    return spent.demonstration_frames, spent.rewarded_steps, spent.trials


def used(spent: Mapping[str, Spent]) -> list[str]:
    """Return a table of what each candidate used of the target, and of time; means over training seeds."""
    titles = ("candidate", "demo frames", "unlabelled", "rewarded", "tuning runs", "training, s")
    width = max(len(name) for name in (titles[0], *spent)) + 2
    lines = [titles[0].ljust(width) + "".join(title.rjust(13) for title in titles[1:])]
    for name, each in spent.items():
        values = (each.demonstration_frames, each.unlabelled_frames, each.rewarded_steps, each.trials)
        numbers = [*(f"{value:.0f}" for value in values), amount(each.seconds)]
        lines.append(name.ljust(width) + "".join(number.rjust(13) for number in numbers))
    return lines


def told(spent: Spending, name: str) -> str:
    """Return a sentence on what a candidate saved; empty with one seed."""
    if name not in spent.saved:
        return ""
    found = spent.saved[name]
    ends = found["seconds"]["target_only_counts"]
    if ends["at_least"] is None and ends["at_most"] is None:
        return (
            f"What {name} saves against {TARGET_ONLY} to a success of {spent.threshold:g} is not known: too "
            "few training seeds get there."
        )
    if ends["at_most"] is None:
        return _unmatched(spent, name)
    if ends["at_least"] is None:
        return (
            f"{TARGET_ONLY} gets to a success of {spent.threshold:g}, and {name} on too few training seeds "
            "to save anything."
        )
    alone = [bounds(found[unit]["target_only_counts"], unit) for unit in ("seconds", "steps")]
    text = (
        f"To a success of {spent.threshold:g}, against {TARGET_ONLY}, {name} saves {alone[0]} of training "
        f"and {alone[1]} of the target"
    )
    if spent.source is None:
        return f"{text}; what the source cost is not known."
    paid = bounds(found["seconds"]["source_counts"], "seconds")
    cost = f"{spent.source.seconds:.0f} seconds and {spent.source.steps:,} simulated steps"
    pays = found["seconds"]["targets_to_pay"]
    after = "" if pays is None else f"; in seconds it is paid for after {math.ceil(pays)} such targets"
    return f"{text}; with the source's {cost} counted, {paid}{after}."


def _unmatched(spent: Spending, name: str) -> str:
    """Return what a candidate took, where target-only gets to the threshold on too few seeds to compare."""
    took, source = spent.spent[name], spent.source
    text = (
        f"With this budget {TARGET_ONLY} gets to a success of {spent.threshold:g} on too few training seeds "
        f"to compare; {name} does with {amount(took.seconds)} seconds of training and "
        f"{amount(took.steps)} steps of the target"
    )
    if source is None:
        return f"{text}; what the source cost is not known."
    return f"{text}, after the source's {source.seconds:.0f} seconds and {source.steps:,} simulated steps."


def bounds(saved: Mapping[str, Any], unit: str = "") -> str:
    """Return a saving in words, whose upper bound is known."""
    low, high = saved["at_least"], saved["at_most"]
    unit = unit and f" {unit}"
    if low is None:
        return f"at most {amount(high)}{unit}"
    return f"{amount(low)}{unit}" if low == high else f"{amount(low)} to {amount(high)}{unit}"


def amount(value: float) -> str:
    """Return seconds or steps as text, with a digit after the point where they are few."""
    return f"{value:,.1f}" if abs(value) < 10 and value != round(value) else f"{value:,.0f}"
