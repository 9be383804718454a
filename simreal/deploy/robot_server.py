"""A simulated robot on the other side of the wire, in a process of its own, with a dead-man.

In real time it publishes what it measures, whoever listens, and follows commands while they are fresh. In
lock-step the world waits: each command lets one control period go by, and the answer is published.
"""

import gc
import json
import math
import queue
import sys
import threading
import time
from typing import Any

import numpy as np

from envs import Domain, DomainError
from simreal.deploy.deadman import DeadMan
from simreal.deploy.ros2_messages import String
from simreal.deploy.ros2_node import Received
from simreal.deploy.served_world import ServedWorld, ServerConfig
from simreal.errors import SimrealError
from simreal.progress import say

REQUESTS, REPLIES = "simreal/episode/request", "simreal/episode/reply"
"""Topics of the side channel for evaluation: JSON in a text."""
_HEARTBEAT_S = 0.1
_SWITCH_S = 2e-4  # how long a thread that receives may keep the interpreter from the dead-man


class RobotServer:
    """Decides what a served robot does: follow a command, hold, or start an episode."""

    def __init__(self, config: ServerConfig) -> None:
        """Start the world and join the domain."""
        self.world = ServedWorld(config)
        self._period_s = 1 / config.states_hz
        self._lock_step = config.pacing == "lock-step"
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._told_s = -math.inf
        self._answer: dict[str, Any] = {}
        self._start_episode()
        node = self.world.end.node
        self._replies = node.publisher(REPLIES, String)
        node.subscribe(REQUESTS, String, self._on_request, reliable=True, depth=8)

    def run(self, stop: threading.Event, seconds: float = math.inf) -> None:
        """Serve until `stop` is set or the time is over.

        Raises:
            ConnectionError: if the process of the world dies.
        """
        gc.collect()
        gc.freeze()  # looking at all that was imported takes longer than a robot period
        sys.setswitchinterval(_SWITCH_S)
        due_s = time.monotonic()
        end_s = due_s + seconds
        while not stop.is_set() and time.monotonic() < end_s:
            while not self._requests.empty():
                self._answer_request(self._requests.get())
            if self._lock_step:
                self._answer_command()
            else:
                due_s = self._follow_clock(due_s)

    def close(self) -> None:
        """End the world and leave the domain."""
        self.world.close()

    def _follow_clock(self, due_s: float) -> float:
        """Do one robot period; return when the next one is due."""
        # The dead-man does not wait for a period to end.
        wake_s = min(due_s, self.deadman.deadline_s)
        time.sleep(max(0.0, wake_s - time.monotonic()))
        self.world.look()
        self._watch()
        now_s = time.monotonic()
        if now_s < due_s:
            return due_s
        self.world.publish()
        if now_s - self._told_s > _HEARTBEAT_S:
            self._tell()
        return due_s + self._period_s * max(1, math.ceil((now_s - due_s) / self._period_s))

    def _watch(self) -> None:
        """Follow a command that has arrived, or hold without one."""
        before, measured = self.deadman.state, self.world.measured
        if command := self.world.fetch():
            now_s, targets = time.monotonic(), command.targets_rad
            refused = self.deadman.offer(targets, command.stamped_s, measured, now_s, command.sender)
            if refused is None:
                self.world.command(targets, command.width_m)
        if self.deadman.update(measured, time.monotonic()):
            self.world.command(self.deadman.targets)
        if self.deadman.state != before:
            self._tell()
            say(f"{self.deadman.state}: {self.deadman.cause}")

    def _answer_command(self) -> None:
        """Let one control period go by for a command; without one, publish the present again."""
        arrived = self.world.end.arrived.wait(_HEARTBEAT_S)
        command = self.world.fetch() if arrived else None
        if command is not None:
            targets = command.targets_rad
            if targets.shape != self.world.measured.shape or not np.isfinite(targets).all():
                self.deadman.refused["not finite, or wrong number of targets"] = 1
                return
            self.world.command(targets, command.width_m)
            self.world.look()
            self.steps += 1
            self._stamp_ns = time.time_ns()
        elif arrived:
            return  # a request
        # Without a command too, again and again: for who has come late.
        self.world.publish(self._stamp_ns)
        self._tell()

    def _tell(self) -> None:
        self._told_s, deadman = time.monotonic(), self.deadman
        keys = ("state", "cause", "since_s", "late_s", "refused")
        self.world.end.publish_status(json.dumps({key: getattr(deadman, key) for key in keys}))

    def _start_episode(self) -> None:
        self.steps, self._stamp_ns = 0, time.time_ns()
        self.deadman: DeadMan = DeadMan(self.world.config.deadman, self.world.measured, time.monotonic())

    def _on_request(self, received: Received[String]) -> None:
        try:
            self._requests.put(dict(json.loads(received.message.data)))
        except (ValueError, TypeError):
            return  # not for us
        self.world.end.arrived.set()  # in lock-step, whoever waits for a command looks here first

    def _answer_request(self, request: dict[str, Any]) -> None:
        # One that is asked again, because its answer took long, is not done again.
        if request.get("id") != self._answer.get("id"):
            error = self._do(request)
            told = {"stamp_ns": self._stamp_ns, "steps": self.steps, "success": self.world.robot.success}
            self._answer = {"id": request.get("id"), "error": error} | told
        self._replies.write(String(json.dumps(self._answer)))

    def _do(self, request: dict[str, Any]) -> str | None:
        """Do what a request asks for; return why it cannot be done."""
        if request.get("do") != "reset":
            return None
        try:
            plain = request["domain"]
            self.world.reset(int(request["seed"]), None if plain is None else Domain.from_plain(plain))
        except (KeyError, TypeError, ValueError, SimrealError, DomainError) as problem:
            return f"{type(problem).__name__}: {problem}"
        self._start_episode()
        self._tell()
        if self._lock_step:
            self.world.publish(self._stamp_ns)
        return None
