"""Sections `wire` and `deadman` of scripts/benchmark_loop.py: a loop and a robot over DDS on loopback.

The robot is scripts/robot_server.py in its own process, real time, joint states at 100 Hz and 640x480
frames at 30 Hz. Moments are compared by CLOCK_MONOTONIC, which all processes of a machine share.
"""

import contextlib
import gc
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from envs.robots import PANDA
from simreal.deploy.clock import Pacer
from simreal.deploy.config import LoopConfig
from simreal.deploy.deadman import DeadManConfig
from simreal.deploy.deciding import Decider
from simreal.deploy.fit import make_controller
from simreal.deploy.limits import Limits
from simreal.deploy.loop import ControlLoop
from simreal.deploy.robot import Mapping, Values
from simreal.deploy.robot_side import RobotSide
from simreal.deploy.ros2 import Ros2Robot
from simreal.deploy.ros2_config import Ros2Config
from simreal.deploy.ros2_messages import Float64MultiArray, JointState, String
from simreal.deploy.ros2_node import Node, Received, use_loopback
from simreal.deploy.runtime import Runtime
from simreal.deploy.safety import SafetyFilter
from simreal.deploy.served_world import ServerConfig

COMMANDS = ServerConfig().topics.commands
ROBOT_PERIOD_S = 1 / ServerConfig().states_hz
OLDEST_S = 1.0  # a machine that is busy shows in the figures and does not end the measurement


class Recorded(Ros2Robot):
    """Remembers which observation led to which command."""

    def __init__(self, config: Ros2Config) -> None:
        super().__init__(config)
        self.rows: list[tuple[int, int, int]] = []

    def send_action(self, action: Values) -> Values:
        """Send, and remember the stamps of joint states, image and command."""
        sent = super().send_action(action)
        self.rows.append((self.stamps["joints"].source_ns, self.stamps["main"].source_ns, self.sent_ns))
        return sent


