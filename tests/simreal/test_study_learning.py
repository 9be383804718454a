"""Learning curves over the target budget: known curves with known answers, and the page that shows them."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest

from simreal.cli import main
from simreal.pretrain.cost import SourceCost
from simreal.report import build
from simreal.results import write_result
from simreal.study.learning import Learning, learning_curves
from simreal.study.run import StudyResult

SCHEMA = json.loads(files("simreal").joinpath("schemas/result.json").read_text())
COSTS = {"p": SourceCost(seconds=100, steps=1000)}


def rows(candidate: str, axis: str, curve: dict[int, float], **given: Any) -> list[dict[str, Any]]:
    """Return the rows of two seeds; ten frames for a demonstration, a second for each of them."""
    found = []
    for budget, rate in curve.items():
        for seed in (0, 1):
            row = {"source": "p", "domain": "blur", "severity": 3, "candidate": candidate, "seed": seed}
            row |= {"demos": 0, "frames": 0, "steps": 0} | ({axis: budget} if axis else {}) | given
            row |= {"frames_used": 10 * row["demos"], "train_seconds": float(row["demos"])}
            found.append(row | {"success_rate": rate + 0.1 * seed})
    return found


TABLE = [
    *rows("zero-shot", "", {0: 0.4}),
    *rows("finetune", "demos", {1: 0.5, 3: 0.7, 10: 0.9}),
    *rows("target-only", "demos", {3: 0.1, 10: 0.3, 30: 0.7}),
    *rows("pseudo-label", "demos", {3: 0.1, 10: 0.3}, frames=60),
    *rows("ppo", "steps", {100: 0.5, 300: 0.9}),
]


def learned(name: str, table: list[dict[str, Any]] = TABLE, threshold: float = 0.75) -> Learning:
    (found,) = [item for item in learning_curves(table, 2, threshold, COSTS) if item.method.candidate == name]
    return found


def test_budgets_of_their_own_have_known_answers() -> None:
    found = learned("finetune")
    assert (found.axis, found.baseline.candidate, found.beside) == ("demos", "target-only", {})
    assert (found.compared_from, found.compared_to) == (3, 10)
    assert found.method.budgets == [1, 3, 10]
    assert found.method.success[0] == [0.5, 0.6]
    for name, value in (
        ("jumpstart", 0.6),
        ("asymptote", 0.6),
        ("area", 0.6),
        ("transfer_ratio", 0.6 / 0.25),
    ):
        assert found.metrics[name]["value"] == pytest.approx(value)
    # 0.7 to 0.9 and 0.8 at 3, 0.6 at 1: 3 + 7/4 and 1 + 2 * 0.75
    assert found.metrics["method_reached"]["median"] == pytest.approx((4.75 + 2.5) / 2)
    # 0.7 with 30 demonstrations, and from 0.4 to 0.8: 10 + 20 * 0.35 / 0.4
    theirs = found.metrics["baseline_reached"]
    assert (theirs["median"], theirs["censored"], theirs["seeds"]) == (None, 1, 2)
    steps = found.saved["steps"]
    assert steps["target_only_counts"]["exact"] == 1
    # at least 300 - 47.5 on the seed that never gets there, and 275 - 25 on the other
    assert steps["target_only_counts"]["at_least"] == pytest.approx((252.5 + 250) / 2)
    assert steps["source_counts"]["at_least"] == pytest.approx((252.5 + 250) / 2 - 1000)
    assert found.saved["seconds"]["target_only_counts"]["at_least"] == pytest.approx(25.125)


def test_where_target_only_does_not_exist_the_baseline_is_named() -> None:
    found = learned("ppo")
    assert (found.axis, found.baseline.candidate) == ("steps", "zero-shot")
    assert found.baseline.budgets == [0, 300]
    assert found.metrics["jumpstart"]["value"] == pytest.approx(0.1)
    assert found.metrics["baseline_reached"]["censored"] == 2
    assert found.saved == {"seconds": None, "steps": None}  # the source is what both have


def test_what_is_beside_the_budget_is_told_and_keeps_curves_apart() -> None:
    found = learned("pseudo-label")
    assert (found.beside, found.baseline.candidate) == ({"frames": 60}, "target-only")
    apart = [row | {"frames": row["demos"]} if row["candidate"] == "pseudo-label" else row for row in TABLE]
    names = [item.method.candidate for item in learning_curves(apart, 2, 0.75, COSTS)]
    assert names == ["finetune", "ppo"]  # frames grew too: a curve over neither


def test_a_point_without_all_its_seeds_is_no_point() -> None:
    lost = [row for row in TABLE if (row["candidate"], row["demos"], row["seed"]) != ("finetune", 3, 1)]
    assert learned("finetune", lost).method.budgets == [1, 10]
    assert learning_curves(TABLE, 1, 0.75, COSTS) == []  # one seed has no interval


def test_tables_from_before_training_was_timed_have_steps_alone() -> None:
    before = [{name: value for name, value in row.items() if name != "train_seconds"} for row in TABLE]
    saved = learned("finetune", before).saved
    assert saved["seconds"] is None
    assert saved["steps"] == learned("finetune").saved["steps"]


def test_the_page_tells_censored_runs_as_such(tmp_path: Path) -> None:
    learning = learning_curves(TABLE, 2, 0.75, COSTS)
    study = StudyResult(1, 1, [], {}, [], [], 0.75, learning)
    write_result(tmp_path / "result.json", "study", 0, 1.0, study=study)
    jsonschema.validate(json.loads((tmp_path / "result.json").read_text()), SCHEMA)
    page = build(tmp_path).read_text()
    assert "Learning curves over demonstrations: from p, severity 3" in page
    assert "Learning curves over rewarded steps: from p, severity 3" in page
    assert page.count("data:image/png") == 2
    assert "&gt; 30; 1 of 2 never" in page or "> 30; 1 of 2 never" in page
    assert "+0.60 (+0.60 to +0.60)" in page
    assert "≥ 251 (250 to ∞)" in page
    assert "≥ -749" in page  # with the source
    assert "pseudo-label, 60 unlabelled frames" in page


def test_a_study_has_budgets_of_its_own_for_target_only(smoke_run: Path, tmp_path: Path) -> None:
    plan, out = tmp_path / "study.yaml", tmp_path / "study"
    plan.write_text(f"""
