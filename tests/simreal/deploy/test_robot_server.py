import contextlib
import itertools
import json
import math
import multiprocessing
import multiprocessing.pool
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("cyclonedds", reason="needs the extra ros2")

from envs import load_domain
from simreal.deploy.ros2_config import Ros2Config
from simreal.deploy.ros2_messages import Float64MultiArray, JointState, String
from simreal.deploy.ros2_node import LOOPBACK, Node, Received
from simreal.deploy.ros2_simulated import SimulatedRos2Robot
from simreal.errors import SimrealError

ROOT = Path(__file__).parents[3]
JOINTS = tuple(f"panda_joint{index}" for index in range(1, 8))
TIMEOUT_S, PERIOD_S = 0.2, 0.01
BUSY_S = 0.25  # a machine that runs other things beside the tests; the benchmark allows nothing
COMMANDS = "forward_position_controller/commands"


class Watcher:
    """Hears what the robot says of itself and where its joints are."""

    def __init__(self) -> None:
        self.node = Node()
        self.status: dict[str, Any] = {}
        self.positions = np.zeros(9)
        self.node.subscribe("simreal/status", String, self._on_status, reliable=True, depth=8)
        self.node.subscribe("joint_states", JointState, self._on_states)

    def _on_status(self, received: Received[String]) -> None:
        self.status = json.loads(received.message.data)

    def _on_states(self, received: Received[JointState]) -> None:
        self.positions = np.array(received.message.position)

    def wait(self, state: str, after_s: float = 0.0, timeout_s: float = 10.0) -> dict[str, Any]:
        end_s = time.monotonic() + timeout_s
        while not (self.status.get("state") == state and self.status["since_s"] >= after_s):
            assert time.monotonic() < end_s, f"{state}? {self.status}"
            time.sleep(0.001)
        return self.status


