"""What a study leaves is read by whatever reads parquet."""

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from simreal.check.candidates import ZERO_SHOT
from simreal.study import Place, Source, Table, cell
from simreal.study.run import CELLS, EPISODES, _episodes
from simreal.study.table import write_table
from simreal.targets import parse_target

SOURCE: Any = Source("p", None, None, Path(), None, (), "simreal/PandaReach-v0", "0", Place("", ""))
RATES = [0.5, 0.25, 1.0]
READERS = ("pandas", "polars", "duckdb")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods on three seeds, four episodes each; nobody has a learning rate."""
    found, target = tmp_path_factory.mktemp("study"), parse_target("blur@3", SOURCE.env_id)
    table = Table(found / CELLS)
    for name in (ZERO_SHOT, "finetune"):
        for seed, rate in enumerate(RATES):
            told = {"success_rate": rate, "frames_used": 3, "seconds": 1.5, "train_seconds": 1.0}
            lists = {"successes": [episode < 4 * rate for episode in range(4)], "steps_taken": [7, 8, 9, 10]}
            row = cell(target, name, 0, seed, demos=10, episodes=4).row(SOURCE)
            table.add(row | told | lists | {"returns": [-0.5, -1.0, 0.0, 2.5]})
    table.merge()
    write_table(found / EPISODES, _episodes(table))
    return found


def read(reader: str, path: Path) -> list[dict[str, Any]]:
    """Return the rows as that reader understands them."""
    if reader == "pandas":
        return pd.read_parquet(path).to_dict("records")
    if reader == "polars":
        return pl.read_parquet(path).to_dicts()
    told = duckdb.sql(f"select * from '{path}'")
    return [dict(zip(told.columns, row, strict=True)) for row in told.fetchall()]


@pytest.mark.parametrize("reader", READERS)
def test_cells(reader: str, folder: Path) -> None:
    rows = read(reader, folder / CELLS)
    assert [row["candidate"] for row in rows] == 3 * [ZERO_SHOT] + 3 * ["finetune"]
    assert [row["demos"] for row in rows] == [0, 0, 0, 10, 10, 10]
    assert [row["success_rate"] for row in rows] == 2 * RATES
    assert all(pd.isna(row["learning_rate"]) for row in rows)
    assert [sum(row["successes"]) / len(row["successes"]) for row in rows] == 2 * RATES
    assert {tuple(row["returns"]) for row in rows} == {(-0.5, -1.0, 0.0, 2.5)}


@pytest.mark.parametrize("reader", READERS)
def test_episodes(reader: str, folder: Path) -> None:
    rows = read(reader, folder / EPISODES)
    assert len(rows) == 24
    assert sum(row["success"] for row in rows) / 24 == pytest.approx(sum(RATES) / 3)
    assert sum(row["return"] for row in rows) / 24 == pytest.approx(0.25)
    assert [row["steps_taken"] for row in rows[:4]] == [7, 8, 9, 10]


def test_means_by_candidate_are_one_line_in_each(folder: Path) -> None:
    path, wanted = folder / CELLS, {ZERO_SHOT: sum(RATES) / 3, "finetune": sum(RATES) / 3}
    by_pandas = pd.read_parquet(path).groupby("candidate")["success_rate"].mean().to_dict()
    by_polars = dict(pl.read_parquet(path).group_by("candidate").agg(pl.col("success_rate").mean()).rows())
    by_duckdb = duckdb.sql(f"select candidate, avg(success_rate) from '{path}' group by all").fetchall()
    assert by_pandas == by_polars == dict(by_duckdb) == pytest.approx(wanted)
    rates = duckdb.sql(f"select count(learning_rate), count(*) from '{path}'").fetchall()
    assert rates == [(0, 6)]