@contextlib.contextmanager
def served(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a robot server, on this machine only and in a domain that nobody else uses."""
    use_loopback()
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 200)
    script = Path(__file__).parent / "robot_server.py"
    process = subprocess.Popen([sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise SystemExit("the robot server did not start")
        yield process
    finally:
        process.terminate()
        process.wait(30)


def wire(runtime: Runtime, seconds: float) -> dict[str, float]:
    """Measure from joint states and frames published by the robot to the command received by it, ms."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        with served("--trace", str(path), "--frame", "640", "480", "--images-hz", "30"):
            echoed = echo(seconds)
            gc.collect()
            gc.freeze()  # as the control loop does
            sys.setswitchinterval(2e-4)
            robot = Recorded(Ros2Config.of_server(PANDA.joint_names))
            robot.connect()
            states = driven(robot, runtime, "joints", ROBOT_PERIOD_S, seconds)
            frames = driven(robot, runtime, "main", 1 / 30, seconds)
            looped = periodic(robot, runtime, seconds)
            robot.disconnect()
        trace = json.loads(path.read_text())
    figures = {"wire_frames_per_s": len({frame for _, frame, _ in frames}) / seconds}
    figures |= summary("wire_echo", [(state, sent) for state, sent in echoed], "states", trace)
    figures |= summary("wire_states", [(state, sent) for state, _, sent in states], "states", trace)
    figures |= summary("wire_frames", [(frame, sent) for _, frame, sent in frames], "images", trace)
    # At a fixed rate an observation also waits for the next tick: half of its own period, on average.
    figures |= summary("loop_states", [(state, sent) for state, _, sent in looped], "states", trace)
    return figures | summary("loop_frames", [(frame, sent) for _, frame, sent in looped], "images", trace)


def summary(name: str, pairs: list[tuple[int, int]], part: str, trace: Any) -> dict[str, float]:
    """Return percentiles of the time from an observation published to its command received, ms.

    Args:
        name: Of the figures.
        pairs: Stamps of the observation and of the command that it led to, nanoseconds since 1970.
        part: `states` or `images`.
        trace: The robot's: stamps and `time.monotonic()` of what it published and what arrived.
    """
    arrived = dict(trace["commands"])
    published = dict(reversed(trace[part]))  # a stamp that was published twice: its first time
    found = [arrived[sent] - published[seen] for seen, sent in pairs if sent in arrived and seen in published]
    quantiles = np.percentile(found, [50, 99]) if found else [math.inf] * 2
    figures = {f"{name}_p50_ms": 1e3 * quantiles[0], f"{name}_p99_ms": 1e3 * quantiles[1]}
    return figures | {f"{name}_count": len(found), f"{name}_lost": len(pairs) - len(found)}


def echo(seconds: float) -> list[tuple[int, int]]:
    """Answer joint states at once: what the wire alone costs, there and back."""
    node, pairs = Node(), list[tuple[int, int]]()
    writer: Any = node.publisher(COMMANDS, Float64MultiArray)

    def answer(received: Received[JointState]) -> None:
        sent_ns = time.time_ns()
        writer.write(Float64MultiArray(data=list(received.message.position[:7])), sent_ns)
        pairs.append((received.message.header.stamp.ns, sent_ns))

    node.subscribe("joint_states", JointState, answer)
    time.sleep(seconds + 0.5)
    node.close()
    return pairs[30:]  # the first ones came before both sides knew each other


def driven(robot: Recorded, runtime: Runtime, part: str, period_s: float, seconds: float) -> Any:
    """Decide whenever a part of the observation arrives, through policy, controller and safety filter."""
    controller = make_controller(runtime.manifest)
    side = RobotSide(robot, Mapping.default(PANDA.joint_names), runtime.manifest, controller.kinematics)
    decider = Decider(runtime, controller, LoopConfig(on_drift="ignore"))
    limits = Limits.of_robot("panda", PANDA.joint_names)
    safety = SafetyFilter(limits, period_s, controller.kinematics.forward_many)
    robot.rows.clear()
    newest_s, end_s = time.monotonic(), time.monotonic() + seconds
    while time.monotonic() < end_s and robot.wait_for_newer(newest_s, 1.0, part):
        seen = side.observe(time.monotonic(), math.inf)
        newest_s = robot.stamps[part].received_s
        choice = decider.decide(seen)
        side.send(safety.filter(choice.targets_rad, seen.joints_rad).sent, None)
    controller.kinematics.close()
    return robot.rows[5:]


def periodic(robot: Recorded, runtime: Runtime, seconds: float) -> list[tuple[int, int, int]]:
    """Run the control loop at the policy's own rate."""
    time.sleep(0.5)  # the robot holds by then
    robot.rows.clear()
    period_s, controller = runtime.manifest.control_period_s, make_controller(runtime.manifest)
    limits = Limits.of_robot("panda", PANDA.joint_names)
    safety = SafetyFilter(limits, period_s, controller.kinematics.forward_many)
    config = LoopConfig(on_drift="ignore", max_age_s=OLDEST_S)
    mapping, clock = Mapping.default(PANDA.joint_names), Pacer(period_s)
    with ControlLoop(robot, mapping, runtime, controller, safety, clock, config) as loop:
        loop.start()
        loop.run(round(seconds / period_s))
    controller.kinematics.close()
    return robot.rows[5:]


def deadman(trials: int) -> dict[str, float]:
    """Kill a loop in mid-motion with SIGKILL, again and again: milliseconds until the robot holds."""
    bound_s = DeadManConfig().timeout_s + ROBOT_PERIOD_S
    with served(), movers() as mover:
        watcher = Watcher()
        found = [trial(mover, watcher) for _ in range(trials)]
        watcher.node.close()
    delays = 1e3 * np.array([delay_s for delay_s, _ in found])
    return {
        "deadman_trials": trials,
        "deadman_bound_ms": 1e3 * bound_s,
        "deadman_within": int((delays <= 1e3 * bound_s).sum()),
        "deadman_p50_ms": float(np.median(delays)),
        "deadman_max_ms": float(delays.max()),
        # How far a joint still went after the robot had begun to hold.
        "deadman_travel_max_rad": max(travel for _, travel in found),
    }


class Watcher:
    """Hears what the robot says of itself and where its joints are."""

    def __init__(self) -> None:
        self.node, self.status, self.positions = Node(), dict[str, Any](), np.zeros(9)
        self.node.subscribe("simreal/status", String, self._on_status, reliable=True, depth=8)
        self.node.subscribe("joint_states", JointState, self._on_states)

    def _on_status(self, received: Received[String]) -> None:
        self.status = json.loads(received.message.data)

    def _on_states(self, received: Received[JointState]) -> None:
        self.positions = np.array(received.message.position)

    def wait(self, state: str, after_s: float) -> float:
        """Return when the robot began to be in a state, after `after_s`."""
        end_s = time.monotonic() + 60.0
        while not (self.status.get("state") == state and self.status["since_s"] > after_s):
            if time.monotonic() > end_s:
                raise SystemExit(f"the robot does not {state}: {self.status}")
            time.sleep(0.0005)
        return float(self.status["since_s"])


@contextlib.contextmanager
def movers() -> Iterator[subprocess.Popen[str]]:
    """Run the process that starts control loops in mid-motion."""
    script = Path(__file__).parent / "benchmark_mover.py"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, str(script), COMMANDS], text=True, **pipes) as process:
        yield process


def trial(mover: "subprocess.Popen[str]", watcher: Watcher) -> tuple[float, float]:
    """Return seconds from the kill to the robot's holding, and how far a joint (rad) then still went."""
    assert mover.stdin is not None
    assert mover.stdout is not None
    started_s = time.monotonic()
    mover.stdin.write("\n")
    mover.stdin.flush()
    process_id = int(mover.stdout.readline())
    watcher.wait("follow", started_s)
    time.sleep(random.uniform(0.1, 0.3))  # anywhere between two commands
    killed_s = time.monotonic()
    os.kill(process_id, signal.SIGKILL)
    held_s = watcher.wait("hold", killed_s)
    held = watcher.positions
    time.sleep(0.2)
    return held_s - killed_s, float(np.abs(watcher.positions - held).max())
