"""What a study concludes from a table: which comparisons, corrected for how many."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.check.target_only import Tuned
from simreal.check.tuning import Found, Scaled
from simreal.study import Cell, Computed, Place, Source, Table
from simreal.study import run as study_run
from simreal.study.conclusions import Compared, compare_candidates, recommended
from simreal.study.plan import Budget, StudyPlan
from simreal.targets import parse_target

SOURCE: Any = Source("p", None, None, Path(), None, (), "simreal/PandaReach-v0", "0", Place("", ""))
TARGET = parse_target("blur@3", SOURCE.env_id)
RATES = {ZERO_SHOT: 0.5, TARGET_ONLY: 0.3, "finetune": 0.9, "cotrain": 0.8, "color-match": 0.6, "ppo": 0.7}


def test_more_seeds_after_a_verdict_are_another_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_run.Source, "of_run", lambda path: SOURCE)
    for name in ("check_data", "source_cost"):
        monkeypatch.setattr(study_run, name, lambda *given: None)

    def part(plan: StudyPlan, *others: Any) -> Any:
        return study_run._Part({}, Computed(0, []), [compared(tmp_path, "finetune", seeds=plan.seeds)])

    monkeypatch.setattr(study_run, "_part", part)
    plan = StudyPlan((Path("p"),), ("blur",), ("finetune",), seeds=6)
    assert [study_run.run(plan, tmp_path).caution for _ in range(2)] == [None, None]
    more = dataclasses.replace(plan, seeds=8)
    told = study_run.run(more, tmp_path).caution
    assert told is not None
    assert "(finetune with 6 seeds): this is another look" in told
    assert study_run.run(dataclasses.replace(more, seed=3), tmp_path).caution is None  # of other cells


def compared(
    folder: Path, *methods: str, lost: tuple[str, ...] = (), budget: Budget = Budget(), seeds: int = 6
) -> Compared:
    """Compare by a table that lacks the last seed of `lost`."""
    plan = StudyPlan((Path("p"),), ("blur",), methods, seeds=seeds)

    def settled(each: Cell) -> Found:
        return Tuned(1e-3, 100, 0.0) if each.candidate == "target-only" else Scaled(1.0, 0.0)

    group = plan.cells(TARGET, budget, settled)
    table = Table(folder / "cells.parquet")
    for name, cells in group.items():
        for each in cells[:-1] if name in lost else cells:
            table.add(each.row(SOURCE) | {"success_rate": RATES[name] + 0.01 * each.seed})
    return compare_candidates(SOURCE, TARGET, budget, group, plan, table)


def told(found: Compared) -> list[tuple[str, str]]:
    return [(item.candidate, item.baseline) for item in found.comparisons]


def test_with_a_seed_missing_the_primary_comparison_is_no_other(tmp_path: Path) -> None:
    whole = compared(tmp_path / "whole", "finetune", "cotrain")
    assert [item.primary for item in whole.comparisons] == [True, False, False, False, False]
    found = compared(tmp_path / "lost", "finetune", "cotrain", lost=("finetune",))
    assert told(found) == [("cotrain", TARGET_ONLY), ("cotrain", ZERO_SHOT), (ZERO_SHOT, TARGET_ONLY)]
    assert not any(item.primary for item in found.comparisons)
    assert {item.confidence for item in found.comparisons} == {1 - 0.05 / 4}  # of four that were declared
    assert {item.p_value for item in found.comparisons} == {4 / 32}


@pytest.mark.parametrize("name", ["color-match", "ppo"])
def test_without_labels_the_baseline_is_zero_shot(name: str, tmp_path: Path) -> None:
    found = compared(tmp_path, name, "finetune")
    assert told(found) == [
        (name, ZERO_SHOT),
        ("finetune", TARGET_ONLY),
        ("finetune", ZERO_SHOT),
        (ZERO_SHOT, TARGET_ONLY),
    ]
    assert [item.primary for item in found.comparisons] == [True, False, False, False]


def test_a_budget_is_corrected_for_what_it_can_compare(tmp_path: Path) -> None:
    found = compared(tmp_path, "color-match", "finetune", budget=Budget(only=("finetune",)))
    assert told(found) == [("finetune", ZERO_SHOT)]
    assert (found.comparisons[0].primary, found.comparisons[0].confidence) == (False, 0.95)


@pytest.mark.parametrize(
    ("methods", "pairs"),
    [
        ((ZERO_SHOT,), [(ZERO_SHOT, TARGET_ONLY)]),
        ((TARGET_ONLY, ZERO_SHOT), [(TARGET_ONLY, ZERO_SHOT)]),
        ((TARGET_ONLY, "ppo"), [(TARGET_ONLY, ZERO_SHOT), ("ppo", ZERO_SHOT)]),
        (("ppo", ZERO_SHOT, "ppo"), [("ppo", ZERO_SHOT), (ZERO_SHOT, TARGET_ONLY)]),
    ],
)
def test_baselines_may_be_named_too(
    methods: tuple[str, ...], pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    found = compared(tmp_path, *methods)
    assert told(found) == pairs
    assert found.comparisons[0].primary


def test_every_comparison_has_a_sentence_and_all_have_one_where_none_can_be_positive(tmp_path: Path) -> None:
    found = compared(tmp_path / "six", "finetune", "cotrain")
    assert len(found.sentences) == len(found.comparisons) + 1
    assert found.sentences[0].startswith("finetune beat target-only by 60 points (95% interval")
    assert "With 6 seeds and 4 secondary comparisons none of these can be positive" in found.sentences[-1]
    enough = compared(tmp_path / "eight", "finetune", "cotrain", seeds=8)
    assert len(enough.sentences) == len(enough.comparisons)
    few = compared(tmp_path / "two", "finetune", seeds=2)
    assert all("A verdict needs at least 6 seeds" in text for text in few.sentences)


def at(severity: int, **success: float) -> Compared:
    named = {name.replace("_", "-"): [rate] for name, rate in success.items()}
    return Compared("p", "blur", severity, Budget(), named, [], [])


def test_what_does_not_beat_zero_shot_is_not_recommended() -> None:
    found = [at(3, zero_shot=0.9, target_only=0.2, color_match=0.3, coral=0.1, finetune=0.95)]
    assert recommended(found) == {"transductive": ZERO_SHOT, "inductive": "finetune"}
    # Where finetune lacks its cells, zero-shot's count for nothing.
    assert recommended([*found, at(5, zero_shot=1.0)])["inductive"] == "finetune"
    assert recommended([at(3, zero_shot=0.5, color_match=0.5)]) == {"transductive": ZERO_SHOT}


def test_target_only_is_recommended_where_its_labels_are_and_it_is_better() -> None:
    found = [at(3, zero_shot=0.1, target_only=0.8, color_match=0.3, finetune=0.7, ppo=0.2)]
    assert recommended(found) == {"transductive": "color-match", "inductive": TARGET_ONLY}
    assert recommended([at(3, zero_shot=0.1, target_only=0.8, ppo=0.2)]) == {"inductive": "ppo"}
    assert recommended([at(3, zero_shot=0.9, target_only=0.8, finetune=0.7)]) == {"inductive": ZERO_SHOT}
    assert recommended([at(3, finetune=0.7), at(5, coral=0.2), at(1, kmm=0.1)]) == {"inductive": "finetune"}
