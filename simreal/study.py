"""A study: many cells, each one candidate trained and judged on one target, kept in one table.

A cell is known by a hash of everything that decides its result, so that a study which was interrupted,
or grown, computes what is missing and nothing twice.
"""

import copy
import dataclasses
import hashlib
import inspect
import json
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from envs import Domain
from policies import Policy
from simreal import workers
from simreal.bundles import gripper_columns, load_bundle, source_domain
from simreal.check import target_only
from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT, Shared, converge, train_and_run
from simreal.errors import SimrealError
from simreal.evaluate import Packed, pack
from simreal.progress import progress, say
from simreal.targets import Target
from simreal.transfer import METHODS, UPDATES, method
from simreal.transfer.base import Once

_MOST_KEPT = 8  # policies; a worker meets a candidate's seeds in turn, each for all targets
_kept: dict[Hashable, Policy] = {}  # of this process
_NO_TUNING = target_only.Tuned(0.0, 0, 0.0)  # of every other candidate


@dataclass(frozen=True)
class Source:
    """The pretraining run that every cell starts from."""

    policy: Policy
    teacher: Policy
    """Records the demonstrations."""
    data: Path
    domain: Domain
    gripper: tuple[int, ...]
    env_id: str
    sha256: str

    @classmethod
    def of_run(cls, folder: Path) -> "Source":
        """Read a run folder of `pretrain`.

        Raises:
            SimrealError: if it lacks a bundle.
        """
        bundle, teacher = load_bundle(folder / "policy"), load_bundle(folder / "teacher")
        both = hashlib.sha256((bundle.weights_sha256 + teacher.weights_sha256).encode()).hexdigest()
        return cls(
            bundle.policy,
            teacher.policy,
            (folder / "source").absolute(),
            source_domain(bundle),
            gripper_columns(bundle.manifest),
            bundle.manifest.env_id,
            both,
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

    def key(self, source: Source) -> str:
        """Return the hash of everything that decides the result."""
        plain = dataclasses.asdict(self) | {
            "target": self.target.domain.to_plain() if self.target.domain else self.target.env,
            "source": source.sha256,
            "method": settings_of(self.candidate),
        }
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]

    def row(self, source: Source) -> dict[str, Any]:
        """Return the columns that name the cell."""
        plain = {name: value for name, value in vars(self).items() if name != "target"}
        target = {"domain": self.target.name, "severity": self.target.severity}
        family = {"family": self.target.domain.family if self.target.domain else ""}
        return {"key": self.key(source)} | target | family | plain


def cell(target: Target, candidate: str, run_seed: int, seed: int, **given: Any) -> Cell:
    """Return a cell whose budget is cut to what its candidate needs; so the same work has one name."""
    needs: tuple[str, ...] = ("demonstrations",) if candidate == TARGET_ONLY else ()
    if candidate in METHODS:
        needs = method(candidate).needs
    sizes = (("demos", "demonstrations"), ("frames", "unlabelled frames"), ("steps", "rewarded steps"))
    budget = {name: given.pop(name, 0) * (need in needs) for name, need in sizes}
    if candidate == ZERO_SHOT:
        given["updates"] = 0
    return Cell(target, candidate, run_seed=run_seed, seed=seed, **budget, **given)


