"""`SimulatedRobot`: any simreal environment as a robot, in its own process.

In real time physics follows the clock and a command takes effect when it arrives. In lock-step the world
waits: each command lets one command period go by, so that an evaluation runs as fast as the machine can.
The episode's side channel, `reset` and `success`, is no part of the robot interface.
"""

import dataclasses
import json
import multiprocessing
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs import Domain
from simreal.deploy import simulated_process as process
from simreal.deploy.newest import Newest
from simreal.deploy.robot import EpisodeRobot, Features, Values
from simreal.errors import SimrealError, nearest

_ANSWER_S = 30.0  # a first reset loads textures; everything else takes milliseconds
_START_S = 120.0  # imports and the first world, on a busy machine


class SimulatedRobot(EpisodeRobot):
    """A simulated robot; keys as in LeRobot: `<joint>.pos` in rad, `gripper.pos` in m, `main` the camera."""

    name = "simulated"
    is_calibrated = True

    def __init__(
        self,
        env_id: str = "simreal/PandaReach-v0",
        domain: Domain | None = None,
        *,
        control_period_s: float = 0.05,
        pacing: process.Pacing = "real-time",
        command_multiple: int = 1,
        image_size: int = 64,
        joints_each_step: bool = False,
    ) -> None:
        """Describe the robot; the process starts at `connect`.

        Args:
            env_id: Gymnasium id of a simreal environment.
            domain: Where its worlds are drawn from; nominal if None.
            control_period_s: Between two observations, seconds.
            pacing: `real-time` or `lock-step`.
            command_multiple: Commands in a control period; in lock-step a command lets that share go by.
            image_size: Width and height of the camera's image, pixels.
            joints_each_step: Tell the joints after every physics step, not with the images only.
        """
        if env_id not in gymnasium.registry:
            raise SimrealError(f"no environment {env_id!r}; {nearest(env_id, gymnasium.registry)}")
        command_period_s = control_period_s / command_multiple
        self.config = process.WorldConfig(
            env_id, control_period_s, pacing, command_period_s, True, image_size, joints_each_step
        )
        self.control_period_s = control_period_s
        self.observation_time_s: float | None = None
        """Of its oldest part; None in lock-step, where the world has waited since."""
        self._domain = domain
        self.joint_names = _joint_names(env_id)
        self._process: Any = None
        self._connection: Any = None
        self._newest: Newest | None = None
        self._record: NDArray[Any] | None = None

    @property
    def observation_features(self) -> Features:
        """Joints, gripper and camera."""
        size = self.config.image_size
        return self.action_features | {"main": (size, size, 3)}

    @property
    def action_features(self) -> Features:
        """Joint targets, and the opening of the gripper."""
        return {f"{name}.pos": float for name in self.joint_names} | {"gripper.pos": float}

    @property
    def is_connected(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and bool(self._process.is_alive())

    @property
    def pid(self) -> int | None:
        """Return the id of the process."""
        return None if self._process is None else self._process.pid

    @property
    def success(self) -> bool:
        """Tell whether the task was done at the last observation; side channel."""
        newest = self.latest()
        return bool(newest["success"])

    @property
    def privileged(self) -> NDArray[np.float32]:
        """Return the true state at the last observation, as a teacher sees it; side channel."""
        return np.asarray(self.latest()["privileged"], np.float32)

    def reveal(self) -> None:
        """Have the true state told as well, from `connect` on; side channel."""
        self.config = dataclasses.replace(self.config, privileged=True)

    @property
    def slipped_s(self) -> float:
        """Return how much time the world has lost against the clock, seconds."""
        return float(self.latest()["slipped_s"])

    def connect(self, calibrate: bool = True) -> None:
        """Start the process and its world.

        Raises:
            SimrealError: if it does not come up.
        """
        if self.is_connected:
            return
        context = multiprocessing.get_context("spawn")
        revealed = _privileged_size(self.config.env_id) if self.config.privileged else 0
        record = process.layout(len(self.joint_names), self.config.image_size, revealed)
        memory = context.RawArray("B", Newest.size_of(record))
        self._newest = Newest(memory, record)
        self._connection, other = context.Pipe()
        self._process = context.Process(target=process.serve, args=(self.config, other, memory), daemon=True)
        self._process.start()
        other.close()
        try:
            self._receive(_START_S)
        except ConnectionError as error:
            self.disconnect()
            raise SimrealError(
                f"robot 'simulated': its world {self.config.env_id} did not start: {error}"
            ) from None
        self.reset(0, self._domain)

    def calibrate(self) -> None:
        """Nothing to calibrate."""

    def configure(self) -> None:
        """Nothing to configure."""

    def disconnect(self) -> None:
        """End the process; closing twice is harmless."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.join(5.0)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
        self._process = self._connection = None

    def get_observation(self) -> Values:
        """Return the newest observation, at once.

        Raises:
            ConnectionError: if the process is dead.
        """
        self._check_alive()
        self._record = record = self.latest()
        if self.config.pacing == "real-time":
            self.observation_time_s = float(min(record["time_s"], record["image_s"]))
        values: Values = {
            f"{n}.pos": float(v) for n, v in zip(self.joint_names, record["joints_rad"], strict=True)
        }
        return values | {"gripper.pos": float(record["width_m"]), "main": record["image"]}

    def send_action(self, action: Values) -> Values:
        """Send joint targets; in lock-step, return when their time has gone by.

        Raises:
            ConnectionError: if the process is dead or does not answer.
            SimrealError: if a joint has no target.
        """
        self._check_alive()
        for key in (f"{name}.pos" for name in self.joint_names):
            if key not in action:
                raise SimrealError(f"action has no {key!r}; {nearest(key, action)}")
        width = action.get("gripper.pos", float("nan"))
        values = np.array([*(action[f"{name}.pos"] for name in self.joint_names), width])
        self._send(process.COMMAND + values.tobytes())
        if self.config.pacing == "lock-step":
            self._receive(_ANSWER_S)
        return dict(action)

    def reset(self, seed: int, domain: Domain | None = None) -> None:
        """Start an episode with a seed, in a domain from now on; side channel.

        Raises:
            ConnectionError: if the process is dead or does not answer.
        """
        plain = None if domain is None else domain.to_plain()
        self._send(process.REQUEST + json.dumps({"seed": seed, "domain": plain}).encode())
        self._receive(_ANSWER_S)

    def latest(self) -> NDArray[Any]:
        """Return the newest record of the world, see `simulated_process.layout`.

        Raises:
            ConnectionError: if there is no process.
        """
        record = None if self._newest is None else self._newest.read()
        if record is None:
            raise ConnectionError("robot 'simulated' is not connected")
        return record

    def _check_alive(self) -> None:
        if not self.is_connected:
            state = "has died" if self._process is not None else "is not connected"
            raise ConnectionError(f"robot 'simulated' {state}")

    def _send(self, message: bytes) -> None:
        try:
            self._connection.send_bytes(message)
        except (OSError, AttributeError):
            raise ConnectionError("robot 'simulated' has died") from None

    def _receive(self, seconds: float) -> None:
        try:
            if not self._connection.poll(seconds):
                raise ConnectionError(f"robot 'simulated' did not answer within {seconds:.0f} s")
            answer: bytes = self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            if type(error) is ConnectionError:
                raise
            raise ConnectionError("robot 'simulated' has died") from None
        if answer[:1] == process.ERROR:
            raise SimrealError(f"robot 'simulated': {answer[1:].decode()}")


def _joint_names(env_id: str) -> tuple[str, ...]:
    env: Any = gymnasium.make(env_id, image=False).unwrapped
    try:
        return tuple(env.robot.spec.joint_names)
    finally:
        env.close()


def _privileged_size(env_id: str) -> int:
    env: Any = gymnasium.make(env_id, image=False).unwrapped
    try:
        return len(env.task.privileged_order)
    finally:
        env.close()
