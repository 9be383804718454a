"""What scripts/guard_study.py says of cells, and of simulated days, whose answer is known."""

from pathlib import Path
from typing import Any

import guard_cases
import guard_worlds
import numpy as np
import pytest

from simreal.errors import SimrealError
from simreal.study.table import write_table

NAMES = ("finetune", "zero-shot", "target-only")
TRUE = {
    "good": (0.9, 0.4, 0.05), "harmful": (0.1, 0.9, 0.05), "learnable": (0.3, 0.2, 0.95), "easy": (1, 1, 1),
}  # fmt: skip
SEEDS = 8


def table(path: Path) -> Path:
    """Write cells whose candidates have known success, in no particular order."""
    rng, rows = np.random.default_rng(0), list[dict[str, Any]]()
    for domain, rates in TRUE.items():
        for seed in range(SEEDS):
            for name, rate in zip(NAMES, rates, strict=True):
                row = {"candidate": name, "domain": domain, "severity": 3, "seed": seed, "run_seed": 700}
                demos = 0 if name == "zero-shot" else 10
                rows.append(row | {"demos": demos, "successes": (rng.random(50) < rate).tolist()})
    more = dict(rows[0])
    rows += [
        more | {"candidate": "mmd", "demos": 0},  # takes no demonstrations: a case of two candidates
        more | {"candidate": "cotrain", "seed": 99},  # no baseline has this seed
        more | {"candidate": "finetune", "demos": 30, "seed": 98},
        more | {"candidate": "finetune", "run_seed": 900, "successes": [False] * 50},
        more | {"candidate": "finetune", "domain": "old", "successes": None},
    ]
    order = rng.permutation(len(rows))
    write_table(path, [rows[index] | {"key": str(index)} for index in order])
    return path


@pytest.fixture
def cases(tmp_path: Path) -> list[guard_cases.Case]:
    return guard_cases.read_cases(table(tmp_path / "t.parquet"), demos=10, run_seed=700)


def test_cases_are_what_has_its_baselines_episode_by_episode(cases: list[guard_cases.Case]) -> None:
    found = {(case.method, case.domain): case for case in cases}
    assert set(found) == {*(("finetune", f"{domain}@3") for domain in TRUE), ("mmd", "good@3")}
    assert found["mmd", "good@3"].outcomes.shape == (1, 2, 50)
    assert found["finetune", "good@3"].seeds == tuple(range(SEEDS))
    for domain, rates in TRUE.items():
        outcomes = found["finetune", f"{domain}@3"].outcomes
        assert outcomes.mean(axis=(0, 2)) == pytest.approx(rates, abs=0.08)


def test_the_guard_prevents_what_the_method_does(cases: list[guard_cases.Case]) -> None:
    judged = [guard_cases.judge(case, 30) for case in cases if case.method == "finetune"]
    unguarded, guarded = guard_cases.compare(judged, None), guard_cases.compare(judged, "guarded")
    worse = {(each.domain, each.baseline) for each in unguarded if each.verdict == "negative"}
    assert worse == {("harmful@3", "zero-shot"), ("learnable@3", "target-only")}
    assert not [each for each in guarded if each.verdict == "negative"]
    few = guard_cases.judge(next(case for case in cases if case.method == "mmd"), 30)
    assert guard_cases.compare([*judged, few], "guarded") == guarded  # one seed can have no verdict
    row = guard_cases.summary(judged, {"unguarded": unguarded, "guarded": guarded})
    assert row["unguarded worse than zero-shot"]["corrected"] == 1
    assert row["guarded worse than target-only"]["corrected"] == 0
    assert row["returned"] == pytest.approx(
        {"finetune": 0.5, "zero-shot": 0.25, "target-only": 0.25}, abs=0.05
    )
    assert 0 <= row["cost"]["mean"] < 0.03
    assert row["gain"]["ci_low"] > 0.3
    assert row["gain over zero-shot"]["mean"] == pytest.approx((0.5 + 0.0 + 0.75 + 0.0) / 4, abs=0.05)


def test_what_judges_is_not_what_chose() -> None:
    outcomes = np.zeros((2, 2, 50), bool)
    outcomes[:, 0, :10], outcomes[:, 1, 10:] = True, True
    found = guard_cases.judge(guard_cases.Case("mmd", "d", ("mmd", "zero-shot"), (0, 1), outcomes), 20)
    assert found.chosen.tolist() == [0, 0]
    assert found.success["guarded"].tolist() == [0, 0]
    assert found.success["best"].tolist() == [1, 1]
    with pytest.raises(SimrealError, match="--rollouts 100: the guard runs 50 episodes of each cell's 50"):
        guard_cases.judge(found.case, 100)


def test_a_seed_that_lacks_cases_is_in_no_mean() -> None:
    def judged(domain: str, seeds: tuple[int, ...]) -> guard_cases.Judged:
        outcomes = np.zeros((len(seeds), 2, 50), bool)
        return guard_cases.judge(guard_cases.Case("mmd", domain, ("mmd", "zero-shot"), seeds, outcomes), 20)

    both = [judged("d", (0, 1)), judged("e", (0,))]
    found = guard_cases.by_seed(both, [np.array([0.2, 0.9]), np.array([0.4])])
    assert found.tolist() == pytest.approx([0.3])


def test_two_cells_of_one_name_are_refused(tmp_path: Path) -> None:
    row = {"candidate": "zero-shot", "domain": "blur", "severity": 3, "seed": 0, "run_seed": 700, "demos": 0}
    write_table(tmp_path / "t.parquet", [row | {"key": key, "successes": [True]} for key in "ab"])
    with pytest.raises(SimrealError, match="two cells of zero-shot on blur@3, seed 0"):
        guard_cases.read_cases(tmp_path / "t.parquet", demos=10, run_seed=700)


@pytest.mark.parametrize("world", guard_worlds.WORLDS)
def test_simulated_days_have_their_rates(world: str) -> None:
    rates = np.array([0.2, 0.5, 0.9])
    days = guard_worlds.simulate(rates, world, (2000, 10), np.random.default_rng(0))
    assert days.mean(axis=(0, 2)) == pytest.approx(rates, abs=0.02)
    both = (days[:, 0] & days[:, 1]).mean()
    assert both == pytest.approx(0.1 if world == "independent" else 0.15, abs=0.02)


@pytest.mark.parametrize(("wins", "choice"), [(4, 0), (5, 1)])
def test_the_significance_test_takes_five_of_five(wins: int, choice: int) -> None:
    outcomes = np.zeros((1, 2, 10), bool)
    outcomes[0, 1, :wins] = True
    assert guard_worlds.significant(outcomes, 20).tolist() == [choice]
    assert guard_worlds.guard(outcomes, 20).tolist() == [1]
