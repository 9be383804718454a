"""Recommend a method for a target before any training there: from a study's table and the target's gap."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simreal.check.finished import Finished
from simreal.errors import SimrealError
from simreal.study.arms import Arm, Case, Limits, cases_of, cells_of, limited
from simreal.study.cells import Source
from simreal.study.choice import Chooser, Predicted, Record, best_fixed, gains_by_domain, gap_numbers, record
from simreal.study.gap import DEMOS, ROLLOUTS, Gap, gaps
from simreal.study.table import Table


@dataclass(frozen=True)
class Ranked:
    """One arm, and what is expected of it."""

    candidate: str
    demos: int
    frames: int
    steps: int
    predicted: float
    """Success."""
    spread: float
    """Deviation over the trees."""
    gained: float | None
    """Over zero-shot on the study's targets, mean."""


@dataclass(frozen=True)
class Recommendation:
    """What to try on a target, and why."""

    target: str
    chosen: str
    """The ensemble's first where its choices are shown to lose less than a fixed arm's; else that arm."""
    reason: str
    gap: dict[str, float]
    ranking: list[Ranked]
    """Best first, by prediction."""
    record: Record


def past_cases(path: Path, sources: Sequence[Source]) -> list[Case]:
    """Return what a study's table says; the gaps of its targets are measured once and kept beside it.

    Raises:
        SimrealError: if there is no table, or a source has no cell in it.
    """
    if not path.is_file():
        raise SimrealError(f"{path}: no such table: `simreal study` makes one")
    table, found = Table(path), list[Case]()
    kept = Finished(path.with_name(f"{path.stem}_gaps.json"), [ROLLOUTS, DEMOS], resume=True)
    for source in sources:
        cells = cells_of(table, source)
        if not cells:
            raise SimrealError(f"{path}: no cell of the source {source.name}")
        measured = gaps(source, [target for target, _ in cells.values()], kept)
        found += cases_of(source, cells, measured)
    return found


def recommend(cases: Sequence[Case], target: str, gap: Gap, limits: Limits, seed: int) -> Recommendation:
    """Rank what the budget allows by its predicted success on a target, and choose.

    Args:
        cases: Of past studies.
        target: Its name.
        gap: Its gap.
        limits: The most that may be used of it.
        seed: Of the ensemble.

    Raises:
        SimrealError: if the studies tried nothing that the budget allows.
    """
    allowed = limited(cases, limits)
    if not allowed:
        tried = sorted({arm.label for case in cases for arm in case.success})
        raise SimrealError(f"the study tried nothing within {limits}: it has {', '.join(tried)}")
    names = gap_numbers(allowed, gap, labels=not limits.label_free)
    arms = sorted({arm for case in allowed for arm in case.success})
    ranking = Chooser(allowed, names, seed).predict(gap, arms)
    past = record(allowed, names, seed)
    fixed = best_fixed(gains_by_domain(allowed), arms)
    chosen = ranking[0].arm if past.better else fixed
    numbers = {name: gap.numbers()[name] for name in names}
    reason = _reason(past, ranking[0].arm)
    return Recommendation(target, chosen.label, reason, numbers, [_plain(item) for item in ranking], past)


def _plain(item: Predicted) -> Ranked:
    arm = item.arm
    return Ranked(arm.candidate, arm.demos, arm.frames, arm.steps, item.success, item.spread, item.gained)


def _reason(past: Record, first: Arm) -> str:
    if past.better:
        return f"the ensemble's first ({past.verdict})"
    return f"the best fixed, not the ensemble's {first.label} ({past.verdict})"
