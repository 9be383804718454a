"""What a study computes: sources x targets x severities x budgets x candidates x seeds, from a YAML file."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simreal.check.candidates import MOST_SEEDS, TARGET_ONLY, ZERO_SHOT, learns_from_demonstrations, pairs
from simreal.check.target_only import Tuned
from simreal.check.transfer_metrics import THRESHOLD
from simreal.check.tuning import Found, settings_text
from simreal.errors import SimrealError, nearest
from simreal.reading import load_yaml, mapping, number
from simreal.study.cells import Cell, cell
from simreal.targets import Target, expand
from simreal.transfer import METHODS, UPDATES

_MOST_SEVERE = 5


@dataclass(frozen=True)
class Budget:
    """What a candidate may use of a target; each takes what it needs of it."""

    demos: int = 10
    frames: int = 500
    """Unlabelled ones."""
    steps: int = 2000
    """Rewarded ones."""
    only: tuple[str, ...] = ()
    """Candidates that get this budget, beside zero-shot; all of them by default."""

    def sizes(self) -> dict[str, int]:
        """Return what it has of everything."""
        return {"demos": self.demos, "frames": self.frames, "steps": self.steps}


Tune = Callable[[Cell], Found]


@dataclass(frozen=True)
class StudyPlan:
    """A study; `zero-shot` and `target-only` are always among its candidates."""

    sources: tuple[Path, ...]
    """Run folders of `pretrain`."""
    targets: tuple[str, ...]
    """As everywhere; `suite` stands for every named domain."""
    methods: tuple[str, ...]
    """The first is the primary candidate: compared with target-only if it learns from the demonstrations that
    target-only has, or else with zero-shot."""
    severities: tuple[int, ...] = (3,)
    """Of the targets that name none."""
    budgets: tuple[Budget, ...] = (Budget(),)
    """Several are a learning curve, from which transfer metrics follow."""
    threshold: float = THRESHOLD
    """Of success, for the time to threshold; set before anything runs."""
    seeds: int = 10
    """Training seeds; a verdict needs six."""
    episodes: int = 50
    """Of each cell."""
    updates: int = UPDATES
    """Gradient updates of every method."""
    tuning_updates: int = 1200
    """Most updates of target-only, whose rate and length are searched on a tuning seed, as the rate of every
    method is that learns from demonstrations."""
    seed: int = 0
    """Of the study: another one has demonstrations, trainings and episodes of its own."""

    @classmethod
    def read(cls, path: Path) -> "StudyPlan":
        """Read a plan; paths in it are relative to the file.

        Raises:
            SimrealError: naming file, key, value and what would be right.
        """
        raw = mapping(path, load_yaml(path, "study"), "", (field.name for field in dataclasses.fields(cls)))
        for key in ("sources", "targets", "methods"):
            if key not in raw:
                raise SimrealError(f"{path}: {key}: missing: takes a list with at least one entry")
        given: dict[str, Any] = {
            "sources": _sources(path, raw),
            "targets": _texts(path, raw, "targets"),
            "methods": tuple(_method(path, name) for name in _texts(path, raw, "methods")),
        }
        if "severities" in raw:
            given["severities"] = tuple(
                _whole(path, item, "severities", 1, _MOST_SEVERE) for item in _list(path, raw, "severities")
            )
        if "budgets" in raw:
            named = (TARGET_ONLY, *given["methods"])
            given["budgets"] = tuple(_budget(path, item, named) for item in _list(path, raw, "budgets"))
        if "threshold" in raw:
            given["threshold"] = _threshold(path, raw["threshold"])
        for key in ("episodes", "updates", "tuning_updates"):
            if key in raw:
                given[key] = _whole(path, raw[key], key, 1)
        for key, least in (("seeds", 1), ("seed", 0)):
            if key in raw:
                given[key] = _whole(path, raw[key], key, least, MOST_SEEDS)
        return cls(**given)

    @property
    def candidates(self) -> tuple[str, ...]:
        """Return every candidate once, the baselines first."""
        return tuple(dict.fromkeys((ZERO_SHOT, TARGET_ONLY, *self.methods)))

    @property
    def comparisons(self) -> tuple[tuple[str, str], list[tuple[str, str]]]:
        """Return the primary comparison, candidate and baseline, and the secondary ones.

        A baseline that the plan names first is compared with the other one.
        """
        first = self.methods[0]
        methods = [name for name in dict.fromkeys(self.methods) if name not in (ZERO_SHOT, TARGET_ONLY)]
        found = [(ZERO_SHOT, TARGET_ONLY)]
        if methods:
            primary, others = pairs(methods)
            found = [primary, *others]
        if first in methods:
            return found[0], found[1:]
        return (first, TARGET_ONLY if first == ZERO_SHOT else ZERO_SHOT), found[:-1]

    def worlds(self, env_id: str) -> tuple[Target, ...]:
        """Return every target at every severity.

        Raises:
            SimrealError: naming a target that does not exist.
        """
        found = expand(self.targets, self.severities, env_id)
        return tuple({target.label: target for target in found}.values())

    def cells(self, target: Target, budget: Budget, tune: Tune) -> dict[str, list[Cell]]:
        """Return the cells of one comparison: candidate to one for each seed.

        Args:
            target: Where they are judged.
            budget: What each may use.
            tune: Gives the settings that were searched with a cell.
        """
        return {
            name: [self._cell(target, name, seed, budget, tune) for seed in range(self.seeds)]
            for name in self.of_budget(budget)
        }

    def of_budget(self, budget: Budget) -> tuple[str, ...]:
        """Return the candidates that get a budget."""
        return tuple(
            name
            for name in self.candidates
            if (budget.demos or name != TARGET_ONLY)
            and (not budget.only or name in (ZERO_SHOT, *budget.only))
        )

    def searched(self, target: Target, name: str, budget: Budget) -> Cell | None:
        """Return the cell to search a candidate's settings with; None without labels to choose by."""
        if not budget.demos or not learns_from_demonstrations(name):
            return None
        return cell(target, name, self.seed, 0, **budget.sizes(), updates=self.updates)

    def _cell(self, target: Target, name: str, seed: int, budget: Budget, tune: Tune) -> Cell:
        sizes: dict[str, Any] = {"updates": self.updates, "episodes": self.episodes, **budget.sizes()}
        if (searched := self.searched(target, name, budget)) is not None:
            found = tune(searched)
            if isinstance(found, Tuned):
                sizes |= {"updates": found.updates, "learning_rate": found.learning_rate}
            else:
                sizes |= {"settings": settings_text(found)}
        return cell(target, name, self.seed, seed, **sizes)


