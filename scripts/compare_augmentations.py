"""What pretraining may do to images, compared: python scripts/compare_augmentations.py --out runs/augment.

Every augmentation of `simreal pretrain --augment` is pretrained with the same seeds, and its student meets
every domain of the suite as it is. The unit is a pretraining seed; its augmentations share the teacher, which
sees no images. A student that goes blind in training counts as it is then. What is finished is kept; started
again, it goes on.
"""

import dataclasses
import shutil
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matrix_tables import with_interval

import envs
from simreal.check.candidates import ZERO_SHOT
from simreal.check.statistics import t_interval
from simreal.exits import run_script
from simreal.presets import PRESETS, Preset
from simreal.pretrain import PretrainConfig, run
from simreal.pretrain.augment import AUGMENTATIONS, Augment
from simreal.pretrain.distill import BlindStudentError
from simreal.progress import say
from simreal.results import write_result
from simreal.study import Cell, Source, Table, cell, compute
from simreal.targets import Target

EVALUATION_RUN = 820  # of episodes: every student meets the same
BASELINE: Augment = "domain"
Rows = list[dict[str, Any]]


@dataclass
class Options:
    """What is pretrained, and how it is judged."""

    out: Path = Path("runs/augment")
    """Where runs and results are kept."""
    augmentations: tuple[Augment, ...] = AUGMENTATIONS
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of pretraining."""
    severity: int = 3
    episodes: int = 50
    """In each domain."""
    preset: Preset = "default"
    json: Path | None = None
    """Write the result there as JSON."""


def judged(augment: Augment, seed: int, table: Table, options: Options) -> Rows:
    """Return how the student of an augmentation does in every domain of the suite.

    What is in the table is believed. The source data, 320 MB that nothing needs any more, are then deleted.
    """
    folder = options.out / f"{augment}-{seed}"
    if rows := _rows(folder, table, options):
        return rows
    pretrained(augment, seed, options)
    source = Source.of_run(folder)
    compute(folder.name, source, _cells(source, options), table)
    shutil.rmtree(folder / "source")
    return _rows(folder, table, options)


def pretrained(augment: Augment, seed: int, options: Options) -> Path:
    """Return the run of an augmentation and a seed, made or finished if need be; it has its source data."""
    folder, sizes = options.out / f"{augment}-{seed}", PRESETS[options.preset]
    if augment != BASELINE and not (folder / "teacher").is_dir():
        shutil.copytree(options.out / f"{BASELINE}-{seed}" / "teacher", folder / "teacher")
    distill = dataclasses.replace(sizes.distill, augment=augment)
    try:
        run(PretrainConfig(teacher=sizes.teacher, distill=distill), folder, seed, resume=True)
    except BlindStudentError as error:
        say(str(error))
    return folder


def _cells(source: Source, options: Options) -> list[Cell]:
    targets = [Target(source.env_id, domain) for domain in envs.suite(options.severity)]
    return [cell(each, ZERO_SHOT, EVALUATION_RUN, 0, episodes=options.episodes) for each in targets]


def _rows(folder: Path, table: Table, options: Options) -> Rows:
    """Return the rows of a run if all are there; an unfinished student has others."""
    if not (folder / "policy").is_dir():
        return []
    source = Source.of_run(folder)
    cells = _cells(source, options)
    rows = table.rows(source, cells)
    return rows if len(rows) == len(cells) else []


def compared(found: dict[Augment, dict[int, Rows]]) -> list[str]:
    """Return success by augmentation and family, and what each is ahead of the baseline, seed by seed."""
    lines = ["| augmentation | " + " | ".join(envs.domain.FAMILIES) + " | suite | against domain, points |"]
    lines.append("|---" * (len(envs.domain.FAMILIES) + 3) + "|")
    suite = {name: {seed: _means(rows)["suite"] for seed, rows in own.items()} for name, own in found.items()}
    for name, own in found.items():
        means: defaultdict[str, list[float]] = defaultdict(list)
        for rows in own.values():
            for family, rate in _means(rows).items():
                means[family].append(rate)
        cells = [with_interval(means[family]) for family in (*envs.domain.FAMILIES, "suite")]
        lines.append(f"| {name} | " + " | ".join([*cells, _ahead(suite, name)]) + " |")
    return lines


def _means(rows: Rows) -> dict[str, float]:
    """Return the mean success in each family, and over all domains."""
    families = {
        family: float(np.mean([row["success_rate"] for row in rows if row["family"] == family]))
        for family in envs.domain.FAMILIES
    }
    return families | {"suite": float(np.mean([row["success_rate"] for row in rows]))}


def _ahead(suite: dict[Augment, dict[int, float]], name: Augment) -> str:
    if name == BASELINE:
        return ""
    points = [100 * (rate - suite[BASELINE][seed]) for seed, rate in suite[name].items()]
    if len(points) < 2:
        return f"{points[0]:+.1f}"
    low, high = t_interval(points)
    return f"{np.mean(points):+.1f} ({low:+.1f} to {high:+.1f})"


def main(options: Options) -> None:
    """Pretrain, judge, and print the table."""
    started = time.perf_counter()
    table = Table(options.out / "cells.parquet")
    names = dict.fromkeys((BASELINE, *options.augmentations))  # the first has the teacher of all
    found: dict[Augment, dict[int, Rows]] = {name: {} for name in names}
    for seed in options.seeds:
        for name in names:
            found[name][seed] = judged(name, seed, table, options)
        print("\n".join([*compared(found), ""]), flush=True)  # the whole comparison, on the seeds so far
    if options.json:
        rates = {name: {str(seed): _means(r) for seed, r in own.items()} for name, own in found.items()}
        seconds = time.perf_counter() - started
        write_result(options.json, "compare_augmentations", 0, seconds, augmentations=rates)


if __name__ == "__main__":
    run_script(main, Options)
