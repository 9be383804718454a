"""What a study itself costs, and what a second process gains: python scripts/benchmark_study.py --run runs/p.

idle: cells that do nothing, on this machine's processes and on a Ray cluster (extra ray): cells a second.
scaling: cells that train and judge, on two processes against one, in turn; the median of the rounds' ratios.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simreal import workers
from simreal.check.candidates import ZERO_SHOT
from simreal.cluster import RayCluster
from simreal.errors import SimrealError
from simreal.exits import run_script
from simreal.results import write_result
from simreal.study import Cell, Place, Source, Table, cell, compute, run_cell
from simreal.targets import parse_target
from simreal.transfer import UPDATES
from simreal.workers import Executor, Pool

Work = Callable[[str, str, Cell], dict[str, Any]]


@dataclass
class Options:
    """Measure on a machine that does nothing else."""

    run: Path = Path("runs/train")
    """A pretraining run."""
    sections: tuple[str, ...] = ("local", "ray", "scaling")
    cells: int = 1000
    """That do nothing."""
    address: str | None = None
    """Of the Ray cluster; else what RAY_ADDRESS says, or one that is started here."""
    real_cells: int = 8
    """Of `finetune`, in each round on each number of processes."""
    rounds: int = 3
    demos: int = 10
    updates: int = UPDATES
    episodes: int = 50
    """Of each real cell."""
    json: Path | None = None
    """Write the figures there as JSON."""


def nothing(place: Place, sha256: str, each: Cell) -> dict[str, Any]:
    """Return at once what a cell of this size has."""
    outcome = {"success_rate": 1.0, "frames_used": 0, "seconds": 0.0}
    lists = {"successes": True, "steps_taken": 20, "returns": 1.5}
    return outcome | {name: [value] * each.episodes for name, value in lists.items()}


def rate(source: Source, cells: list[Cell], executor: Executor, work: Work) -> float:
    """Return how many cells of a study are computed a second, with a table of their own."""
    with tempfile.TemporaryDirectory() as folder:
        table = Table(Path(folder) / "cells.parquet")
        started = time.perf_counter()
        computed = compute("cells", source, cells, table, executor=executor, work=work)
        seconds = time.perf_counter() - started
    for each, reason in (*computed.refused, *computed.failed):
        raise SimrealError(f"{each.candidate} on {each.target.label}, seed {each.seed}: {reason}")
    return len(cells) / seconds


def idle(options: Options, source: Source, executor: Executor) -> float:
    """Return the rate of cells that do nothing; a first few start the workers."""
    sizes = {"updates": 0, "episodes": options.episodes}
    target = parse_target("workshop@3", source.env_id)
    cells = [cell(target, ZERO_SHOT, 0, seed, **sizes) for seed in range(options.cells)]
    rate(source, cells[: 4 * executor.worker_count()], executor, nothing)
    return rate(source, cells, executor, nothing)


def scaling(options: Options, source: Source) -> dict[str, float]:
    """Return the rates of real cells on one process and on two, and the median ratio."""
    sizes = {"demos": options.demos, "updates": options.updates, "episodes": options.episodes}
    target = parse_target("workshop@3", source.env_id)
    cells = [cell(target, "finetune", 0, seed, **sizes) for seed in range(options.real_cells)]
    pools = Pool(1), Pool(2)
    for pool in pools:  # every process opens what it needs
        rate(source, cells[: pool.worker_count()], pool, run_cell)
    rounds = [[rate(source, cells, pool, run_cell) for pool in pools] for _ in range(options.rounds)]
    for pool in pools:
        pool.shut_down()
    one, two = (float(np.median(column)) for column in zip(*rounds, strict=True))
    ratio = float(np.median([second / first for first, second in rounds]))
    return {"one_process_cells_per_s": one, "two_processes_cells_per_s": two, "two_over_one": ratio}


def main(options: Options) -> None:
    """Measure the sections, and print the figures."""
    started = time.perf_counter()
    source, figures = Source.of_run(options.run), dict[str, float]()
    if "local" in options.sections:
        figures["local_idle_cells_per_s"] = idle(options, source, workers.SHARED)
        workers.shut_down()
    if "ray" in options.sections:
        cluster = RayCluster(options.address)
        figures["ray_idle_cells_per_s"] = idle(options, source, cluster)
        cluster.shut_down()
    if "scaling" in options.sections:
        figures |= scaling(options, source)
    for name, value in figures.items():
        print(f"{name:<28} {value:.3g}")
    if options.json:
        seconds = time.perf_counter() - started
        write_result(options.json, "benchmark_study", 0, seconds, benchmark=figures)


if __name__ == "__main__":
    run_script(main, Options)
