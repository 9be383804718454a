"""Carry out a study: every cell that is missing, then what the whole table says."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simreal.check.candidates import TARGET_ONLY
from simreal.check.finished import Finished
from simreal.check.looks import Looks
from simreal.check.sequential import Plan
from simreal.check.target_only import LEARNING_RATES, Tuned
from simreal.check.tuning import RATE_SCALES, Found, Scaled, choose, read
from simreal.errors import SimrealError
from simreal.pretrain.cost import source_cost
from simreal.progress import progress
from simreal.study.cells import Cell, Place, Source
from simreal.study.computing import Computed, compute, search
from simreal.study.conclusions import Compared, compare_candidates, recommended
from simreal.study.learning import Learning, learning_curves
from simreal.study.plan import StudyPlan
from simreal.study.store import Store
from simreal.study.table import Table, write_table
from simreal.study.unchanged import check_data
from simreal.targets import Target
from simreal.workers import SHARED, Executor

CELLS, EPISODES, LOOKS = "cells.parquet", "episodes.parquet", "looks_{}.json"
SOURCE_DATA = "source_data.json"
_NAMING = ("source", "domain", "severity", "candidate", "demos", "frames", "steps", "run_seed", "seed")


@dataclass(frozen=True)
class Unfinished:
    """A cell that could not be computed."""

    source: str
    target: str
    candidate: str
    seed: int
    reason: str


@dataclass(frozen=True)
class StudyResult:
    """What a study came to."""

    cells: int
    computed: int
    compared: list[Compared]
    recommended: dict[str, str]
    """Transfer setting -> the method with the best mean success, or a baseline that it does not beat."""
    refused: list[Unfinished]
    failed: list[Unfinished]
    threshold: float
    """Of success, for the times to threshold in `learning`."""
    learning: list[Learning]
    """Where there are several budgets: curves over them, and what transfer gained along these."""
    caution: str | None = None
    """What is to be said of all verdicts: that these cells gave some before, on fewer seeds."""


@dataclass(frozen=True)
class _Part:
    """What came of one source."""

    cells: dict[str, Cell]
    """By key."""
    computed: Computed
    compared: list[Compared]


def run(
    plan: StudyPlan, folder: Path, executor: Executor = SHARED, store: Store | None = None
) -> StudyResult:
    """Compute what `folder` lacks of a study, keep it there, and compare.

    Args:
        plan: What to compute.
        folder: Gets `cells.parquet`, a digest of the sources' data, and at the end `episodes.parquet`.
        executor: Where cells are computed.
        store: Where workers without this disk find the sources; it gets a copy of the table too.

    Raises:
        SimrealError: for a source or a target that does not exist, or a source whose data changed, before
            anything is computed; or if no cell can be computed any more.
    """
    sources = [Source.of_run(path) for path in plan.sources]
    worlds = [plan.worlds(source.env_id) for source in sources]
    check_data(folder / SOURCE_DATA, sources)
    if store is not None:
        copies = {name: store.put_source(Path(name)) for source in sources for name in source.place}
        sources = [
            dataclasses.replace(source, place=Place(*map(copies.__getitem__, source.place)))
            for source in sources
        ]
        store.fetch_table(folder / CELLS)
    table = Table(folder / CELLS, store.put_table if store is not None else None)
    try:
        parts = [_part(plan, *each, folder, table, executor) for each in zip(sources, worlds, strict=True)]
    except BrokenExecutor as error:
        raise SimrealError(f"{error}; {folder} has what is finished: start again to go on") from None
    keys = {key: None for part in parts for key in part.cells}
    rows = [table[key] for key in keys if key in table]
    if rows:
        write_table(folder / EPISODES, _episodes(rows))
    named = list(zip(sources, parts, strict=True))
    costs = {source.name: source_cost(path) for source, path in zip(sources, plan.sources, strict=True)}
    compared = [item for part in parts for item in part.compared]
    kept = Finished(folder / LOOKS.format(plan.seed), None, resume=True)
    looks = Looks(kept, Plan((plan.seeds,)), plan.methods)
    if any(item.comparisons for item in compared):
        looks.add(plan.seeds)
    return StudyResult(
        len(keys),
        len(rows),
        compared,
        recommended(compared),
        [item for source, part in named for item in _unfinished(source, part.computed.refused)],
        [item for source, part in named for item in _unfinished(source, part.computed.failed)],
        plan.threshold,
        learning_curves(rows, plan.seeds, plan.threshold, costs),
        looks.sentence(),
    )


def _part(
    plan: StudyPlan,
    source: Source,
    targets: Sequence[Target],
    folder: Path,
    table: Table,
    executor: Executor,
) -> _Part:
    """Compute the cells of one source, and compare."""
    path = folder / f"settings_{source.name}.json"
    finished = Finished(path, [plan.tuning_updates, *LEARNING_RATES, *RATE_SCALES], resume=True)
    settings = _search(plan, source, targets, finished, executor)
    groups = [
        (target, budget, plan.cells(target, budget, lambda each: settings[each.key(source)]))
        for target in targets
        for budget in plan.budgets
    ]
    cells = {each.key(source): each for *_, group in groups for found in group.values() for each in found}
    computed = compute(f"study of {source.name}", source, _ordered(cells.values()), table, executor=executor)
    return _Part(cells, computed, [compare_candidates(source, *group, plan, table) for group in groups])


def _search(
    plan: StudyPlan, source: Source, targets: Sequence[Target], finished: Finished, executor: Executor
) -> dict[str, Found]:
    """Return the settings of every cell that has some to search, on demonstrations of no training seed."""
    wanted = {
        each.key(source): each
        for target in targets
        for budget in plan.budgets
        for name in plan.of_budget(budget)
        if (each := plan.searched(target, name, budget)) is not None
    }
    jobs = {
        key: search(source, each, plan.tuning_updates, executor)
        for key, each in wanted.items()
        if finished.get(key) is None
    }
    found = {key: read(each.candidate, finished.get(key)) for key, each in wanted.items() if key not in jobs}
    with progress(f"tune from {source.name}", len(jobs), "candidates") as advance:
        for key, trials in jobs.items():
            try:
                found[key] = _settled(plan, source, wanted[key], trials, executor)
                finished.keep(key, found[key])
            except (SimrealError, BrokenProcessPool):
                # Its cells are refused or fail for the same reason, each by itself.
                found[key] = _untuned(plan, wanted[key])
            advance(1)
    return found


def _settled(
    plan: StudyPlan, source: Source, each: Cell, trials: Sequence["Future[Found]"], executor: Executor
) -> Found:
    try:
        return choose([trial.result() for trial in trials])
    except BrokenProcessPool:
        # A worker died, and all that was begun with it: once more, with nothing else computed.
        again = search(source, each, plan.tuning_updates, executor)
        return choose([trial.result() for trial in again])


def _untuned(plan: StudyPlan, each: Cell) -> Found:
    if each.candidate == TARGET_ONLY:
        return Tuned(LEARNING_RATES[0], plan.tuning_updates, 0.0)
    return Scaled(1.0, 0.0)


def _ordered(cells: Iterable[Cell]) -> list[Cell]:
    """Return them seed by seed: an interruption leaves whole comparisons on fewer seeds."""
    return sorted(cells, key=lambda each: each.seed)


def _episodes(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a row for every episode, with the columns that name its cell."""
    for row in rows:
        named = {name: row[name] for name in ("key", *_NAMING)}
        told = zip(row["successes"], row["steps_taken"], row["returns"], strict=True)
        for episode, (success, steps, total) in enumerate(told):
            yield named | {"episode": episode, "success": success, "steps_taken": steps, "return": total}


def _unfinished(source: Source, found: Iterable[tuple[Cell, str]]) -> list[Unfinished]:
    return [
        Unfinished(source.name, each.target.label, each.candidate, each.seed, reason)
        for each, reason in found
    ]
