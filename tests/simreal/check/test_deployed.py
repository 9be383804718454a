"""The table that a deployment writes is judged as it stands."""

import csv
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from simreal.check.outcomes import read_outcomes
from simreal.check.rollouts import cells, interleaved, paired, primary_pair
from simreal.check.rollouts_report import report
from simreal.deploy.outcomes import COLUMNS
from simreal.errors import SimrealError

PAIR = ("new", "old")


def table(tmp_path: Path, *rows: str, columns: str = ",".join(COLUMNS)) -> Path:
    """Write rows of policy, trial, seed, success, partial score and aborted; a person scored them."""
    path = tmp_path / "outcomes.csv"
    path.write_text(
        "\n".join([columns, *(f"{row},2.5,ann,2026-01-01T00:00:00+00:00" for row in rows)]) + "\n"
    )
    return path


def test_the_last_row_of_a_trial_counts_and_seeds_are_blocks(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "new,0,71,False,0.2,False",
        "old,0,71,False,0.0,False",
        "new,0,71,True,1.0,False",  # done again
        "old,1,72,True,1.0,False",
        "new,1,72,True,1.0,False",
        "new,2,73,,,False",  # discarded
        "old,2,73,True,1.0,False",
    )
    found = read_outcomes(path)
    assert cells(paired(found, PAIR)).tolist() == [1, 1, 0, 0]
    assert found.unfilled == 1
    assert [(r.policy, r.block) for r in found.rollouts][-1] == ("old", "seed 73")
    with path.open("a") as file:
        file.write("new,2,73,Tr")  # a crash
    assert read_outcomes(path) == found


def test_aborted_and_partial_scores(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "new,0,1,False,0.0,True",  # cut short, and nobody scored it
        "new,1,2,False,0.8,True",  # cut short, scored a failure
        "new,2,3,True,1.0,True",  # cut short when it was done
        "new,3,4,False,0.8,False",
        "new,4,5,False,0.4,False",
        "old,0,1,True,1.0,False",
    )
    rollouts = read_outcomes(path).of("new")
    assert [(r.success, r.aborted) for r in rollouts] == [
        (False, True), (False, True), (True, False), (False, False), (False, False),
    ]  # fmt: skip
    by_score = read_outcomes(path, threshold=0.5).of("new")
    assert [r.success for r in by_score] == [False, False, True, True, False]
    assert not any(r.success for r in read_outcomes(path, threshold=0.0).of("new")[:2])
    _, sentences = report(read_outcomes(path), PAIR, 0.05, 0)
    assert "new: 1 of 5 succeeded (0.04 to 0.62); 2 aborted, which count as failures." in sentences


def test_labels_are_read_with_a_key(tmp_path: Path) -> None:
    path, key = table(tmp_path, "A,0,1,True,1.0,False", "B,0,1,False,0.0,False"), tmp_path / "key.json"
    key.write_text('{"A": "new", "B": "old"}')
    assert cells(paired(read_outcomes(path, key), PAIR)).tolist() == [0, 1, 0, 0]
    key.write_text('{"A": "new"}')
    with pytest.raises(SimrealError, match="row 3: label 'B': the key has no such label"):
        read_outcomes(path, key)


def test_seeds_that_nobody_shares_are_no_blocks(tmp_path: Path) -> None:
    path = table(tmp_path, "new,0,1,True,1.0,False", "old,0,2,False,0.0,False")
    assert cells(paired(read_outcomes(path), PAIR)).tolist() == [0, 1, 0, 0]


def test_one_policy_after_the_other_is_said_of_a_robot(tmp_path: Path) -> None:
    rows = [f"{name},{trial},{trial},True,1.0,False" for name in PAIR for trial in range(6)]
    path = table(tmp_path, *rows)
    assert not interleaved(read_outcomes(path), PAIR)
    mixed = table(tmp_path, *(row for pair in zip(rows[:6], rows[6:], strict=True) for row in pair))
    assert interleaved(read_outcomes(mixed), PAIR)
    path = table(tmp_path, *rows)
    path.write_text(path.read_text().replace("ann", "simulation"))
    assert interleaved(read_outcomes(path), PAIR)  # nothing drifts in a simulation


def test_parquet(tmp_path: Path) -> None:
    path = table(tmp_path, "new,0,1,True,1.0,False", "old,0,1,False,0.0,True", "old,1,2,,,False")
    pq.write_table(pyarrow.csv.read_csv(path), tmp_path / "outcomes.parquet")
    found, other = read_outcomes(path), read_outcomes(tmp_path / "outcomes.parquet")
    assert (found.policies, found.unfilled) == (other.policies, other.unfilled)
    assert found.rollouts == other.rollouts


@pytest.mark.parametrize("column", ["policy", "trial", "seed", "success", "partial_score", "aborted"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    path = table(tmp_path, "new,0,1,True,1.0,False")
    with path.open() as file:
        rows = [
            {name: value for name, value in row.items() if name != column} for row in csv.DictReader(file)
        ]
    with path.open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(
        SimrealError, match=f"no column {column!r}; a table of `simreal deploy --outcomes` has"
    ):
        read_outcomes(path)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("new,0,1,maybe,1.0,False", "row 2: success 'maybe': takes True, False or nothing"),
        ("new,0,1,True,1.0,soon", "row 2: aborted 'soon': takes True, False or nothing"),
        (",0,1,True,1.0,False", "row 2: policy '': takes the name of what ran"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(SimrealError) as caught:
        read_outcomes(table(tmp_path, row))
    assert words in str(caught.value)


def test_two_policies_are_needed_and_told_apart(tmp_path: Path) -> None:
    found = read_outcomes(table(tmp_path, "runs/a,0,1,True,1.0,False"))
    with pytest.raises(SimrealError, match="outcomes of runs/a only; a comparison takes two policies"):
        primary_pair(found.policies, None, None)
    found = read_outcomes(table(tmp_path, "runs/a,0,1,True,1.0,False", "runs/b,0,1,True,1.0,False"))
    with pytest.raises(SimrealError, match="which pair is primary"):
        primary_pair(found.policies, None, None)
    with pytest.raises(SimrealError, match="--candidate runs/c: not among the policies"):
        primary_pair(found.policies, "runs/c", None)
