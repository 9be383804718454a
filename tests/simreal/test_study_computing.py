"""A cell that its worker dies of is listed; all others are computed."""

import functools
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.check.finished import Finished
from simreal.check.target_only import Tuned
from simreal.check.tuning import Scaled
from simreal.study import Cell, Computed, Place, Source, Table, cell, compute, computing
from simreal.study.plan import StudyPlan
from simreal.study.run import _search
from simreal.targets import parse_target

SOURCE: Any = Source("p", None, None, Path(), None, (), "simreal/PandaReach-v0", "0", Place("", ""))


class DiedError(Exception):
    """What a worker of `Mortal` dies of."""


class Mortal:
    """One thread that takes along, as a process of a pool does, all that was submitted."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._futures: list[Future[Any]] = []

    def worker_count(self) -> int:
        return 2

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        self._futures.append(future := Future())
        self._thread.submit(self._perform, future, function, arguments)
        return future

    def _perform(self, future: "Future[Any]", function: Callable[..., Any], arguments: Any) -> None:
        if future.done():
            return
        try:
            future.set_result(function(*arguments))
        except DiedError:
            for each in self._futures:
                if not each.done():
                    each.set_exception(BrokenProcessPool("a worker died"))

    def shut_down(self) -> None:
        self._thread.shutdown()


def test_a_worker_that_dies_in_a_search_leaves_its_candidate_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    def attempt(place: Place, sha256: str, each: Cell, most: int, rate: float) -> Scaled | Tuned:
        tried.append(each.candidate)
        time.sleep(0.01)
        if each.candidate == "cotrain":
            raise DiedError
        return Tuned(rate, 10, rate) if each.candidate == TARGET_ONLY else Scaled(rate, rate)

    monkeypatch.setattr(computing, "_attempt", attempt)
    plan = StudyPlan((Path("p"),), ("blur",), ("cotrain", "finetune"))
    target, executor = parse_target("blur@3", SOURCE.env_id), Mortal()
    found = _search(plan, SOURCE, [target], Finished(None, {}, resume=False), executor)
    named = {
        name: found[plan.searched(target, name, plan.budgets[0]).key(SOURCE)] for name in plan.candidates[1:]
    }
    assert named == {
        TARGET_ONLY: Tuned(3e-4, 10, 3e-4),
        "cotrain": Scaled(1.0, 0.0),
        "finetune": Scaled(0.3, 0.3),
    }
    assert tried.count("cotrain") <= 2
    executor.shut_down()


def wanted(count: int) -> list[Cell]:
    target = parse_target("blur@3", SOURCE.env_id)
    return [cell(target, ZERO_SHOT, 900, seed) for seed in range(count)]


def dying(tried: list[int], place: Place, sha256: str, each: Cell) -> dict[str, Any]:
    """Die of two seeds."""
    tried.append(each.seed)
    time.sleep(0.01)  # so that others are submitted meanwhile
    if each.seed in (1, 6):
        raise DiedError
    return {"success_rate": 0.5}


def test_a_cell_that_its_worker_dies_of_fails_alone(tmp_path: Path) -> None:
    cells, table, executor, tried = wanted(9), Table(tmp_path / "cells.parquet"), Mortal(), []
    work = functools.partial(dying, tried)
    found = compute("study", SOURCE, cells, table, executor=executor, work=work)
    executor.shut_down()
    assert [each for each, _ in found.failed] == [cells[1], cells[6]]
    assert all("its worker died 2 times with nothing else computed" in reason for _, reason in found.failed)
    assert (found.left, found.refused) == (0, [])
    assert [row["seed"] for row in table.rows(SOURCE, cells)] == [0, 2, 3, 4, 5, 7, 8]
    assert [tried.count(seed) for seed in range(9)] == [1, 3, 1, 1, 1, 1, 3, 1, 1]


def test_a_worker_that_died_once_costs_no_cell(tmp_path: Path) -> None:
    cells, table, executor, tried = wanted(5), Table(tmp_path / "cells.parquet"), Mortal(), []

    def work(place: Place, sha256: str, each: Cell) -> dict[str, Any]:
        time.sleep(0.01)
        tried.append(each.seed)
        if tried == [0, 1]:
            raise DiedError
        return {"success_rate": 0.5}

    assert compute("study", SOURCE, cells, table, executor=executor, work=work) == Computed(0, [])
    executor.shut_down()
    assert len(table.rows(SOURCE, cells)) == 5
    assert tried.count(1) == 2
