"""A cell that its worker dies of is listed; all others are computed."""

import functools
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from simreal.check.candidates import ZERO_SHOT
from simreal.study import Cell, Computed, Place, Source, Table, cell, compute
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
