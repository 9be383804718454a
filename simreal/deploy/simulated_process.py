"""The process of a simulated robot: a world, its clock, and what it hears and tells."""

import json
import os
import signal
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Literal

import cv2
import gymnasium
import numpy as np
from numpy.typing import NDArray

import envs
from envs.physics import substeps
from simreal.deploy.newest import Newest

Pacing = Literal["real-time", "lock-step"]
COMMAND, REQUEST, DONE, ERROR = b"c", b"r", b"k", b"e"
_NICE = 5  # a real robot takes nothing from the loop's processor
_SLIP_S = 0.1  # a world further behind the clock than this lets the lost time go, and counts it
_MOST_PENDING = 1000  # commands on their way


@dataclass(frozen=True)
class WorldConfig:
    """Which world, and how its time goes."""

    env_id: str
    control_period_s: float
    pacing: Pacing
    command_period_s: float
    """In lock-step, the time that goes by with each command."""
    image: bool = True
    image_size: int = 64
    joints_each_step: bool = False
    """Tell the joints after every physics step, not with the images only."""
    privileged: bool = False
    """Whether the true state is told as well, for a teacher that leads."""


def layout(joints: int, image_size: int, privileged: int = 0) -> np.dtype[Any]:
    """Return the layout of what the world tells after each control period."""
    return np.dtype(
        [
            ("time_s", np.float64),  # monotonic clock
            ("image_s", np.float64),  # monotonic clock
            ("world_s", np.float64),  # since the reset
            ("slipped_s", np.float64),
            ("success", np.bool_),
            ("joints_rad", np.float64, (joints,)),
            ("width_m", np.float64),
            ("image", np.uint8, (image_size, image_size, 3)),
            ("privileged", np.float32, (privileged,)),
        ]
    )


def serve(config: WorldConfig, connection: Connection, memory: Any) -> None:
    """Run a world until the other end of the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is for the loop to handle
    if hasattr(os, "nice"):
        os.nice(_NICE)
    cv2.setNumThreads(1)
    world = _World(config, memory)
    connection.send_bytes(DONE)
    try:
        while True:
            if connection.poll(world.seconds_to_wait()):
                _answer(world, connection)
            world.follow_clock()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        world.env.close()


def _answer(world: "_World", connection: Connection) -> None:
    message = connection.recv_bytes()
    kind, content = message[:1], message[1:]
    if kind == COMMAND:
        world.command(np.frombuffer(content, np.float64))
        if world.config.pacing == "real-time":
            return
        world.advance_by(world.config.command_period_s)
        connection.send_bytes(DONE)
        return
    try:
        world.reset(**json.loads(content))
        connection.send_bytes(DONE)
    except (ValueError, TypeError) as error:
        connection.send_bytes(ERROR + " ".join(str(error).split()).encode())


@dataclass(frozen=True, eq=False)
class _Command:
    """A command on its way."""

    due_s: float
    """Of the world's time."""
    targets_rad: NDArray[np.float64]
    told_rad: NDArray[np.float64] | None
    """Joints that the targets count from; None if they are absolute."""
    width_m: float