class Table:
    """Results of cells in a parquet file, which is whole after each one."""

    def __init__(self, path: Path) -> None:
        """Open the table, or start one.

        Raises:
            SimrealError: if the file is damaged.
        """
        self.path = path
        try:
            rows = pq.read_table(path).to_pylist() if path.is_file() else []
        except pa.ArrowException as error:
            raise SimrealError(f"{path}: truncated or damaged: {error}") from None
        self._rows: dict[str, dict[str, Any]] = {row["key"]: row for row in rows}

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._rows[key]

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row."""
        self._rows[row["key"]] = row
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.partial")
        pq.write_table(pa.Table.from_pylist(list(self._rows.values())), partial)
        partial.replace(self.path)

    def rows(self, source: Source, cells: Iterable[Cell]) -> list[dict[str, Any]]:
        """Return the rows of those cells that are there."""
        keys = [each.key(source) for each in cells]
        return [self._rows[key] for key in keys if key in self]


@dataclass(frozen=True)
class Computed:
    """What became of the cells that a table lacked."""

    left: int
    """Not begun, since the time was up."""
    refused: list[tuple[Cell, str]]
    """Cells that cannot be, and why: such as a target in which the expert fails too."""


def compute(
    name: str, source: Source, cells: list[Cell], table: Table, minutes: float | None = None
) -> Computed:
    """Compute the cells that the table lacks, over processes.

    A cell that fails keeps no other from being computed; an error other than a refusal is raised in the end.

    Args:
        name: Of the progress bar.
        source: What they start from.
        cells: Which.
        table: Where they are kept, each as soon as it is there.
        minutes: After which no further cell is begun.
    """
    missing = {each.key(source): each for each in cells if each.key(source) not in table}
    end_s = None if minutes is None else time.monotonic() + 60 * minutes
    waiting, running = iter(missing.values()), dict[Future[Any], Cell]()
    refused, errors = list[tuple[Cell, str]](), list[BaseException]()
    with progress(name, len(missing), "cells") as advance:
        while True:
            _submit_some(source, waiting, running, end_s)
            if not running:
                break
            done = next(as_completed(running))
            each, error = running.pop(done), done.exception()
            if error is None:
                table.add(each.row(source) | done.result())
            else:
                say(f"{each.candidate} on {each.target.label}, seed {each.seed}: {error}")
                if isinstance(error, SimrealError):
                    refused.append((each, str(error)))
                else:
                    errors.append(error)
            advance(1)
    if errors:
        raise errors[0]
    return Computed(len(list(waiting)), refused)


def settings_of(candidate: str) -> dict[str, str]:
    """Return the settings of a method, which are the defaults of its function; none of another candidate."""
    if candidate not in METHODS:
        return {}
    parameters = inspect.signature(method(candidate).run).parameters.values()
    return {each.name: repr(each.default) for each in parameters if isinstance(each.default, int | float)}


def tune_target_only(
    source: Source, target: Target, demos: int, run_seed: int, most_updates: int
) -> target_only.Tuned:
    """Settle the learning rate and the length of target-only for a budget, on a tuning seed."""
    shared = _shared(source, cell(target, TARGET_ONLY, run_seed, 0, demos=demos), most_updates)
    trials = [workers.submit(converge, shared, rate, 0) for rate in target_only.LEARNING_RATES]
    return target_only.choose([trial.result() for trial in trials])


def _submit_some(
    source: Source, waiting: Iterator[Cell], running: dict[Future[Any], Cell], end_s: float | None
) -> None:
    """Keep every worker busy with one more in its queue."""
    while len(running) < 2 * workers.worker_count() and (end_s is None or time.monotonic() < end_s):
        following = next(waiting, None)
        if following is None:
            return
        tuned = _NO_TUNING
        if following.learning_rate is not None:
            tuned = target_only.Tuned(following.learning_rate, following.updates, 0.0)
        shared = _shared(source, following)
        job = (source.sha256, shared, following.candidate, following.seed, tuned)
        running[workers.submit(_run, *job)] = following


def _run(source: str, shared: Shared, candidate: str, seed: int, tuned: target_only.Tuned) -> dict[str, Any]:
    started = time.perf_counter()
    kept = keeping(source, candidate, shared.run_seed, seed, shared.updates)
    rate, used, _ = train_and_run(shared, candidate, seed, tuned, kept)
    return {"success_rate": rate, "frames_used": used, "seconds": time.perf_counter() - started}


def keeping(*key: Hashable) -> Once:
    """Return what gives out copies of what this process made before under the same key."""

    def once(name: str, make: Callable[[], Policy]) -> Policy:
        if (*key, name) not in _kept:
            if len(_kept) == _MOST_KEPT:
                del _kept[next(iter(_kept))]
            _kept[(*key, name)] = make()
        return copy.deepcopy(_kept[(*key, name)])

    return once


def _shared(source: Source, each: Cell, most_updates: int = 0) -> Shared:
    policies: tuple[Packed, Packed] = (pack(source.policy), pack(source.teacher))
    sizes = (each.demos, each.episodes, each.updates, most_updates, each.run_seed, each.frames)
    return Shared(each.target, *policies, source.data, source.domain, *sizes, source.gripper, each.steps)
