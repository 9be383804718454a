"""Outcomes of scored rollouts: the world's score, resuming, blinded labels, rows that are only added."""

import csv
import json
from pathlib import Path

import pytest

from simreal.cli import main
from simreal.deploy.judge import Score, Verdict
from simreal.deploy.log import Episode
from simreal.deploy.outcomes import COLUMNS, Outcomes
from simreal.deploy.trials import Table, Trial
from simreal.errors import SimrealError
from simreal.evaluate import episode_seeds


def trial(number: int, verdict: Verdict | None, partial: float = 0.0, aborted: bool = False) -> Trial:
    score = None if verdict is None else Score(verdict, partial)
    return Trial(
        number, 7, Episode(number, 5, "done"), score, aborted, 1.5, "ann", "2026-01-01T00:00:00+00:00"
    )


def test_the_last_row_of_a_trial_counts(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path / "outcomes.csv", "a")
    for one in (
        trial(0, "success", 1.0), trial(1, "redo"), trial(1, "failure", 0.4),
        trial(2, None, aborted=True), trial(3, "discard"),
    ):  # fmt: skip
        outcomes.add(one)
    Outcomes(tmp_path / "outcomes.csv", "b").add(trial(0, "failure"))
    assert outcomes.scored() == {0: True, 1: False, 2: False}
    with (tmp_path / "outcomes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["success"] for row in rows] == ["True", "", "False", "False", "", "False"]
    assert [row["partial_score"] for row in rows] == ["1.0", "", "0.4", "0.0", "", "0.0"]
    assert [row["aborted"] for row in rows] == ["False", "False", "False", "True", "False", "False"]


def test_a_table_that_was_cut_short_goes_on_in_a_new_line(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.csv"
    Outcomes(path, "a").add(trial(0, "success", 1.0))
    path.write_text(path.read_text() + "a,1,7,Tr")
    outcomes = Outcomes(path, "a")
    assert outcomes.scored() == {0: True}
    outcomes.add(trial(1, "failure"))
    assert outcomes.scored() == {0: True, 1: False}


def test_another_table_is_refused(tmp_path: Path) -> None:
    Table(tmp_path / "table.csv", ("x", "y"))
    with pytest.raises(SimrealError, match="its columns are x, y; wanted policy"):
        Outcomes(tmp_path / "table.csv", "a")


def test_a_deployment_adds_the_trials_that_are_missing(untrained_model: Path, tmp_path: Path) -> None:
    table = tmp_path / "outcomes.csv"
    for run, episodes in enumerate((1, 3)):
        arguments = ["deploy", "--policy", str(untrained_model), "--pacing", "lock-step", "--steps", "3"]
        arguments += ["--episodes", str(episodes), "--outcomes", str(table), "--label", "X", "--quiet"]
        assert main([*arguments, "--out", str(tmp_path / f"run{run}")]) == 0
    rows = Table(table, COLUMNS).rows()
    assert [row["trial"] for row in rows] == ["0", "1", "2"]
    assert [int(row["seed"]) for row in rows] == episode_seeds(0, 3)
    assert {(row["policy"], row["scorer"], row["aborted"]) for row in rows} == {("X", "simulation", "False")}
    assert str(untrained_model) not in table.read_text()


def test_check_judges_what_deployments_wrote(untrained_model: Path, tmp_path: Path, capsys) -> None:
    table = tmp_path / "outcomes.csv"
    for name in ("zero-shot", "adapted"):
        arguments = ["deploy", "--policy", str(untrained_model), "--pacing", "lock-step", "--steps", "3"]
        arguments += ["--episodes", "2", "--outcomes", str(table), "--label", name, "--quiet"]
        assert main([*arguments, "--out", str(tmp_path / name)]) == 0
    capsys.readouterr()
    assert main(["check", "--outcomes", str(table), "--rollouts", "5", "--out", str(tmp_path / "v")]) == 0
    found = json.loads((tmp_path / "v" / "result.json").read_text())["outcomes"]
    (comparison,) = found["comparisons"]
    assert (comparison["candidate"], comparison["baseline"]) == ("adapted", "zero-shot")
    assert (comparison["blocks"], comparison["unpaired"], found["unfilled"]) == (2, 0, 0)
    rows = Table(table, COLUMNS).rows()
    assert len({row["seed"] for row in rows}) == 2  # both policies had the same episodes
    for name, counted in found["policies"].items():
        mine = [row for row in rows if row["policy"] == name]
        assert counted["rollouts"] == len(mine) == 2
        assert counted["successes"] == sum(row["success"] == "True" for row in mine)
        assert counted["aborted"] == 0
    assert "not interleaved" not in capsys.readouterr().err
