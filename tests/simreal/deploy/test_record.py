"""Recording with a real keyboard at a real prompt; leaders; what interruptions leave."""

import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import PolicyBundle
from simreal.cli import main
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.deploy.fit import make_controller, robot_spec
from simreal.deploy.gamepad import GamepadLeader
from simreal.deploy.keyboard import KeyboardLeader, Keys
from simreal.deploy.leader import LeaderRuntime
from simreal.deploy.recorder import finish
from simreal.deploy.robot import Mapping, Values
from simreal.deploy.simulated import SimulatedRobot
from simreal.deploy.trials import Table
from simreal.errors import SimrealError

_CTRL_C = "\x03"


class Terminal:
    """A command at a pseudo-terminal, and a person who reads and types."""

    def __init__(self, arguments: list[str]) -> None:
        self._end, other = pty.openpty()
        self._other, self.before = other, termios.tcgetattr(other)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simreal.cli", *arguments],
            stdin=other, stdout=other, stderr=other, start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # makes it the controlling one
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"},
        )  # fmt: skip
        self.seen = ""

    @property
    def settings(self) -> list[Any]:
        return termios.tcgetattr(self._other)

    def wait_for(self, text: str, seconds: float = 120.0) -> None:
        """Read until `text` comes; what came before it is forgotten."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} did not come; seen: {self.seen[-2000:]}"
            if select.select([self._end], [], [], 0.1)[0]:
                self.seen += os.read(self._end, 4096).decode()
            assert self.process.poll() is None or text in self.seen, self.seen[-2000:]
        self.seen = self.seen.split(text, 1)[1]

    def type(self, keys: str, times: int = 1, every_s: float = 0.05) -> None:
        for _ in range(times):
            os.write(self._end, keys.encode())
            time.sleep(every_s)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._end)
        os.close(self._other)


def record_arguments(policy: Path, out: Path, *more: str) -> list[str]:
    options = ["--pacing", "lock-step", "--episodes", "2", "--steps", "60", "--out", str(out)]
    return ["record", "--policy", str(policy), *options, *more]


@pytest.fixture(scope="module")
def recording(untrained_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person records: a success, one to be done again, a failure, and ctrl-C in the middle of the next."""
    out = tmp_path_factory.mktemp("recording") / "run"
    terminal = Terminal(record_arguments(untrained_model, out, "--scorer", "ann"))
    try:
        for number, key, answer in ((0, "w", "s"), (1, "a", "r"), (1, "a", "f")):
            terminal.wait_for(f"episode {number}: Enter begins")
            terminal.type("\n")
            terminal.wait_for("runs: Enter ends it")
            terminal.type(key, times=12)
            terminal.type("\n")
            terminal.wait_for("s success, f failure")
            terminal.type(answer)
        terminal.wait_for("episode 2: Enter begins")
        assert terminal.settings != terminal.before  # keys come one by one
        terminal.type("\n")
        terminal.wait_for("runs: Enter ends it")
        terminal.type("w", times=4)
        terminal.type(_CTRL_C)
        terminal.wait_for("stopped; ")
        terminal.type(_CTRL_C)
        terminal.wait_for("episode 2: unscored")
        while terminal.process.poll() is None:
            select.select([], [], [], 0.05)
        assert terminal.process.returncode == 0
        assert terminal.settings == terminal.before
    finally:
        terminal.close()
    return out


def test_the_scores_are_what_the_person_typed(recording: Path) -> None:
    head = (recording / "scores.csv").read_text().split("\n")[0]
    rows = Table(recording / "scores.csv", tuple(head.split(","))).rows()
    assert [row["verdict"] for row in rows] == ["success", "redo", "failure", "unscored"]
    assert [row["trial"] for row in rows] == ["0", "1", "1", "2"]
    assert rows[1]["seed"] == rows[2]["seed"] != rows[0]["seed"]
    assert {row["scorer"] for row in rows} == {"ann"}
    told = json.loads((recording / "result.json").read_text())["recording"]
    assert (told["successes"], told["failures"], told["lost"], told["stopped"]) == (1, 1, 0, "ctrl-C")