def _list(path: Path, raw: dict[str, Any], key: str) -> list[Any]:
    value = raw[key]
    if not isinstance(value, list) or not value:
        raise SimrealError(f"{path}: {key}: takes a list with at least one entry, not {value!r}")
    return value


def _texts(path: Path, raw: dict[str, Any], key: str) -> tuple[str, ...]:
    for item in _list(path, raw, key):
        if not isinstance(item, str):
            raise SimrealError(f"{path}: {key}: takes names, not {item!r}")
    return tuple(raw[key])


def _sources(path: Path, raw: dict[str, Any]) -> tuple[Path, ...]:
    found = tuple(path.parent / name for name in _texts(path, raw, "sources"))
    names = [folder.resolve().name for folder in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise SimrealError(f"{path}: sources: two are called {twice[0]!r}: results go by the folder's name")
    return found


def _method(path: Path, name: str) -> str:
    valid = (*METHODS, ZERO_SHOT, TARGET_ONLY)
    if name not in valid:
        raise SimrealError(f"{path}: methods: no method {name!r}; {nearest(name, valid)}")
    return name


def _budget(path: Path, raw: Any, named: tuple[str, ...]) -> Budget:
    """Return a budget, for none but candidates of the plan."""
    found = mapping(path, raw, "budgets", (field.name for field in dataclasses.fields(Budget)))
    sizes = {key: _whole(path, value, f"budgets: {key}", 0) for key, value in found.items() if key != "only"}
    only = tuple(_list(path, found, "only")) if "only" in found else ()
    for name in only:
        if name not in named:
            raise SimrealError(
                f"{path}: budgets: only: no candidate {name!r} in this study; {nearest(str(name), named)}"
            )
    return Budget(**sizes, only=only)


def _threshold(path: Path, raw: Any) -> float:
    value = number(path, raw, "threshold", above=0)
    if value > 1:
        raise SimrealError(f"{path}: threshold: takes a success rate above 0 and up to 1, not {raw!r}")
    return value


def _whole(path: Path, raw: Any, where: str, least: int, most: int | None = None) -> int:
    value = number(path, raw, where)
    if value != int(value) or value < least or (most is not None and value > most):
        span = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise SimrealError(f"{path}: {where}: takes a whole number {span}, not {raw!r}")
    return int(value)
