"""Spreads between training seeds as a study measured them, for scripts/calibrate_check.py."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from simulated_seeds import EPISODES

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.check.verdict import MARGIN, MINIMUM_SEEDS
from simreal.errors import SimrealError
from simreal.study.table import Table
from simreal.targets import label_of


@dataclass(frozen=True)
class Pair:
    """A candidate and a baseline of one target, as measured."""

    name: str
    mean: float
    """Of the candidate's success."""
    spreads: tuple[float, float]
    """Between-seed standard deviation of each, without what a finite number of episodes adds."""


def measured_pairs(path: Path, run_seed: int) -> list[Pair]:
    """Return what a check compares: candidates with target-only at the same budget, and with zero-shot.

    Both have six seeds or more on the same target.

    Args:
        path: Cells of a study.
        run_seed: Of the cells.

    Raises:
        SimrealError: if there is no such table, or none of them.
    """
    if not path.is_file():
        raise SimrealError(f"no table {str(path)!r}: give --table, the cells of a study as parquet")
    found: defaultdict[str, dict[tuple[str, int], list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in Table(path):
        if row["run_seed"] == run_seed:
            found[label_of(row["domain"], row["severity"])][row["candidate"], row["demos"]].append(row)
    pairs = [
        Pair(f"{_named(ours)} against {_named(theirs)} on {label}", *_measured(cells[ours], cells[theirs]))
        for label, cells in found.items()
        for ours in cells
        for theirs in cells
        if _compared(ours, theirs)
        if min(len(cells[ours]), len(cells[theirs])) >= MINIMUM_SEEDS
    ]
    if not pairs:
        raise SimrealError(f"{path}: no candidate and baseline with {MINIMUM_SEEDS} seeds of run {run_seed}")
    return pairs


def _compared(ours: tuple[str, int], theirs: tuple[str, int]) -> bool:
    if theirs[0] == TARGET_ONLY:
        return (ours[0] not in (TARGET_ONLY, ZERO_SHOT) and ours[1] == theirs[1]) or ours[0] == ZERO_SHOT
    return theirs[0] == ZERO_SHOT and ours[0] not in (TARGET_ONLY, ZERO_SHOT)


def _named(cell: tuple[str, int]) -> str:
    return f"{cell[0]} with {cell[1]}" if cell[1] else cell[0]


def _measured(ours: list[Any], theirs: list[Any]) -> tuple[float, tuple[float, float]]:
    mean = float(np.mean([row["success_rate"] for row in ours]))
    return mean, (_spread(ours), _spread(theirs))


def _spread(rows: list[Any]) -> float:
    rates, episodes = np.array([row["success_rate"] for row in rows]), rows[0]["episodes"]
    binomial = np.mean(rates * (1 - rates)) / (episodes - 1)
    return float(max(rates.var(ddof=1) - binomial, 0.0) ** 0.5)


def like(pair: Pair, shift: float, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return successes of a candidate minus a baseline's (comparisons, seeds), with a pair's spreads.

    Seeds are beta distributed: skewed near 0 and 1, as those of trained policies are.

    Args:
        pair: Whose spreads, and about which mean.
        shift: Expected success of the candidate minus that of the baseline.
        shape: Comparisons and seeds.
        rng: Draws all of it.
    """
    base = float(np.clip(pair.mean, MARGIN, 1.0))
    rates = (
        _drawn(mean, spread, shape, rng)
        for mean, spread in zip((base + shift, base), pair.spreads, strict=True)
    )
    ours, theirs = (rng.binomial(EPISODES, each) for each in rates)
    return np.asarray(ours - theirs, dtype=np.int64)


def _drawn(
    mean: float, spread: float, shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    room = (mean * (1 - mean)) ** 0.5
    if room < 1e-3 or spread < 1e-3:
        return np.full(shape, mean)
    weight = (room / min(spread, 0.9 * room)) ** 2 - 1
    return np.asarray(rng.beta(mean * weight, (1 - mean) * weight, shape))
