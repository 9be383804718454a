"""Shadow sends nothing and sees what the operator did; replay of a log finds what was decided then."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from policies import PolicyBundle
from simreal.cli import main
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.data.lerobot_writer import DatasetNames, write_dataset
from simreal.deploy.clock import Unpaced
from simreal.deploy.comparison import Comparison, Did
from simreal.deploy.deciding import Choice
from simreal.deploy.fit import make_controller, robot_spec
from simreal.deploy.limits import Limits
from simreal.deploy.rig import Rig
from simreal.deploy.robot import Mapping, Values
from simreal.deploy.robot_side import Seen
from simreal.deploy.runtime import OnnxRuntime
from simreal.deploy.shadow import Shadow
from simreal.deploy.simulated import SimulatedRobot


class Operated(SimulatedRobot):
    """A simulated robot that an operator moves away from its base, a little in every control period."""

    def __init__(self, controller: Any, mapping: Mapping) -> None:
        super().__init__(pacing="lock-step")
        self._controller, self._mapping = controller, mapping
        self.sent = 0

    def get_observation(self) -> Values:
        values = super().get_observation()
        joints = self._mapping.joint_positions(values)
        targets = self._controller.joint_targets(joints, np.array([0.2, 0.0, 0.0]))
        super().send_action(self._mapping.action(targets))
        return values

    def send_action(self, action: Values) -> Values:
        self.sent += 1
        return action


def test_shadow_sends_nothing_and_sees_what_the_operator_did(untrained_model: Path, tmp_path: Path) -> None:
    runtime = OnnxRuntime(untrained_model)
    spec, controller = robot_spec(runtime.manifest), make_controller(runtime.manifest)
    mapping = Mapping.default(spec.joint_names)
    robot = Operated(controller, mapping)
    robot.connect()
    try:
        rig = Rig(robot, spec, mapping, controller, Limits.of_robot(spec.name, spec.joint_names), 0.05, [])
        watcher = Shadow(rig, runtime, Unpaced(0.05))
        watcher.watch(12)
    finally:
        robot.disconnect()
    assert robot.sent == 0
    rows = pq.read_table(watcher.comparison.write(tmp_path / "rows.parquet")).to_pylist()
    assert len(rows) == 11
    moved = np.array([row["operator_action"] for row in rows])
    assert moved[3:, 0].mean() == pytest.approx(0.01, rel=0.5)  # 0.2 of 0.05 m, once the servo follows
    assert np.abs(moved[:, 0]).mean() > 5 * np.abs(moved[:, 1]).mean()
    whole = sum(np.array(row["operator_joints_rad"]) for row in rows)
    assert np.abs(whole).max() > 0.01


@pytest.fixture(scope="module")
def log(untrained_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes of the untrained policy."""
    out = tmp_path_factory.mktemp("log") / "run"
    arguments = ["deploy", "--policy", str(untrained_model), "--pacing", "lock-step", "--episodes", "2"]
    assert main([*arguments, "--steps", "8", "--out", str(out), "--quiet"]) == 0
    return out


def replay(model: Path, log: Path, out: Path) -> dict[str, Any]:
    arguments = ["deploy", "--policy", str(model), "--mode", "replay", "--log", str(log), "--quiet"]
    assert main([*arguments, "--out", str(out)]) == 0
    found: dict[str, Any] = json.loads((out / "result.json").read_text())["comparison"]
    return found


@pytest.mark.parametrize("part", [".", "dataset"])
def test_replay_of_its_own_log_finds_the_same_decisions(
    untrained_model: Path, log: Path, tmp_path: Path, part: str
) -> None:
    found = replay(untrained_model, log / part, tmp_path / "replay")
    assert found["observations"] >= 15
    assert found["episodes"] == 2
    assert max(row["error_p99"] for row in found["action"]) < 1e-6
    assert found["cosine"] == pytest.approx(1.0, abs=1e-5)
    if part == "dataset":  # by the same controller; what the log says was sent has been through the filter
        assert max(row["error_p99"] for row in found["joints"]) < 1e-4


def test_replay_of_opposite_actions_finds_no_agreement(
    untrained_model: Path, log: Path, tmp_path: Path
) -> None:
    dataset = LeRobotDataset(log / "dataset")
    names = DatasetNames(dataset.proprio_names, dataset.action_names, "reach")
    signs = [np.where(np.abs(episode.actions) < 0.1, 0.5, episode.actions) for episode in dataset]
    opposite = [
        dataclasses.replace(episode, actions=-sign.astype(np.float32))
        for episode, sign in zip(dataset, signs, strict=True)
    ]
    write_dataset(tmp_path / "opposite", opposite, dataset.fps, names)
    found = replay(untrained_model, tmp_path / "opposite", tmp_path / "replay")
    told = [row["same_direction"] for row in found["action"] if row["moving"] > 8]
    assert found["cosine"] < 0
    assert all(share < 0.5 for share in told)


def test_replay_refuses_what_is_no_log(untrained_model: Path, tmp_path: Path, capsys: Any) -> None:
    arguments = ["deploy", "--policy", str(untrained_model), "--mode", "replay", "--out", str(tmp_path / "o")]
    assert main([*arguments, "--log", str(tmp_path)]) == 2
    assert "no LeRobot dataset" in capsys.readouterr().err
    assert main(arguments) == 2
    assert "--log" in capsys.readouterr().err


def test_figures_of_a_comparison(untrained: PolicyBundle) -> None:
    comparison = Comparison(untrained.manifest, tuple("abcdefg"))
    zero, drifts = np.zeros(7), (0.5, 1.5, 0.5, 0.5)
    for k, drift in enumerate(drifts):
        choice = Choice(zero + 0.1, None, np.array([1.0, 0.5, 0.01]), drift, False)
        sign = -1.0 if k == 0 else 1.0
        did = Did(np.array([0.5, sign * 0.5, 1.0]), zero + 0.2)
        comparison.add(k // 2, Seen(zero, 0.0, {}, float(k)), choice, did)
    found = comparison.summary()
    x, y, z = found["action"]
    assert (x["name"], x["bias"], x["error_p50"]) == ("x_m", pytest.approx(0.025), pytest.approx(0.025))
    assert (y["same_direction"], y["moving"]) == (0.75, 4)
    assert (z["same_direction"], z["moving"]) == (None, 0)
    assert found["joints"][0]["bias"] == pytest.approx(-0.1)
    assert found["drift"]["above_threshold"] == 0.25
    assert found["episodes"] == 2