def test_the_dataset_holds_what_the_keys_did(recording: Path) -> None:
    first, second = LeRobotDataset(recording / "dataset")
    assert (first.success, second.success) == (True, False)
    for episode, axis in ((first, 0), (second, 1)):
        pressed = episode.actions[:, axis] > 0
        assert pressed.sum() >= 3  # 12 presses 50 ms apart; on a busy machine the loop sees fewer of them
        assert np.allclose(episode.actions[pressed, axis], 0.3)
        assert np.abs(np.delete(episode.actions, axis, axis=1)).max() == 0
        moved = episode.proprio[-1, 7 + axis] - episode.proprio[0, 7 + axis]
        assert moved > 0.005


def test_adapt_takes_the_recording(recording: Path, untrained: PolicyBundle, tmp_path: Path) -> None:
    untrained.save(tmp_path / "policy")
    arguments = ["adapt", "--policy", str(tmp_path / "policy"), "--demos", str(recording / "dataset")]
    how = ["--method", "head-only", "--preset", "smoke", "--quiet", "--out", str(tmp_path / "adapted")]
    assert main([*arguments, *how]) == 0
    assert (tmp_path / "adapted" / "policy" / "policy.safetensors").is_file()


def test_a_recording_is_not_begun_anew_by_accident(
    recording: Path, untrained_model: Path, capsys: Any
) -> None:
    (recording / "result.json").unlink(missing_ok=True)
    assert main(record_arguments(untrained_model, recording)) == 2
    assert "--resume" in capsys.readouterr().err


def test_an_episode_that_is_not_whole_is_left_out(
    recording: Path, untrained: PolicyBundle, tmp_path: Path
) -> None:
    subprocess.run(["cp", "-r", recording, tmp_path / "copy"], check=True)
    scores = tmp_path / "copy" / "scores.csv"
    lines = scores.read_text().splitlines()
    fields = lines[1].split(",")
    fields[5] = str(int(fields[5]) + 3)  # more steps than the log has, as after a kill
    scores.write_text("\n".join([lines[0], ",".join(fields), *lines[2:]]) + "\n0,7,3,cut sh")
    made = finish(tmp_path / "copy", untrained.manifest)
    assert (made.successes, made.failures, made.lost) == (0, 1, 1)


def test_without_a_terminal_nobody_can_score(
    untrained_model: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull, encoding="utf-8") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert main(record_arguments(untrained_model, tmp_path / "out", "--quiet")) == 2
    assert "no terminal" in capsys.readouterr().err


def test_a_simulated_robot_tells_its_true_state_only_when_asked(world: Any) -> None:
    robot = SimulatedRobot(pacing="lock-step")
    robot.reveal()
    robot.connect()
    try:
        robot.reset(5)
        observation, _ = world.reset(seed=5, options={"domain": "nominal"})
        assert np.allclose(robot.privileged, observation["privileged"], atol=1e-6)
    finally:
        robot.disconnect()


