"""A study on a real Ray cluster of several nodes, one killed on the way, and then all of them."""

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray
from ray.cluster_utils import Cluster

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.cli import main
from simreal.cluster import RayCluster
from simreal.errors import SimrealError
from simreal.study import Cell, Computed, Place, Source, Table, cell, compute, run_cell
from simreal.study.store import Store
from simreal.targets import parse_target

SIZES = {"demos": 1, "frames": 10, "updates": 2, "episodes": 2}
PLAN = """
sources: [{run}]
targets: [blur]
methods: [finetune]
budgets: [{{demos: 1}}]
seeds: 6
episodes: 2
updates: 2
tuning_updates: 2
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without a CPU, and two nodes with one each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # 15 otherwise: what else runs would stop the tests
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        cluster.add_node(wait=False)
        cluster.add_node(wait=False)
        cluster.wait_for_nodes()
        yield cluster
        cluster.shutdown()


@pytest.fixture(scope="module")
def source(smoke_run: Path) -> Source:
    return Source.of_run(smoke_run)


def held(folder: str, place: Place, sha256: str, each: Cell) -> dict[str, Any]:
    """Compute a cell once the folder has `go`; tell there that it was begun, by whom and where."""
    node = ray.get_runtime_context().get_node_id()
    (Path(folder) / f"{node}-{os.getpid()}-{uuid.uuid4().hex}").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.02)
    return run_cell(place, sha256, each)


def kill_one_of_two(cluster: Cluster, folder: Path) -> None:
    """Kill a node, and what runs there, when both have begun a cell; then let the cells go on."""
    while len(begun := [path.name.split("-") for path in folder.iterdir()]) < 2:
        time.sleep(0.02)
    node = next(node for node in cluster.worker_nodes if node.node_id == begun[0][0])
    cluster.remove_node(node, allow_graceful=False)
    os.kill(int(begun[0][1]), signal.SIGKILL)
    (folder / "go").touch()


def test_every_cell_is_the_same_though_a_node_is_killed(
    cluster: Cluster, source: Source, smoke_run: Path, tmp_path: Path
) -> None:
    target, rates = parse_target("blur@3", source.env_id), {TARGET_ONLY: 1e-3}
    wanted = [
        cell(target, name, 900, seed, **SIZES, learning_rate=rates.get(name))
        for seed in (0, 1)
        for name in (ZERO_SHOT, "finetune", "coral", TARGET_ONLY)
    ]
    here, there = Table(tmp_path / "here.parquet"), Table(tmp_path / "there.parquet")
    assert compute("here", source, wanted, here) == Computed(0, [])

    (begun := tmp_path / "begun").mkdir()
    killer = threading.Thread(target=kill_one_of_two, args=(cluster, begun))
    killer.start()
    ray_cluster = RayCluster(cluster.address)
    assert ray_cluster.worker_count() == 2
    place = Store(str(tmp_path / "store")).put_source(smoke_run)
    try:
        shared = Source(**vars(source) | {"place": Place(place, place)})
        work = functools.partial(held, str(begun))
        assert compute("there", shared, wanted, there, executor=ray_cluster, work=work) == Computed(0, [])
    finally:
        ray_cluster.shut_down()
    killer.join()
    assert len(list(begun.iterdir())) == len(wanted) + 1 + 1  # one was begun twice; and `go`
    assert told(there.rows(source, wanted)) == told(here.rows(source, wanted))


def told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows without how long they took."""
    assert len(rows) == 8
    return [row | {"seconds": 0.0, "train_seconds": 0.0} for row in rows]


def test_a_lost_cluster_is_one_error_and_the_study_goes_on_elsewhere(
    cluster: Cluster, smoke_run: Path, tmp_path: Path
) -> None:
    plan, out = tmp_path / "study.yaml", tmp_path / "study"
    plan.write_text(PLAN.format(run=smoke_run))
    command = ["study", str(plan), "--out", str(out), "--quiet"]
    on_ray = [*command, "--executor", "ray", "--address", cluster.address]
    # How long a driver without its cluster hopes: 60 s otherwise.
    environment = os.environ | {"RAY_gcs_rpc_server_reconnect_timeout_s": "3"}
    process = subprocess.Popen(
        [sys.executable, "-m", "simreal.cli", *on_ray],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    end = time.monotonic() + 200
    while len(Table(out / "cells.parquet")._rows) < 2:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)
    for node in list(cluster.worker_nodes):
        cluster.remove_node(node, allow_graceful=False)
    cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
    (line,) = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 2
    assert line.startswith(f"simreal: the Ray cluster at {cluster.address} is lost: ")
    assert line.endswith(f"{out} has what is finished: start again to go on")

    kept = pq.read_table(out / "cells.parquet").to_pylist()
    assert 2 <= len(kept) < 18
    (copy,) = (out / "store" / "tables").iterdir()
    assert pq.read_table(copy).to_pylist() == kept
    (out / "cells.parquet").unlink()
    Store(str(out / "store")).fetch_table(out / "cells.parquet")  # as on another driver's disk
    assert main(command) == 0
    rows = {row["key"]: row for row in pq.read_table(out / "cells.parquet").to_pylist()}
    assert len(rows) == 18
    assert all(rows[row["key"]] == row for row in kept)  # to the second: not computed again
    assert json.loads((out / "result.json").read_text())["study"]["computed"] == 18


@pytest.mark.parametrize(
    ("address", "said"),
    [("127.0.0.1:1", "no Ray cluster answers there"), ("ray://10.0.0.1", "takes HOST:PORT")],
)
def test_no_cluster_at_an_address_is_one_error(address: str, said: str) -> None:
    with pytest.raises(SimrealError, match=f"^--address {address}: {said}"):
        RayCluster(address)