@pytest.fixture(scope="module")
def served() -> Iterator[Watcher]:
    """A robot server in real time, warm for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYCLONEDDS_URI", LOOPBACK)
        patch.setenv("ROS_DOMAIN_ID", str(os.getpid() % 100 + 100))
        with server():
            watcher = Watcher()
            yield watcher
            watcher.node.close()


@contextlib.contextmanager
def server(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A robot server in its own process; it ends by itself if nobody ends it."""
    command = [sys.executable, str(ROOT / "scripts" / "robot_server.py"), "--seconds", "240", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    finally:
        process.kill()


@pytest.fixture
def mover(served: Watcher) -> Iterator[Callable[..., int]]:
    """Starts a loop in mid-motion, in its own process; returns its id."""
    hosts: dict[str, Any] = {}
    started: list[int] = []

    def start(topic: str = COMMANDS) -> int:
        if topic not in hosts:
            command = [sys.executable, str(ROOT / "scripts" / "benchmark_mover.py"), topic]
            pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            hosts[topic] = subprocess.Popen(command, text=True, bufsize=1, **pipes)
        hosts[topic].stdin.write("\n")
        started.append(int(hosts[topic].stdout.readline()))
        return started[-1]

    yield start
    for process_id in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    for host in hosts.values():
        host.communicate(timeout=10)
    served.wait("hold")


def assert_in_time(status: dict[str, Any], cut_off_s: float) -> None:
    """The robot holds within dead-man time and one period, but for what the machine kept it from its turn."""
    assert status["cause"] == "no command for 0.2 s"
    assert status["since_s"] - status["late_s"] - cut_off_s <= TIMEOUT_S
    assert status["late_s"] <= PERIOD_S + BUSY_S


def assert_at_rest(served: Watcher) -> None:
    time.sleep(0.4)
    before = served.positions
    time.sleep(0.2)
    assert np.abs(served.positions - before).max() < 1e-3
    assert np.abs(before).max() > 0.1


def test_a_loop_killed_in_mid_motion(served: Watcher, mover: Any) -> None:
    for _ in range(3):
        process_id = mover()
        served.wait("follow", timeout_s=60.0)
        start = served.positions
        time.sleep(0.25)
        assert np.abs(served.positions - start).max() > 0.01  # it does move
        killed_s = time.monotonic()
        os.kill(process_id, signal.SIGKILL)
        status = served.wait("hold", killed_s)
        assert_in_time(status, killed_s)
    assert_at_rest(served)


def test_a_loop_that_stalls_and_goes_on(served: Watcher, mover: Any) -> None:
    process_id = mover()
    served.wait("follow", timeout_s=60.0)
    time.sleep(0.1)
    stopped_s = time.monotonic()
    os.kill(process_id, signal.SIGSTOP)
    status = served.wait("hold", stopped_s)
    assert_in_time(status, stopped_s)
    assert_at_rest(served)
    os.kill(process_id, signal.SIGCONT)
    served.wait("follow", stopped_s)


class Relay:
    """A network between a loop and the robot: it delays, drops and stalls, and keeps the sender's stamps."""

    def __init__(self, fate: Callable[[int], float | None]) -> None:
        """Use `fate` to turn a message's number into its delay (s), or None to drop it."""
        self._node, self._count = Node(), itertools.count()
        self._out: Any = self._node.publisher(COMMANDS, Float64MultiArray)
        self.fate = fate
        self.passed: list[tuple[float, float]] = []
        self._pool = multiprocessing.pool.ThreadPool(16)
        self._node.subscribe("relayed", Float64MultiArray, self._pass_on, reliable=True)

    def _pass_on(self, received: Received[Float64MultiArray]) -> None:
        delay_s = self.fate(next(self._count))
        if delay_s is not None:
            self._pool.apply_async(self._later, (delay_s, received))

    def _later(self, delay_s: float, received: Received[Float64MultiArray]) -> None:
        time.sleep(delay_s)
        self._out.write(received.message, received.sent_ns)
        self.passed.append((time.monotonic(), received.age_s))

    def kept_away(self, after_s: float) -> bool:
        """Whether the machine was so busy that commands did stay away for nearly the dead-man's time."""
        passed = [(at_s, age_s) for at_s, age_s in sorted(self.passed) if at_s >= after_s - TIMEOUT_S]
        fresh_until = [at_s - age_s + TIMEOUT_S for at_s, age_s in passed]
        gaps = [at_s - until for until, (at_s, _) in zip(fresh_until, passed[1:], strict=False)]
        return max(gaps, default=0.0) > -0.05

    def close(self) -> None:
        self._pool.terminate()
        self._node.close()


def test_a_network_that_delays_drops_and_stalls(served: Watcher, mover: Any) -> None:
    relay = Relay(lambda number: 0.03 if number % 3 else None)  # late by 30 ms, and a third lost
    mover("relayed")
    followed_s = served.wait("follow", timeout_s=60.0)["since_s"]
    time.sleep(0.8)
    false_alarm = served.status["since_s"] != followed_s
    assert not false_alarm or relay.kept_away(followed_s)

    lost_s = time.monotonic()
    relay.fate = lambda number: None
    status = served.wait("hold", lost_s)
    assert_in_time(status, lost_s)

    relay.fate = lambda number: 0.25  # every command comes, and none is fresh
    stale = status["refused"].get("stale", 0)
    time.sleep(0.8)
    assert served.status["state"] == "hold"
    assert served.status["since_s"] == status["since_s"]
    assert served.status["refused"]["stale"] > stale + 10

    relay.fate = lambda number: 0.0
    served.wait("follow", lost_s)
    relay.close()


def test_commands_that_no_robot_should_follow(served: Watcher) -> None:
    node = Node()
    writer: Any = node.publisher(COMMANDS, Float64MultiArray)
    held_s = served.wait("hold")["since_s"]
    while not writer.get_matched_subscriptions():
        time.sleep(0.01)
    here = served.positions[:7]
    wrong = {
        "not finite": ([math.nan, *here[1:]], 0),
        "wrong number of targets": ([*here, 0.0], 0),
        "too far from where the robot holds": ([*(here[:6]), here[6] + 0.5], 0),
        "stale": ([*here], -1_000_000_000),
        "stamped in the future: the clocks differ": ([*here], 2_000_000_000),
    }
    for reason, (targets, ahead_ns) in wrong.items():
        before = served.status["refused"].get(reason, 0)
        for _ in range(100):
            writer.write(Float64MultiArray(data=targets), time.time_ns() + ahead_ns)
            time.sleep(0.05)
            if served.status["refused"].get(reason, 0) > before:
                break
        assert served.status["refused"][reason] > before
    assert served.status["since_s"] == held_s
    node.close()


def test_a_world_that_dies_ends_the_server(domain: int) -> None:
    with server("--images-hz", "10") as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        assert process.wait(30) == 1


def test_lock_step_over_the_wire_is_the_world_itself(domain: int) -> None:
    with server("--pacing", "lock-step"):
        robot = SimulatedRos2Robot(Ros2Config.of_server(JOINTS, lock_step=True))
        robot.connect()
        env: Any = gymnasium.make("simreal/PandaReach-v0").unwrapped
        for seed, world in ((3, "nominal"), (4, "camera-shift@3")):
            robot.reset(seed, load_domain(world))
            observation, _ = env.reset(seed=seed, options={"domain": world})
            for tick in range(8):
                seen = robot.get_observation()
                assert np.array_equal(seen["main"], observation["image"])
                joints = np.array([seen[f"{name}.pos"] for name in JOINTS])
                assert np.array_equal(joints.astype(np.float32), observation["proprio"][:7])
                assert seen["gripper.pos"] == pytest.approx(observation["proprio"][-1], abs=1e-6)
                targets = joints + 0.02 * (tick % 3)
                action = {f"{n}.pos": at for n, at in zip(JOINTS, targets, strict=True)}
                robot.send_action(action | {"gripper.pos": 0.08})
                env.robot.command(targets, 0.08)
                env.advance(12)
                observation = env.observe()
            assert robot.success == env.task.reward(env.robot)[1]
        with pytest.raises(SimrealError, match="KeyError"):
            robot._ask({"do": "reset"})
        robot.disconnect()
        env.close()
