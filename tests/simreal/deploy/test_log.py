import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from policies import BundleManifest, Policy
from simreal.bundles import describe
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.deploy.deciding import Choice
from simreal.deploy.log import Episode, Log, Tick, clear_log
from simreal.deploy.log_dataset import tick_files, write_log_dataset
from simreal.deploy.robot_side import Seen
from simreal.deploy.safety import Filtered
from simreal.deploy.states import State, Transition
from simreal.pretrain.architecture import student_config

JOINTS = 7


@pytest.fixture(scope="module")
def manifest(world) -> BundleManifest:
    import gymnasium

    env = gymnasium.make("simreal/PandaReach-v0")
    return describe(Policy(student_config(env)), env, "simreal/PandaReach-v0", "source", 0, {}).manifest


def tick(number: int, episode: int = 0, decided: bool = True) -> Tick:
    rng = np.random.default_rng(number)
    image = np.full((64, 64, 3), number % 256, np.uint8)
    policy = {"proprio": rng.normal(size=11).astype(np.float32), "image": image}
    joints = rng.normal(size=JOINTS)
    choice = Choice(joints + 1, None, rng.uniform(-1, 1, 3), np.nan, None) if decided else None
    return Tick(
        number * 0.05, 1e-4, 2e-3, episode, number, State.RUNNING,
        Seen(joints, 0.08, policy, number * 0.05 - 0.01),
        choice, joints + 1, Filtered(joints + 0.5, ("velocity", "table")), joints + 0.4,
    )  # fmt: skip


def wait_for(parts: int, folder: Path) -> None:
    deadline = time.monotonic() + 20
    while len(tick_files(folder)) < parts:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_every_tick_is_in_the_log_as_it_was(tmp_path: Path, manifest: BundleManifest) -> None:
    log = Log(tmp_path, manifest, JOINTS, 0.05)
    given = [tick(number, decided=number % 2 == 0) for number in range(150)]
    for number, item in enumerate(given):
        log.add(item)
        if number % 100 == 99:  # a buffer is full: let it be written
            wait_for(1, tmp_path)
    log.transition(Transition(1.5, State.RUNNING, State.HOLD, 'a cause, with "marks"'))
    log.close()
    table = pq.read_table(tmp_path / "ticks")
    assert table.num_rows == 150 == len(given)
    for name in ("commanded_rad", "sent_rad"):
        assert np.array_equal(np.stack(table[name].to_numpy()), [getattr(item, name) for item in given])
    assert np.array_equal(np.stack(table["filtered_rad"].to_numpy()), [item.filtered.sent for item in given])
    assert np.array_equal(
        np.stack(table["observed_rad"].to_numpy()), [item.seen.joints_rad for item in given]
    )
    assert set(table["changed"].to_pylist()) == {"velocity,table"}
    assert set(table["state"].to_pylist()) == {"running"}
    assert np.allclose(table["age_s"].to_numpy(), 0.01)
    assert [value is not None for value in table["image"].to_pylist()] == [n % 2 == 0 for n in range(150)]
    assert log.dropped == 0
    assert 'hold,"a cause, with ""marks"""' in (tmp_path / "transitions.csv").read_text()


def test_a_dataset_is_made_of_the_decisions(
    tmp_path: Path, manifest: BundleManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simreal.deploy.log_dataset.MOST_FRAMES", 30)
    log = Log(tmp_path, manifest, JOINTS, 0.05)
    lengths = (10, 45, 20)
    for episode, length in enumerate(lengths):
        for number in range(length):
            log.add(tick(number, episode))
            log.add(tick(number, episode, decided=False))
        log.episode(Episode(episode, length, "done", success=episode != 2, seed=episode))
        wait_for(sum(lengths[: episode + 1]) * 2 // 100, tmp_path)
    log.close()
    path = write_log_dataset(tmp_path, manifest, "bring the gripper to the red cube", "panda")
    assert path is not None
    episodes = list(LeRobotDataset(path))
    assert [len(episode) for episode in episodes] == [10, 30, 15, 20]  # the long one was cut
    assert [episode.success for episode in episodes] == [True, False, True, False]
    wanted = tick(3)
    assert wanted.choice is not None
    assert np.allclose(episodes[0].actions[3], wanted.choice.action, atol=1e-6)
    assert np.array_equal(episodes[0].proprio[3], wanted.seen.policy["proprio"])
    assert np.array_equal(episodes[0].images[3], wanted.seen.policy["image"])


def test_a_slow_disk_costs_ticks_and_no_memory(tmp_path: Path, manifest: BundleManifest) -> None:
    """The process that writes is stopped by the system for as long."""
    log = Log(tmp_path, manifest, JOINTS, 0.05)
    os.kill(log.process_id, signal.SIGSTOP)
    item, slowest = tick(0), 0.0
    for _ in range(250):  # two buffers of a hundred, and more
        started = time.perf_counter()
        log.add(item)
        slowest = max(slowest, time.perf_counter() - started)
    os.kill(log.process_id, signal.SIGCONT)
    assert log.dropped == 50
    assert slowest < 0.05  # nobody waited
    log.close()
    assert pq.read_table(tmp_path / "ticks").num_rows == 200


def test_a_disk_that_takes_nothing_ends_nothing(tmp_path: Path, manifest: BundleManifest) -> None:
    log = Log(tmp_path, manifest, JOINTS, 0.05)
    (tmp_path / "ticks").rmdir()
    for number in range(120):
        log.add(tick(number))
    log.close()
    assert log.dropped == 120


def test_a_writer_that_was_killed_does_not_stop_the_loop(tmp_path: Path, manifest: BundleManifest) -> None:
    log = Log(tmp_path, manifest, JOINTS, 0.05)
    os.kill(log.process_id, signal.SIGKILL)
    for number in range(250):
        log.add(tick(number))
    log.close()
    assert log.dropped == 250


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = {path!r}
import importlib.util
spec = importlib.util.spec_from_file_location("test_log", {file!r})
test = importlib.util.module_from_spec(spec)
spec.loader.exec_module(test)
import gymnasium, envs
from policies import Policy
from simreal.bundles import describe
from simreal.deploy.log import Log
env = gymnasium.make("simreal/PandaReach-v0")
policy = Policy(test.student_config(env))
manifest = describe(policy, env, "simreal/PandaReach-v0", "source", 0, {{}}).manifest
log = Log(Path({folder!r}), manifest, 7, 0.05)
print(log.process_id, flush=True)
for number in range(10**9):
    dropped = log.dropped
    log.add(test.tick(number))
    if log.dropped == dropped:  # a writer that is kept from the processor costs ticks, which are counted
        print(number, flush=True)
    time.sleep(0.004)
"""


def test_every_tick_outlives_the_loop_s_kill(tmp_path: Path, manifest: BundleManifest) -> None:
    code = KILLED.format(path=sys.path, file=__file__, folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    writer = int(process.stdout.readline())
    wait_for(1, tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{writer}").exists():  # what was not yet written is, by the process that is left
        assert time.monotonic() < deadline
        time.sleep(0.01)
    taken = [int(line) for line in process.stdout]
    steps = pq.read_table(tmp_path / "ticks", columns=["step"])["step"].to_pylist()
    assert len(taken) > 100  # more than a buffer
    assert steps[: len(taken)] == taken
    assert len(steps) <= len(taken) + 1  # killed between the two
    path = write_log_dataset(tmp_path, manifest, "reach", "panda")
    assert path is not None
    assert sum(LeRobotDataset(path).lengths) == len(steps)
    clear_log(tmp_path)
    assert not tick_files(tmp_path)
