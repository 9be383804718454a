"""A study at its smallest, on a real run: nothing is computed twice, and nothing is lost."""

import dataclasses
import json
import tempfile
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policies import Policy
from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.data.demonstrations import demonstrate
from simreal.data.source import SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.study import Cell, Computed, Source, Table, cell, compute, keeping
from simreal.study.table import write_table
from simreal.targets import parse_target
from simreal.transfer import Problem, SourceAccess, method

SIZES = {"demos": 2, "frames": 10, "steps": 5, "updates": 2, "episodes": 2}


@pytest.fixture(scope="module")
def source(smoke_run: Path) -> Source:
    return Source.of_run(smoke_run)


def cells(source: Source) -> list[Cell]:
    target = parse_target("blur@3", source.env_id)
    names = (ZERO_SHOT, "finetune", "coral", TARGET_ONLY)
    rates = {TARGET_ONLY: 1e-3}
    return [cell(target, name, 900, 0, **SIZES, learning_rate=rates.get(name)) for name in names]


def recorded(source: Source) -> TargetData:
    target = parse_target("blur@3", source.env_id)
    return TargetData.of_episodes(demonstrate(target.open(privileged=True), source.teacher, 2, 0))


def test_an_interrupted_study_goes_on(source: Source, tmp_path: Path) -> None:
    wanted, table = cells(source), Table(tmp_path / "t.parquet")
    assert compute("study", source, wanted, table, minutes=0) == Computed(len(wanted), [])
    assert table.rows(source, wanted) == []
    assert compute("study", source, wanted[:2], table) == Computed(0, [])
    first = table.rows(source, wanted)
    assert compute("study", source, wanted, Table(table.path)) == Computed(0, [])
    rows = Table(table.path).rows(source, wanted)
    assert rows[:2] == first  # to the second: not computed again
    assert [row["candidate"] for row in rows] == [each.candidate for each in wanted]
    assert [row["demos"] for row in rows] == [0, 2, 0, 2]
    assert [row["frames"] for row in rows] == [0, 0, 10, 0]
    assert all(0 <= row["success_rate"] <= 1 for row in rows)


def test_a_target_that_the_expert_cannot_solve_refuses_demonstrations_and_nothing_else(
    source: Source, tmp_path: Path
) -> None:
    hard, table = parse_target("joint-friction@5", source.env_id), Table(tmp_path / "t.parquet")
    wanted = [cell(hard, name, 900, 0, **SIZES) for name in ("finetune", ZERO_SHOT)]
    computed = compute("study", source, wanted, table)
    ((refused, reason),) = computed.refused
    assert refused == wanted[0]
    assert "demonstrations cannot be recorded" in reason
    assert [row["candidate"] for row in table.rows(source, wanted)] == [ZERO_SHOT]


def test_a_key_tells_everything_that_decides(source: Source) -> None:
    zero, tuned, *_ = cells(source)
    keys = {zero.key(source), tuned.key(source)}
    for name, value in (("seed", 1), ("run_seed", 7), ("demos", 3), ("updates", 5), ("episodes", 4)):
        keys.add(dataclasses.replace(tuned, **{name: value}).key(source))
    keys.add(dataclasses.replace(tuned, target=parse_target("blur@4", source.env_id)).key(source))
    keys.add(tuned.key(dataclasses.replace(source, sha256="another")))
    assert len(keys) == 9
    assert cell(zero.target, ZERO_SHOT, 900, 0, **SIZES | {"demos": 5}).key(source) == zero.key(source)


def test_a_damaged_table_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(SimrealError, match=r"t\.parquet: truncated or damaged"):
        Table(path)


def stored(path: Path, count: int) -> list[dict[str, object]]:
    """Add rows as a study does, without its end: the process is killed."""
    rows = [
        {"key": f"{number:02}", "returns": [number / 3], "learning_rate": None} for number in range(count)
    ]
    table = Table(path)
    for row in rows:
        table.add(row)
    return rows