def test_a_teacher_leads_a_simulated_robot_in_sessions(smoke_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = [
        "record",
        "--policy",
        str(smoke_run / "policy"),
        "--leader",
        "teacher",
        "--pacing",
        "lock-step",
    ]
    arguments += [
        "--teacher",
        str(smoke_run / "teacher"),
        "--domain",
        "workshop",
        "--out",
        str(out),
        "--quiet",
    ]
    arguments += ["--steps", "60"]
    assert main([*arguments, "--episodes", "1"]) == 0
    assert main([*arguments, "--episodes", "2", "--resume"]) == 0
    dataset = LeRobotDataset(out / "dataset")
    assert sum(episode.success for episode in dataset) == 2
    assert sorted(path.name for path in (out / "sessions").iterdir()) == ["000", "001"]
    told = json.loads((out / "result.json").read_text())["recording"]
    assert (told["successes"], told["frames"], told["lost"]) == (2, sum(dataset.lengths), 0)


class Arm:
    """A leader arm: joint targets under the robot's own keys."""

    def __init__(self, targets: Values) -> None:
        self.targets = targets
        self.action_features = dict.fromkeys(targets, float)

    def connect(self, calibrate: bool = True) -> None: ...

    def get_action(self) -> Values:
        return self.targets

    def disconnect(self) -> None: ...


@settings(max_examples=40, deadline=None)
@given(offset=st.lists(st.floats(-0.3, 0.3), min_size=7, max_size=7))
def test_a_leader_arm_is_followed_as_far_as_a_full_action(
    untrained: PolicyBundle, offset: list[float]
) -> None:
    spec, controller = robot_spec(untrained.manifest), make_controller(untrained.manifest)
    mapping, home = Mapping.default(spec.joint_names), np.array(spec.home_rad)
    forward = controller.kinematics.forward
    here, there = forward(home), forward(home + offset)
    leads = LeaderRuntime(Arm(mapping.action(home + offset)), untrained.manifest, controller, mapping)
    decision = leads.decide({"proprio": np.array([*home, *here, 0.08], np.float32)})
    way = there - here
    wanted = way / max(1.0, np.abs(way).max() / controller.scale)
    assert np.allclose(decision.action, wanted, atol=1e-6)
    controller.kinematics.close()


def test_a_leader_that_lacks_a_joint_is_refused(untrained: PolicyBundle) -> None:
    spec, controller = robot_spec(untrained.manifest), make_controller(untrained.manifest)
    mapping = Mapping.default(spec.joint_names)
    targets = mapping.action(np.array(spec.home_rad))
    targets["panda_joint_1.pos"] = targets.pop(next(iter(targets)))
    with pytest.raises(SimrealError, match="leader Arm: its action has no"):
        LeaderRuntime(Arm(targets), untrained.manifest, controller, mapping)


def test_a_key_moves_the_arm_only_as_long_as_it_is_held() -> None:
    reading, writing = os.pipe()
    now = [0.0]
    with os.fdopen(reading) as file:
        leader = KeyboardLeader(Keys(file), clock=lambda: now[0])
        os.write(writing, b"wo")
        assert leader.get_action() == {"delta_x": 0.3, "delta_y": 0.0, "delta_z": 0.0, "gripper": 2.0}
        now[0] = 0.1
        os.write(writing, b"xs")
        assert leader.get_action()["delta_x"] == 0.0  # both ways at once
        now[0] = 0.2
        assert leader.get_action()["delta_x"] == -0.3
        now[0] = 0.3
        assert leader.get_action()["delta_x"] == 0.0
        os.close(writing)


def test_a_gamepad_leads_as_far_as_its_sticks_are_pushed(tmp_path: Path) -> None:
    device = tmp_path / "js0"
    os.mkfifo(device)  # a real device gives the same records
    leader = GamepadLeader(device)
    leader.connect()
    writing = os.open(device, os.O_WRONLY)
    try:
        for value, kind, number in ((-32767, 2, 1), (16384, 2, 0), (900, 0x82, 4), (1, 1, 0)):
            os.write(writing, struct.pack("IhBB", 0, value, kind, number))
        told = leader.get_action()
        assert told["delta_x"] == 1.0
        assert told["delta_y"] == pytest.approx(-0.5, abs=1e-3)
        assert (told["delta_z"], told["gripper"]) == (0.0, 2.0)  # near the middle is the middle
        os.write(writing, struct.pack("IhBB", 0, 1, 1, 1))
        assert leader.get_action() == told | {"gripper": 0.0}  # a stick that is held tells nothing new
    finally:
        os.close(writing)
        leader.disconnect()
    with pytest.raises(SimrealError, match="No such file"):
        GamepadLeader(tmp_path / "none").connect()
