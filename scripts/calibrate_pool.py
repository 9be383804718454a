"""Calibrate the check on trained policies: python scripts/calibrate_pool.py --run runs/train.

A pool of training seeds of two candidates on some domains, each scored as a check scores it, stands for all
seeds there are: comparisons are drawn from it, with replacement, so that what is true is known.

- same: both sides are drawn from one candidate's seeds, so that what differs is symmetric around 0;
- worse: the same, and of one side's successes so many are taken away at random that it loses the margin;
- paired: the two candidates' differences by seed, moved until they are 0, or minus the margin, on average: as
  skewed as those of trained policies are;
- both: those differences as they are; true is their mean over the whole pool.

Rates are means over domains with t-intervals over domains: what comes from one pool is not independent.
Beside them stand rliable's metrics of the same arrays (Agarwal et al. 2021, arXiv:2108.13264).
The pool goes into one parquet file as it comes; started again, it goes on.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from calibrate_check import table
from pooled_comparisons import Draws, beside_rliable, errors, pooled, power

from simreal.exits import run_script
from simreal.results import write_result
from simreal.study import Cell, Source, Table, cell, compute
from simreal.targets import parse_target

POOL_RUN = 810  # a run of seeds that nothing else uses


@dataclass
class Options:
    """What is pooled, and how much is drawn."""

    run: Path = Path("runs/train")
    """A pretraining run."""
    table: Path = Path("docs/calibration_pool.parquet")
    """Where the pool is kept."""
    domains: tuple[str, ...] = ("glare@3", "proprio-bias@3", "sluggish-joints@3", "workshop@3")
    candidates: tuple[str, str] = ("finetune", "head-only")
    seeds: int = 60
    """Of each candidate on each domain."""
    demos: int = 10
    updates: int = 300
    episodes: int = 50
    comparisons: int = 5000
    """For each domain, candidate and number of seeds."""
    minutes: float | None = None
    """After which no further policy is trained."""
    json: Path | None = None
    """Write the result there as JSON."""


def pool_cells(options: Options, source: Source) -> list[Cell]:
    """Return the cells of the pool, seed by seed."""
    sizes = {"demos": options.demos, "updates": options.updates, "episodes": options.episodes}
    targets = [parse_target(name, source.env_id) for name in options.domains]
    return [
        cell(target, name, POOL_RUN, seed, **sizes)
        for seed in range(options.seeds)
        for target in targets
        for name in options.candidates
    ]


def main(options: Options) -> None:
    """Train what the pool lacks, draw comparisons, and print the tables."""
    started = time.perf_counter()
    source = Source.of_run(options.run)
    cells, kept = pool_cells(options, source), Table(options.table)
    left = compute("pool", source, cells, kept, options.minutes).left
    labels = [parse_target(name, source.env_id).label for name in options.domains]
    pool = pooled(kept.rows(source, cells), labels, options.candidates, options.seeds)
    policies = sum(len(own) for sides in pool.values() for own in sides)
    print(f"{policies} policies; {left} are left to train\n")
    draws, rng = Draws(options.episodes, options.comparisons), np.random.default_rng(0)
    found = {"errors": errors(pool, draws, rng), "power": power(pool, draws, rng)}
    found["rliable"] = beside_rliable(pool, options.episodes)
    print("\n\n".join(table(rows) for rows in found.values()))
    if options.json:
        write_result(options.json, "calibrate_pool", 0, time.perf_counter() - started, calibration=found)


if __name__ == "__main__":
    run_script(main, Options)