@given(count=st.integers(1, 20), cut=st.integers(0, 200))
def test_whatever_was_being_written_no_cell_that_was_added_is_lost(count: int, cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        rows = stored(path, count)
        with (path.with_suffix(".journal")).open("ab") as journal:
            journal.write(json.dumps({"key": "torn", "returns": [0.1] * 60}).encode()[:cut])
        table = Table(path)
        assert [table[row["key"]] for row in rows] == rows
        assert "torn" not in table
        table.add(added := {"key": "later", "returns": [0.5], "learning_rate": 0.1})
        again = Table(path)
        assert [again[row["key"]] for row in (*rows, added)] == [*rows, added]
        again.merge()
        assert not path.with_suffix(".journal").exists()
        assert pq.read_table(path).to_pylist() == [*rows, added]


def test_killed_between_the_two_files_of_a_merge(tmp_path: Path) -> None:
    rows = stored(tmp_path / "t.parquet", 5)
    write_table(tmp_path / "t.parquet", rows)  # and then the journal would be deleted
    table = Table(tmp_path / "t.parquet")
    table.merge()
    assert pq.read_table(tmp_path / "t.parquet").to_pylist() == rows


def test_a_reader_beside_a_study_sees_every_cell_that_was_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simreal.study.table._MERGE_S", 0.005)  # so that both files are often replaced
    path, count = tmp_path / "t.parquet", 1000
    added = [0]

    def study() -> None:
        table = Table(path)
        for number in range(count):
            table.add({"key": f"{number}", "returns": [number / 3] * (number % 40)})
            added[0] = number + 1

    writer = threading.Thread(target=study)
    writer.start()
    while writer.is_alive():
        before = added[0]
        assert len(list(Table(path))) >= before
    writer.join()
    assert len(list(Table(path))) == count


def test_a_table_is_written_whole_a_few_times_only(tmp_path: Path) -> None:
    written: list[Path] = []
    table = Table(tmp_path / "t.parquet", written.append)
    for number in range(1000):
        table.add({"key": str(number)})
    table.merge()
    assert 9 <= len(written) <= 13  # powers of two, and the end


def test_a_damaged_journal_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "t.journal").write_text('{"key": "a"}\n{"ke\n{"key": "b"}\n')
    with pytest.raises(SimrealError, match=r"t\.journal: damaged"):
        Table(tmp_path / "t.parquet")


def test_what_looks_at_no_target_is_made_once_and_given_out_as_copies(source: Source) -> None:
    made: list[str] = []

    def make() -> Policy:
        made.append("")
        return Policy.from_arrays(source.policy.config, source.policy.to_arrays())

    first = keeping("a source", "maml", 0)("weights", make)
    with torch.no_grad():
        next(first.parameters()).add_(1.0)  # as adapting to the first target does
    second = keeping("a source", "maml", 0)("weights", make)
    assert len(made) == 1
    torch.testing.assert_close(next(second.parameters()), next(source.policy.parameters()), rtol=0, atol=0)
    keeping("a source", "maml", 1)("weights", make)
    keeping("another", "maml", 0)("weights", make)
    keeping("a source", "maml", 0)("others", make)
    assert len(made) == 4


@pytest.mark.parametrize("name", ["maml", "latent-search", "random-conv"])
def test_a_second_target_learns_the_same_from_what_was_kept(
    source: Source, smoke_run: Path, name: str
) -> None:
    demonstrations = recorded(source)
    access = SourceAccess(SourceData.open(smoke_run / "source"), source.domain)
    fresh = Problem(source.policy, 0, demonstrations, access, updates=6)
    kept = dataclasses.replace(fresh, once=keeping("kept", name))
    alone, first, second = (method(name).adapt(problem).to_arrays() for problem in (fresh, kept, kept))
    assert all(np.array_equal(alone[key], first[key]) for key in alone)
    assert all(np.array_equal(alone[key], second[key]) for key in alone)
