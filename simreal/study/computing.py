"""Cells are computed over processes, each kept as soon as it is there."""

import copy
import dataclasses
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import BrokenExecutor, Future, as_completed
from dataclasses import dataclass, field
from typing import Any

from policies import Policy
from simreal import workers
from simreal.check import target_only
from simreal.check.candidates import TARGET_ONLY, Shared, converge, train_and_run
from simreal.errors import SimrealError
from simreal.evaluate import Packed, pack
from simreal.progress import progress, say
from simreal.study.cells import Cell, Source, cell
from simreal.study.table import Table
from simreal.targets import Target
from simreal.transfer.base import Once

_MOST_KEPT = 8  # policies; a worker meets a candidate's seeds in turn, each for all targets
_kept: dict[Hashable, Policy] = {}  # of this process
_NO_TUNING = target_only.Tuned(0.0, 0, 0.0)  # of every other candidate


@dataclass(frozen=True)
class Computed:
    """What became of the cells that a table lacked."""

    left: int
    """Not begun, since the time was up."""
    refused: list[tuple[Cell, str]]
    """Cells that cannot be, and why: such as a target in which the expert fails too."""
    failed: list[tuple[Cell, str]] = field(default_factory=list)
    """Cells that ended in an error nobody foresaw."""


def compute(
    name: str, source: Source, cells: list[Cell], table: Table, minutes: float | None = None
) -> Computed:
    """Compute the cells that the table lacks, over processes.

    A cell that is refused or fails keeps no other from being computed.

    Args:
        name: Of the progress bar.
        source: What they start from.
        cells: Which.
        table: Where they are kept, each as soon as it is there.
        minutes: After which no further cell is begun.

    Raises:
        BrokenExecutor: if a worker was killed; what is done is kept.
    """
    missing = {each.key(source): each for each in cells if each.key(source) not in table}
    end_s = None if minutes is None else time.monotonic() + 60 * minutes
    waiting, running = iter(missing.values()), dict[Future[Any], Cell]()
    computed = Computed(0, [])
    with progress(name, len(missing), "cells") as advance:
        while True:
            _submit_some(source, waiting, running, end_s)
            if not running:
                break
            done = next(as_completed(running))
            _keep(source, running.pop(done), done, table, computed)
            advance(1)
    return dataclasses.replace(computed, left=len(list(waiting)))


def _keep(source: Source, each: Cell, done: Future[Any], table: Table, computed: Computed) -> None:
    """Put a finished cell where it belongs."""
    error = done.exception()
    if error is None:
        table.add(each.row(source) | done.result())
        return
    if isinstance(error, BrokenExecutor):
        raise error  # no further cell can be computed
    say(f"{each.candidate} on {each.target.label}, seed {each.seed}: {error!r}")
    if isinstance(error, SimrealError):
        computed.refused.append((each, str(error)))
    else:
        computed.failed.append((each, repr(error)))


def tune_target_only(
    source: Source, target: Target, demos: int, run_seed: int, most_updates: int
) -> target_only.Tuned:
    """Settle the learning rate and the length of target-only for a budget, on a tuning seed."""
    shared = shared_of(source, cell(target, TARGET_ONLY, run_seed, 0, demos=demos), most_updates)
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
        shared = shared_of(source, following)
        job = (source.sha256, shared, following.candidate, following.seed, tuned)
        running[workers.submit(_run, *job)] = following


def _run(source: str, shared: Shared, candidate: str, seed: int, tuned: target_only.Tuned) -> dict[str, Any]:
    started = time.perf_counter()
    kept = keeping(source, candidate, shared.run_seed, seed, shared.updates)
    trained = train_and_run(shared, candidate, seed, tuned, kept)
    return {
        "success_rate": trained.success_rate,
        "frames_used": trained.frames_used,
        "seconds": time.perf_counter() - started,
        "train_seconds": trained.seconds,
        "successes": [episode.success for episode in trained.episodes],
        "steps_taken": [episode.steps for episode in trained.episodes],
        "returns": [episode.total_reward for episode in trained.episodes],
    }


def keeping(*key: Hashable) -> Once:
    """Return what gives out copies of what this process made before under the same key."""

    def once(name: str, make: Callable[[], Policy]) -> Policy:
        if (*key, name) not in _kept:
            if len(_kept) == _MOST_KEPT:
                del _kept[next(iter(_kept))]
            _kept[(*key, name)] = make()
        return copy.deepcopy(_kept[(*key, name)])

    return once


def shared_of(source: Source, each: Cell, most_updates: int = 0) -> Shared:
    """Return what a cell's job needs, fit to be sent to a worker."""
    policies: tuple[Packed, Packed] = (pack(source.policy), pack(source.teacher))
    sizes = (each.demos, each.episodes, each.updates, most_updates, each.run_seed, each.frames)
    return Shared(each.target, *policies, source.data, source.domain, *sizes, source.gripper, each.steps)