sources: [{smoke_run}]
targets: [blur@1]
methods: [finetune]
budgets: [{{demos: 1, only: [finetune]}}, {{demos: 2}}]
threshold: 0.5
seeds: 2
episodes: 2
updates: 2
tuning_updates: 2
""")
    assert main(["study", str(plan), "--out", str(out), "--quiet"]) == 0
    cells = pq.read_table(out / "cells.parquet").to_pylist()
    taken = sorted({(row["candidate"], row["demos"]) for row in cells})
    assert taken == [
        ("finetune", 1), ("finetune", 2), ("target-only", 2), ("zero-shot", 0),
    ]  # fmt: skip
    assert all((row["train_seconds"] > 0) == (row["candidate"] != "zero-shot") for row in cells)
    result = json.loads((out / "result.json").read_text())
    jsonschema.validate(result, SCHEMA)
    study = result["study"]
    assert study["threshold"] == 0.5
    (found,) = study["learning"]
    assert (found["method"]["budgets"], found["baseline"]["budgets"]) == ([1, 2], [2])
    assert (found["compared_from"], found["metrics"]["jumpstart"]["value"]) == (None, None)
    assert found["saved"]["steps"]["source_counts"] is not None
    assert main(["report", "--out", str(out), "--quiet"]) == 0
    page = (out / "report.html").read_text()
    assert "no range of budgets in common" in page
    assert "demonstrations to 0.5" in page
