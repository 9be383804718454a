"""`simreal deploy` as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import gymnasium
import jsonschema
import pytest

import envs  # noqa: F401  registers the ids
from policies import Policy
from simreal.bundles import describe
from simreal.cli import main
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.export import export
from simreal.pretrain.architecture import student_config

SCHEMA = json.loads(files("simreal").joinpath("schemas/result.json").read_text())


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle in `policy`, one with a negative verdict in `worse`, and the first as a model."""
    folder = tmp_path_factory.mktemp("bundles")
    env = gymnasium.make("simreal/PandaReach-v0")
    policy = Policy(student_config(env)).eval()
    bundle = describe(policy, env, "simreal/PandaReach-v0", "source", 0, {})
    bundle.save(folder / "policy")
    verdict = {"verdict": "negative", "baseline": "zero-shot", "ci_low": -0.3, "ci_high": -0.1}
    describe(policy, env, "simreal/PandaReach-v0", "source", 0, {"verdict": verdict}).save(folder / "worse")
    export(bundle, folder / "policy.onnx", None, 0.01)
    env.close()
    return folder


def deployment(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "result.json").read_text())
    jsonschema.validate(found, SCHEMA)
    return found["deployment"]


def test_a_model_in_lock_step(bundles: Path, tmp_path: Path, capsys) -> None:
    arguments = ["deploy", "--policy", str(bundles / "policy.onnx"), "--pacing", "lock-step"]
    sizes = ["--episodes", "2", "--steps", "6", "--domain", "blur@2", "--out", str(tmp_path / "d")]
    assert main([*arguments, *sizes]) == 0
    found = deployment(tmp_path / "d")
    assert (found["state"], found["fault"], found["domain"]) == ("stopped", None, "blur@2")
    assert [episode["steps"] for episode in found["episodes"]] == [6, 6]
    assert found["success_rate"] is not None
    assert found["ticks_not_logged"] == 0
    assert [change["after"] for change in found["transitions"]] == [
        *("ramp", "armed", "running") * 2, "hold", "stopped",
    ]  # fmt: skip
    assert LeRobotDataset(Path(found["dataset"])).lengths == [6, 6]
    assert "success" in capsys.readouterr().err
    assert main([*arguments, *sizes]) == 2  # nothing is overwritten unasked
    assert main([*arguments, *sizes, "--overwrite", "--quiet"]) == 0


def test_a_negative_verdict_needs_words(bundles: Path, tmp_path: Path, capsys) -> None:
    arguments = ["deploy", "--policy", str(bundles / "worse"), "--pacing", "lock-step", "--episodes", "1"]
    short = ["--steps", "2", "--out", str(tmp_path / "d")]
    assert main([*arguments, *short]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "verdict: negative" in message
    assert '--override "..."' in message
    assert not (tmp_path / "d" / "result.json").exists()
    words = "a demonstration of what it does"
    assert main([*arguments, *short, "--override", words]) == 0  # a bundle: exported on the way
    found = deployment(tmp_path / "d")
    assert found["override"] == words
    assert found["overridden"][0].startswith("verdict: negative")
    assert (tmp_path / "d" / "policy.onnx").is_file()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--robot", "simulatd"], "did you mean 'simulated'"),
        (["--robot", "json:loads"], "loads() missing 1 required"),
        (["--robot", "os:getcwd"], "str has no name"),
        (["--domain", "blurr"], "did you mean 'blur'"),
        (["--policy", "nowhere"], "nowhere: no such bundle"),
        (["--rate", "50"], "rate: the bundle acts at 20 Hz, the loop at 50 Hz"),
        (["--command-multiple", "0"], "command multiple 0"),
        (["--mapping", "nowhere.yaml"], "no mapping file 'nowhere.yaml'"),
        (["--limits", "nowhere.yaml"], "no limits file 'nowhere.yaml'"),
        (["--seconds", "-1"], "--seconds -1"),
        (["--episodes", "0"], "--episodes 0"),
    ],
)
def test_errors_are_one_line(bundles: Path, tmp_path: Path, capsys, more: list[str], words: str) -> None:
    arguments = ["deploy", "--policy", str(bundles / "policy.onnx"), "--out", str(tmp_path / "d")]
    assert main([*arguments, *more]) == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_process_that_gets_sigterm_brakes_and_says_so(bundles: Path, tmp_path: Path) -> None:
    """Outside and in: the whole program, in real time, ended by the system."""
    command = [sys.executable, "-m", "simreal.cli", "deploy", "--policy", str(bundles / "policy.onnx")]
    options = ["--seconds", "60", "--out", str(tmp_path / "d")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([*command, *options], env=environment, stderr=subprocess.PIPE, text=True)
    transitions = tmp_path / "d" / "transitions.csv"
    deadline = time.monotonic() + 120
    while not (transitions.is_file() and "running" in transitions.read_text()):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)
    sent_s = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    found = deployment(tmp_path / "d")
    rows = [line.split(",") for line in transitions.read_text().splitlines()[-2:]]
    assert [row[2] for row in rows] == ["hold", "stopped"]
    assert rows[0][3] == "SIGTERM"
    lost_s = (found["timing"]["lateness_max_ms"] + found["timing"]["work_max_ms"]) / 1e3
    assert float(rows[0][0]) - sent_s < 0.05 + 0.03 + lost_s
    assert float(rows[1][0]) - sent_s < 0.05 + 0.45 + 0.05 + 0.03 + lost_s
    assert (found["fault"], found["cause"]) == (None, "at rest after: SIGTERM")


def test_a_fault_is_told_and_its_log_is_kept(bundles: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "broken_robot.py").write_text(
        "from simreal.deploy.simulated import SimulatedRobot\n"
        "class Broken(SimulatedRobot):\n"
        "    calls = 0\n"
        "    def get_observation(self):\n"
        "        self.calls += 1\n"
        "        if self.calls > 5:\n"
        "            raise OSError('the cable is out')\n"
        "        return super().get_observation()\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        arguments = ["deploy", "--policy", str(bundles / "policy.onnx"), "--robot", "broken_robot:Broken"]
        assert main([*arguments, "--out", str(tmp_path / "d")]) == 2
    finally:
        sys.path.remove(str(tmp_path))
    assert "stopped: lost robot: the cable is out" in capsys.readouterr().err.strip().splitlines()[-1]
    assert deployment(tmp_path / "d")["fault"] == "lost robot: the cable is out"
