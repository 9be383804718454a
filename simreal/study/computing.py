"""Cells are computed by workers, each kept as soon as it is there."""

import copy
import dataclasses
import functools
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policies import Policy
from simreal.check import target_only
from simreal.check.candidates import EQUAL_UPDATES, TARGET_ONLY, Shared, train_and_run
from simreal.check.tuning import Found, attempt, attempts, choose
from simreal.errors import SimrealError
from simreal.evaluate import Packed, pack
from simreal.progress import say
from simreal.study.cells import Cell, Place, Source, cell
from simreal.study.standing import watched
from simreal.study.store import fetch_source
from simreal.study.table import Table
from simreal.targets import Target
from simreal.transfer.base import Once
from simreal.workers import SHARED, Executor

_MOST_KEPT = 8  # policies; a worker meets a candidate's seeds in turn, each for all targets
_DEATHS = 2  # of the worker of a cell that is computed alone: then it is the cell, and not chance
_kept: dict[Hashable, Policy] = {}  # of this process
_NO_TUNING = target_only.Tuned(0.0, 0, 0.0)  # of every other candidate
Work = Callable[[Place, str, Cell], dict[str, Any]]


@dataclass(frozen=True)
class Computed:
    """What became of the cells that a table lacked."""

    left: int
    """Not begun, since the time was up."""
    refused: list[tuple[Cell, str]]
    """Cells that cannot be, and why: such as a target in which the expert fails too."""
    failed: list[tuple[Cell, str]] = field(default_factory=list)
    """Cells that ended in an error nobody foresaw."""


def run_cell(place: Place, sha256: str, each: Cell) -> dict[str, Any]:
    """Train and judge the candidate of a cell, in a worker, and return the columns that tell how it did."""
    started = time.perf_counter()
    shared = shared_of(_opened(place, sha256), each)
    tuned = _NO_TUNING
    if each.candidate in (TARGET_ONLY, EQUAL_UPDATES) and each.learning_rate is None:
        raise SimrealError(
            f"{each.candidate} is trained as it was tuned: such a cell needs its learning_rate"
        )
    if each.learning_rate is not None:
        tuned = target_only.Tuned(each.learning_rate, each.updates, 0.0)
    kept = keeping(sha256, each.candidate, each.run_seed, each.seed, each.updates, each.settings)
    trained = train_and_run(shared, each.candidate, each.seed, tuned, kept)
    return {
        "success_rate": trained.success_rate,
        "frames_used": trained.frames_used,
        "seconds": time.perf_counter() - started,
        "train_seconds": trained.seconds,
        "successes": [episode.success for episode in trained.episodes],
        "steps_taken": [episode.steps for episode in trained.episodes],
        "returns": [episode.total_reward for episode in trained.episodes],
    }


def compute(
    name: str,
    source: Source,
    cells: list[Cell],
    table: Table,
    minutes: float | None = None,
    executor: Executor = SHARED,
    work: Work = run_cell,
) -> Computed:
    """Compute the cells that the table lacks.

    A cell that is refused or fails keeps no other from being computed, nor does one that its worker dies of:
    with it goes the pool, and what was computed there is begun again one at a time, to know which it was.

    Args:
        name: Of the progress bar.
        source: What they start from.
        cells: Which.
        table: Where they are kept, each as soon as it is there.
        minutes: After which no further cell is begun.
        executor: Where they are computed.
        work: What a worker does with a source's place and hash and a cell.

    Raises:
        BrokenExecutor: if no cell can be computed any more; what is done is kept.
    """
    keyed = {each.key(source): each for each in cells}
    missing = [each for key, each in keyed.items() if key not in table]
    end_s = None if minutes is None else time.monotonic() + 60 * minutes
    waiting, suspects = iter(missing), deque[tuple[Cell, int]]()
    running: dict[Future[Any], tuple[Cell, int | None]] = {}  # of a suspect, how often its worker died
    computed = Computed(0, [])

    def following() -> tuple[Cell, int | None] | None:
        """Return what is to be begun now, if anything: a suspect has the workers to itself."""
        if suspects or any(deaths is not None for _, deaths in running.values()):
            return suspects.popleft() if suspects and not running else None
        # One more for every worker in its queue.
        room = len(running) < 2 * executor.worker_count()
        each = next(waiting, None) if room else None
        return None if each is None else (each, None)

    def fill() -> None:
        while (end_s is None or time.monotonic() < end_s) and (found := following()) is not None:
            running[executor.submit(work, source.place, source.sha256, found[0])] = found

    try:
        with watched(name, keyed, table) as told:
            fill()
            while running:
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    each, before = running.pop(done)
                    if isinstance(done.exception(), BrokenProcessPool):
                        deaths = 0 if before is None else before + 1
                        if deaths < _DEATHS:
                            suspects.append((each, deaths))
                            continue
                    told(each, _keep(source, each, done, table, computed))
                fill()
    finally:
        table.merge()
    return dataclasses.replace(computed, left=len(suspects) + len(list(waiting)))


def _keep(source: Source, each: Cell, done: Future[Any], table: Table, computed: Computed) -> float | None:
    """Put a finished cell where it belongs, and return its success rate if it has one."""
    error = done.exception()
    if error is None:
        row = each.row(source) | done.result()
        table.add(row)
        return float(row["success_rate"])
    if isinstance(error, BrokenProcessPool):
        error = RuntimeError(
            f"its worker died {_DEATHS} times with nothing else computed: it is short of memory, or crashes"
        )
    if isinstance(error, BrokenExecutor):
        raise error  # no further cell can be computed
    say(f"{each.candidate} on {each.target.label}, seed {each.seed}: {error!r}")
    if isinstance(error, SimrealError):
        computed.refused.append((each, str(error)))
    else:
        computed.failed.append((each, repr(error)))
    return None


def tune_target_only(
    source: Source,
    target: Target,
    demos: int,
    run_seed: int,
    most_updates: int,
    executor: Executor = SHARED,
) -> target_only.Tuned:
    """Settle the learning rate and the length of target-only for a budget, on a tuning seed."""
    each = cell(target, TARGET_ONLY, run_seed, 0, demos=demos)
    found = choose([trial.result() for trial in search(source, each, most_updates, executor)])
    assert isinstance(found, target_only.Tuned)
    return found


def search(source: Source, each: Cell, most_updates: int, executor: Executor) -> list["Future[Found]"]:
    """Begin the trainings that settle the settings of a cell's candidate for its budget, on a tuning seed."""
    given = (source.place, source.sha256, each, most_updates)
    return [executor.submit(_attempt, *given, rate) for rate in attempts(each.candidate)]


def _attempt(place: Place, sha256: str, each: Cell, most_updates: int, rate: float) -> Found:
    return attempt(shared_of(_opened(place, sha256), each, most_updates), each.candidate, rate, 0)


@functools.lru_cache(maxsize=2)
def _opened(place: Place, sha256: str) -> Source:
    """Return the source at a place, in a worker.

    Raises:
        SimrealError: if it is another one now, or cannot be reached from here.
    """
    run, expert = (fetch_source(name) if "://" in name else Path(name) for name in place)
    source = Source.of_run(run, expert)
    if source.sha256 != sha256:
        raise SimrealError(f"{run}: trained anew since the study began: start it again")
    return source


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
    where = (each.target, *policies, source.data, source.domain)
    return Shared(*where, *sizes, source.gripper, each.steps, each.settings)