class _World:
    """A `RobotTaskEnv` that is told joint targets, whose time goes on in physics steps."""

    def __init__(self, config: WorldConfig, memory: Any) -> None:
        self.config = config
        env: Any = gymnasium.make(
            config.env_id,
            image=config.image,
            privileged=config.privileged,
            image_size=config.image_size,
            control_period_s=config.control_period_s,
        )
        self.env: Any = env.unwrapped
        joints = len(self.env.robot.spec.joint_names)
        self._newest = Newest(memory, layout(joints, config.image_size, self._privileged_size()))
        self._open_m = self.env.robot.spec.opening_m
        self._rng = np.random.default_rng()
        self._slipped_s = 0.0
        self.reset(seed=0, domain=None)

    def reset(self, seed: int, domain: dict[str, Any] | None) -> None:
        """Start an episode, as `RobotTaskEnv.reset` does."""
        options = None if domain is None else {"domain": envs.Domain.from_plain(domain)}
        observation, _ = self.env.reset(seed=seed, options=options)
        self._rng = np.random.default_rng(seed)
        self._per_period = substeps(self.env.world.dynamics, self.config.control_period_s)
        self._step_s = self.config.control_period_s / self._per_period
        self._started_s = time.monotonic()
        self._steps, self._due_s = 0, 0.0
        self._pending: deque[_Command] = deque(maxlen=_MOST_PENDING)
        self._tell(observation)

    def command(self, values: NDArray[np.float64]) -> None:
        """Take joint targets (rad) and an opening (m; NaN for open), which arrive after the action delay.

        In `RobotTaskEnv` it is displacements that come late, from where the arm has got to meanwhile; so
        with a delay of actions or observations, targets count from the joints that were told.
        """
        sensing = self.env.world.sensing
        delayed = sensing.action_delay_steps > 0 or sensing.observation_delay_steps > 0
        told = np.array(self._told["joints_rad"], np.float64) if delayed else None
        due_s = self._steps * self._step_s + sensing.action_delay_steps * self.config.control_period_s
        width = self._open_m if np.isnan(values[-1]) else float(values[-1])
        self._pending.append(_Command(due_s, self._disturbed(values[:-1]), told, width))

    def advance_by(self, seconds: float) -> None:
        """Let time go by; what is left of a physics step is made up later."""
        self._due_s += seconds
        while self._steps < round(self._due_s / self._step_s, 6) // 1:
            self._step()

    def seconds_to_wait(self) -> float | None:
        """Return the seconds to the next physics step; None if only a command brings one."""
        if self.config.pacing == "lock-step":
            return None
        return max(0.0, self._started_s + (self._steps + 1) * self._step_s - time.monotonic())

    def follow_clock(self) -> None:
        """In real time, take the next physics step if it is due."""
        wait = self.seconds_to_wait()
        if wait is None or wait > 0:
            return
        behind = time.monotonic() - self._started_s - self._steps * self._step_s
        if behind > _SLIP_S:
            self._slipped_s += behind
            self._started_s += behind
        self._step()

    def _step(self) -> None:
        now_s = self._steps * self._step_s
        while self._pending and self._pending[0].due_s <= now_s + 1e-9:
            arrived = self._pending.popleft()
            moved = 0.0 if arrived.told_rad is None else self.env.measured_rad - arrived.told_rad
            self.env.robot.command(arrived.targets_rad + moved, arrived.width_m)
        self.env.advance(1)
        self._steps += 1
        if self._steps % self._per_period == 0:
            self._tell(self.env.observe())
        elif self.config.joints_each_step:
            self._tell_joints()

    def _tell(self, observation: dict[str, NDArray[Any]]) -> None:
        """Write what the sensors give; their own delay is not known to a robot, so its time is now."""
        joints = len(self.env.robot.spec.joint_names)
        proprio, now_s = observation["proprio"], time.monotonic()
        self._told: dict[str, Any] = {
            "time_s": now_s,
            "image_s": now_s,
            "world_s": self._steps * self._step_s,
            "slipped_s": self._slipped_s,
            "success": self.env.task.reward(self.env.robot)[1],
            "joints_rad": proprio[:joints],
            "width_m": proprio[-1],
            "image": observation.get("image", 0),
            "privileged": observation.get("privileged", 0),
        }
        self._newest.write(**self._told)

    def _tell_joints(self) -> None:
        """Write the joints as they are now, with the last image."""
        robot = self.env.robot
        self._told |= {
            "time_s": time.monotonic(),
            "world_s": self._steps * self._step_s,
            "joints_rad": self.env.sensing.joint_positions(robot.joint_positions()),
            "width_m": robot.gripper_width(),
        }
        self._newest.write(**self._told)

    def _privileged_size(self) -> int:
        return len(self.env.task.privileged_order) if self.config.privileged else 0

    def _disturbed(self, targets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the commanded displacement the gain and the noise that the domain gives to actions."""
        world, controller = self.env.world, self.env.controller
        gain, noise = np.array(world.dynamics.action_gain), world.sensing.action_noise_std
        cartesian = controller.dimensions == 3
        if noise == 0 and (not cartesian or (gain == 1).all()):
            return targets
        joints = self.env.robot.joint_positions()
        added = self._rng.normal(0.0, 1.0, controller.dimensions) * noise * controller.scale
        if not cartesian:
            return np.asarray(targets + added)
        forward = controller.kinematics.forward
        here = forward(joints)
        moved = here + gain * (forward(targets) - here) + added
        return np.asarray(controller.kinematics.inverse(joints, moved))
