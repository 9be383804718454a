"""`simreal study` from its file to its page, killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import jsonschema
import pyarrow.parquet as pq
import pytest

from simreal.cli import main
from simreal.study.table import Table

SCHEMA = json.loads(files("simreal").joinpath("schemas/result.json").read_text())
PLAN = """
sources: [{run}]
targets: [blur, joint-friction@3]
severities: [1, 3]
methods: [finetune, color-match]
budgets: [{{demos: 1, frames: 10}}]
seeds: 1
episodes: 2
updates: 2
tuning_updates: 2
"""


def test_a_killed_study_goes_on_and_reports(smoke_run: Path, tmp_path: Path) -> None:
    plan, out = tmp_path / "study.yaml", tmp_path / "study"
    plan.write_text(PLAN.format(run=smoke_run))
    command = [sys.executable, "-m", "simreal.cli", "study", str(plan), "--out", str(out), "--quiet"]
    kept = killed_with_cells(command, out / "cells.parquet", 3)
    assert main(command[3:]) == 0

    rows = {row["key"]: row for row in pq.read_table(out / "cells.parquet").to_pylist()}
    assert all(rows[row["key"]] == row for row in kept)  # to the second: not computed again
    result = json.loads((out / "result.json").read_text())
    jsonschema.validate(result, SCHEMA)
    study = result["study"]
    # Three targets, four candidates; whether the expert fails in the third decides the rest.
    assert study["cells"] == 12 == study["computed"] + len(study["refused"])
    assert study["failed"] == []
    assert all("demonstrations cannot be recorded" in item["reason"] for item in study["refused"])
    assert set(study["recommended"]) == {"inductive", "transductive"}
    first = study["compared"][0]
    assert set(first["success"]) == {"zero-shot", "target-only", "finetune", "color-match"}
    assert [(c["candidate"], c["baseline"], c["primary"]) for c in first["comparisons"]][:2] == [
        ("finetune", "target-only", True),
        ("finetune", "zero-shot", False),
    ]
    episodes = pq.read_table(out / "episodes.parquet").to_pylist()
    assert len(episodes) == 2 * len(rows)
    for key, row in rows.items():
        mine = [episode["success"] for episode in episodes if episode["key"] == key]
        assert sum(mine) / len(mine) == row["success_rate"]

    before = (out / "cells.parquet").stat().st_mtime_ns
    assert main(command[3:]) == 0
    assert (out / "cells.parquet").stat().st_mtime_ns == before
    assert main(["report", "--out", str(out), "--quiet"]) == 0
    page = (out / "report.html").read_text()
    assert page.count("data:image/png") == 5  # two severities, over two baselines; a curve
    assert "Success over severity" in page


def killed_with_cells(command: list[str], path: Path, count: int) -> list[dict[str, object]]:
    """Start a study, kill it and its workers once its table has some cells, and return them."""
    process = subprocess.Popen(command, start_new_session=True)
    end = time.monotonic() + 300
    while not path.is_file() or pq.read_metadata(path).num_rows < count:
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert 3 <= len(Table(path)._rows) < 12
    return pq.read_table(path).to_pylist()


def test_options_of_a_cluster_belong_to_it(
    smoke_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "study.yaml"
    plan.write_text(PLAN.format(run=smoke_run))
    command = ["study", str(plan), "--out", str(tmp_path / "study"), "--quiet"]
    assert main([*command, "--address", "10.0.0.1:6379"]) == 2
    assert capsys.readouterr().err == "simreal: --address 10.0.0.1:6379: belongs to --executor ray\n"
    monkeypatch.setattr("simreal.cluster.find_spec", lambda name: None)
    assert main([*command, "--executor", "ray"]) == 2
    assert "pip install 'simreal[ray]'" in capsys.readouterr().err
