"""A cell of a study: one candidate, trained and judged on one target, and what it starts from."""

import dataclasses
import hashlib
import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from envs import Domain
from policies import Policy
from simreal.bundles import gripper_columns, load_bundle, source_domain
from simreal.check.candidates import ZERO_SHOT, needs_of
from simreal.targets import Target
from simreal.transfer import METHODS, UPDATES, method


class Place(NamedTuple):
    """Where workers read a source: run folders, or the addresses of copies that a `Store` gave."""

    run: str
    expert: str
    """Of the run whose teacher demonstrates."""


@dataclass(frozen=True)
class Source:
    """The pretraining run that cells start from."""

    name: str
    """That results are reported under: its folder's."""
    policy: Policy
    teacher: Policy
    """Records the demonstrations."""
    data: Path
    domain: Domain
    gripper: tuple[int, ...]
    env_id: str
    sha256: str
    place: Place

    @classmethod
    def of_run(cls, folder: Path, expert: Path | None = None) -> "Source":
        """Read a run folder of `pretrain`.

        Args:
            folder: The run.
            expert: A run whose teacher demonstrates instead, so that several sources get the same.

        Raises:
            SimrealError: if it lacks a bundle.
        """
        bundle, teacher = load_bundle(folder / "policy"), load_bundle((expert or folder) / "teacher")
        both = hashlib.sha256((bundle.weights_sha256 + teacher.weights_sha256).encode()).hexdigest()
        return cls(
            folder.resolve().name,
            bundle.policy,
            teacher.policy,
            (folder / "source").absolute(),
            source_domain(bundle),
            gripper_columns(bundle.manifest),
            bundle.manifest.env_id,
            both,
            Place(str(folder.absolute()), str((expert or folder).absolute())),
        )


@dataclass(frozen=True)
class Cell:
    """One candidate, one target, one training seed, and what it may use."""

    target: Target
    candidate: str
    demos: int
    frames: int
    """Unlabelled ones."""
    steps: int
    """Rewarded ones."""
    run_seed: int
    """Tells tuning from test: each has demonstrations, trainings and episodes of its own."""
    seed: int
    updates: int = UPDATES
    episodes: int = 50
    learning_rate: float | None = None
    """Of target-only."""
    settings: str = ""
    """Of a method where they are not its own: JSON, name to number."""

    def key(self, source: Source) -> str:
        """Return the hash of everything that decides the result."""
        plain = dataclasses.asdict(self) | {
            "target": self.target.domain.to_plain() if self.target.domain else self.target.env,
            "source": source.sha256,
            "method": settings_of(self.candidate),
        }
        if not self.settings:
            del plain["settings"]  # the name that such a cell always had
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]

    def row(self, source: Source) -> dict[str, Any]:
        """Return the columns that name the cell."""
        plain = {name: value for name, value in vars(self).items() if name != "target"}
        target = {"domain": self.target.name, "severity": self.target.severity}
        family = {"family": self.target.domain.family if self.target.domain else ""}
        return {"key": self.key(source), "source": source.name} | target | family | plain


def cell(target: Target, candidate: str, run_seed: int, seed: int, **given: Any) -> Cell:
    """Return a cell whose budget is cut to what its candidate needs; so the same work has one name."""
    needs = needs_of(candidate)
    sizes = (("demos", "demonstrations"), ("frames", "unlabelled frames"), ("steps", "rewarded steps"))
    budget = {name: given.pop(name, 0) * (need in needs) for name, need in sizes}
    if candidate == ZERO_SHOT:
        given["updates"] = 0
    return Cell(target, candidate, run_seed=run_seed, seed=seed, **budget, **given)


def settings_of(candidate: str) -> dict[str, str]:
    """Return the settings of a method, which are the defaults of its function; none of another candidate."""
    if candidate not in METHODS:
        return {}
    parameters = inspect.signature(method(candidate).run).parameters.values()
    return {each.name: repr(each.default) for each in parameters if isinstance(each.default, int | float)}
