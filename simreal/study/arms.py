"""What a study's table says of choosing: on each target the success of every arm, and the gap before it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simreal.check.candidates import ZERO_SHOT
from simreal.errors import SimrealError
from simreal.study.cells import Cell, Source, needs_of
from simreal.study.gap import Gap
from simreal.study.table import Table
from simreal.targets import Target, label_of, parse_target
from simreal.transfer import METHODS, method

_NAMED = ("demos", "frames", "steps", "run_seed", "seed", "updates", "episodes", "learning_rate")
_LABELLED = ("demonstrations", "rewarded steps")
Rows = list[dict[str, Any]]


@dataclass(frozen=True, order=True)
class Arm:
    """What can be tried on a target: a candidate, and how much of the target it uses."""

    candidate: str
    demos: int = 0
    frames: int = 0
    steps: int = 0

    def within(self, limits: "Limits") -> bool:
        """Return whether a target budget allows it."""
        return self.demos <= limits.demos and self.frames <= limits.frames and self.steps <= limits.steps

    @property
    def needs(self) -> tuple[str, ...]:
        """Return what its candidate needs."""
        return needs_of(self.candidate)

    @property
    def setting(self) -> str:
        """Return the transfer setting of its candidate; a baseline's own name."""
        return method(self.candidate).setting if self.candidate in METHODS else self.candidate

    @property
    def family(self) -> str:
        """Return the family of its candidate; a baseline's own name."""
        return method(self.candidate).family if self.candidate in METHODS else self.candidate

    @property
    def label_free(self) -> bool:
        """Return whether it needs neither demonstrations nor rewards."""
        return not set(_LABELLED) & set(self.needs)

    @property
    def label(self) -> str:
        """Return the candidate and its budget."""
        sizes = ((self.demos, "demonstrations"), (self.frames, "frames"), (self.steps, "steps"))
        used = ", ".join(f"{size} {name}" for size, name in sizes if size)
        return f"{self.candidate} ({used})" if used else self.candidate


@dataclass(frozen=True)
class Limits:
    """The most that may be used of a target."""

    demos: int
    frames: int
    steps: int

    @property
    def label_free(self) -> bool:
        """Return whether no label may be used."""
        return not self.demos and not self.steps


@dataclass(frozen=True)
class Case:
    """One source on one target: what was known before, and what came of every arm."""

    source: str
    target: str
    """With its severity."""
    domain: str
    """Without: what is held out together."""
    gap: Gap
    success: Mapping[Arm, float]
    """Mean over training seeds."""


def cells_of(table: Table, source: Source) -> dict[str, tuple[Target, Rows]]:
    """Return the cells of a source by their target's label; of others the hash of the row differs.

    Left out is what can no longer be known: a target that was a file, a method whose settings have changed.
    """
    found: dict[str, tuple[Target, Rows]] = {}
    for row in table:
        name = label_of(row["domain"], row["severity"])
        try:
            target = parse_target(name, source.env_id)
        except SimrealError:
            continue
        settings = row.get("settings") or ""  # a column that earlier tables lack
        each = Cell(target, row["candidate"], settings=settings, **{key: row[key] for key in _NAMED})
        if each.key(source) == row["key"]:
            found.setdefault(target.label, (target, []))[1].append(row)
    return found


def cases_of(source: Source, cells: Mapping[str, tuple[Target, Rows]], gaps: Mapping[str, Gap]) -> list[Case]:
    """Return a case for every target and run of seeds that has zero-shot, by which gains are counted.

    An arm that lacks seeds which others of its case have is left out: luck with seeds is shared, or unfair.
    """
    found = []
    for label, (target, rows) in cells.items():
        for run_seed in sorted({row["run_seed"] for row in rows}):
            arms: defaultdict[Arm, dict[int, float]] = defaultdict(dict)
            for row in rows:
                if row["run_seed"] == run_seed:
                    arms[arm_of(row)][row["seed"]] = row["success_rate"]
            most = max(len(rates) for rates in arms.values())
            success = {
                arm: float(np.mean(list(rates.values())))
                for arm, rates in sorted(arms.items())
                if len(rates) == most
            }
            if Arm(ZERO_SHOT) in success:
                found.append(Case(source.name, label, target.name, gaps[label], success))
    return found


def arm_of(row: Mapping[str, Any]) -> Arm:
    """Return the arm that a cell tried."""
    return Arm(row["candidate"], row["demos"], row["frames"], row["steps"])


def limited(cases: Iterable[Case], limits: Limits, settings: Sequence[str] | None = None) -> list[Case]:
    """Return the cases with the arms that a budget allows, and of these settings; zero-shot stays."""
    found = []
    for case in cases:
        success = {
            arm: rate
            for arm, rate in case.success.items()
            if arm.within(limits) and (settings is None or arm.setting in (*settings, ZERO_SHOT))
        }
        found.append(Case(case.source, case.target, case.domain, case.gap, success))
    return [case for case in found if len(case.success) > 1]
