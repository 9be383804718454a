"""Spreads of trained policies, as scripts/calibrate_check.py takes them from a table."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measured_spreads import Pair, like, measured_pairs
from simulated_seeds import EPISODES

from simreal.errors import SimrealError
from simreal.study.table import write_table


def table(path: Path, spread: float, seeds: int = 400) -> Path:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    means = {
        ("match", 10): 0.6, ("color-match", 0): 0.5, ("zero-shot", 0): 0.3,
        ("target-only", 10): 0.1, ("target-only", 30): 0.5,
    }  # fmt: skip
    for (name, demos), mean in means.items():
        for seed in range(seeds):
            rate = mean + spread * rng.choice((-1.0, 1.0)) if name == "match" else mean
            where = {"domain": "blur", "severity": 3, "candidate": name, "demos": demos, "seed": seed}
            told = {"run_seed": 700, "episodes": 50, "success_rate": float(rng.binomial(50, rate) / 50)}
            rows.append({"key": f"{name}{demos}/{seed}"} | where | told)
    write_table(path, rows)
    return path


def test_pairs_are_what_a_check_compares_and_spreads_are_between_seeds(tmp_path: Path) -> None:
    found = {pair.name: pair for pair in measured_pairs(table(tmp_path / "t.parquet", 0.2), 700)}
    assert set(found) == {
        "match with 10 against zero-shot on blur@3",
        "match with 10 against target-only with 10 on blur@3",
        "color-match against zero-shot on blur@3",
        "zero-shot against target-only with 10 on blur@3",
        "zero-shot against target-only with 30 on blur@3",
    }
    pair = found["match with 10 against zero-shot on blur@3"]
    assert pair.mean == pytest.approx(0.6, abs=0.02)
    assert pair.spreads == pytest.approx((0.2, 0.0), abs=0.02)  # and not the 0.07 of fifty episodes
    with pytest.raises(SimrealError, match="no candidate and baseline with 6 seeds of run 900"):
        measured_pairs(tmp_path / "t.parquet", 900)
    with pytest.raises(SimrealError, match="no table"):
        measured_pairs(tmp_path / "none.parquet", 700)


@pytest.mark.parametrize("shift", [0.0, -0.05])
@pytest.mark.parametrize("mean", [0.0, 0.3, 0.95, 1.0])
def test_the_difference_and_the_spread_are_what_was_asked_for(mean: float, shift: float) -> None:
    wins = like(Pair("p", mean, (0.1, 0.0)), shift, (20_000, 8), np.random.default_rng(0))
    assert wins.mean() / EPISODES == pytest.approx(shift, abs=0.002)
    base = min(max(mean, 0.05), 1.0)
    rates = np.array([base + shift, base])
    room = rates * (1 - rates)
    between = np.array([min(0.1**2, 0.81 * room[0]) if room[0] > 1e-6 else 0.0, 0.0])
    wanted = (between + (room - between) / EPISODES).sum()
    assert wins.var() / EPISODES**2 == pytest.approx(wanted, rel=0.05, abs=1e-9)
