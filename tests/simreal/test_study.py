"""A study at its smallest, on a real run: nothing is computed twice, and nothing is lost."""

import dataclasses
from pathlib import Path

import pytest

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.errors import SimrealError
from simreal.study import Cell, Computed, Source, Table, cell, compute
from simreal.targets import parse_target

SIZES = {"demos": 2, "frames": 10, "steps": 5, "updates": 2, "episodes": 2}


@pytest.fixture(scope="module")
def source(smoke_run: Path) -> Source:
    return Source.of_run(smoke_run)


def cells(source: Source) -> list[Cell]:
    target = parse_target("blur@3", source.env_id)
    names = (ZERO_SHOT, "finetune", "coral", TARGET_ONLY)
    rates = {TARGET_ONLY: 1e-3}
    return [cell(target, name, 900, 0, **SIZES, learning_rate=rates.get(name)) for name in names]


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
