"""A simulated robot with its end of the wire: what it measures goes out, what arrives moves it."""

import math
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from envs import Domain, DomainError, load_domain
from simreal.deploy.deadman import DeadManConfig
from simreal.deploy.ros2_config import SERVED_FINGERS
from simreal.deploy.ros2_end import EndConfig, RobotEnd
from simreal.deploy.simulated import SimulatedRobot
from simreal.deploy.simulated_process import Pacing
from simreal.errors import SimrealError
from simreal.files import write_json

_TRACED = 200_000  # messages that are remembered if asked to


@dataclass(frozen=True)
class ServerConfig:
    """Which world, how often it tells of itself, and when it stops believing commands."""

    env: str = "simreal/PandaReach-v0"
    domain: str = "nominal"
    seed: int = 0
    pacing: Pacing = "real-time"
    states_hz: float = 100.0
    """Joint states a second, and how often a command can take effect: the robot's own rate."""
    images_hz: float = 30.0
    """Images a second; in lock-step there is one for each command."""
    image_size: int = 64
    """Width and height that the camera renders, pixels."""
    frame: tuple[int, int] | None = None
    """Width and height that are sent: the rendered image as high as that, in the middle; None as rendered."""
    control_period_s: float = 0.05
    """In lock-step, the time that goes by with `command_multiple` commands."""
    command_multiple: int = 1
    """In lock-step, commands in a control period."""
    deadman: DeadManConfig = field(default_factory=DeadManConfig)
    topics: EndConfig = field(default_factory=EndConfig)
    trace: Path | None = None
    """Write there, at the end, what was published and what arrived: stamps (ns) and `time.monotonic()`."""

    def __post_init__(self) -> None:
        for name in ("states_hz", "images_hz", "control_period_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SimrealError(f"{name}: takes a number above 0, not {value!r}")
        if self.command_multiple < 1:
            raise SimrealError(f"command_multiple: takes 1 or more, not {self.command_multiple}")


@dataclass(frozen=True, eq=False)
class Command:
    """What arrived."""

    targets_rad: NDArray[np.float64]
    """(n,), as many as were sent."""
    width_m: float | None
    """Opening of the gripper, if it was told."""
    stamped_s: float
    """`time.monotonic()` when it was written, by the sender's clock against this one."""
    sender: int


class ServedWorld:
    """A `SimulatedRobot` and a `RobotEnd`."""

    def __init__(self, config: ServerConfig) -> None:
        """Start the world and join the domain."""
        self.config = config
        lock_step = config.pacing == "lock-step"
        self.robot = SimulatedRobot(
            config.env,
            _domain(config.domain),
            control_period_s=config.control_period_s if lock_step else 1 / config.images_hz,
            pacing=config.pacing,
            command_multiple=config.command_multiple,
            image_size=config.image_size,
            joints_each_step=not lock_step,
        )
        self.robot.connect()
        remembered = 0 if config.trace is None else _TRACED
        names = (*self.robot.joint_names, *SERVED_FINGERS)
        self.end = RobotEnd(names, config.topics, lock_step, remembered)
        self._rows: dict[str, deque[tuple[int, float]]] = {
            key: deque(maxlen=remembered) for key in ("states", "images")
        }
        self.reset(config.seed, None)

    def reset(self, seed: int, domain: Domain | None) -> None:
        """Start an episode; commands that were meant for the world before are dropped."""
        self.robot.reset(seed, domain)
        self.end.fetch_command()
        self._width_m, self._image_s = math.nan, -math.inf
        self._previous: tuple[NDArray[np.float64], float] | None = None
        self.look()

    def look(self) -> None:
        """Take the newest record of the world.

        Raises:
            ConnectionError: if its process is dead.
        """
        if not self.robot.is_connected:
            raise ConnectionError("the process of the world has died")
        self._record = self.robot.latest()

    @property
    def measured(self) -> NDArray[np.float64]:
        """The arm's joint positions, (n,) rad."""
        return self._record["joints_rad"].astype(np.float64)

    def publish(self, stamp_ns: int | None = None) -> None:
        """Publish joint states, and the image if it is a new one or a stamp is given for both."""
        record, time_s = self._record, float(self._record["time_s"])
        positions = np.array([*record["joints_rad"], *[record["width_m"] / 2] * 2], np.float64)
        velocities = np.zeros_like(positions)
        if self._previous is not None and time_s > self._previous[1]:
            velocities = (positions - self._previous[0]) / (time_s - self._previous[1])
        self._previous = (positions, time_s)
        stamp = self._stamp_ns(time_s) if stamp_ns is None else stamp_ns
        self._rows["states"].append((stamp, time.monotonic()))
        self.end.publish_states(positions, velocities, stamp)
        if stamp_ns is not None or record["image_s"] > self._image_s:
            self._image_s = float(record["image_s"])
            self._publish_image(self._stamp_ns(self._image_s) if stamp_ns is None else stamp_ns)

    def fetch(self) -> "Command | None":
        """Return a command that has arrived, once."""
        received = self.end.fetch_command()
        if received is None:
            return None
        data, count = np.asarray(received.message.data, np.float64), len(self.robot.joint_names)
        width_m = float(data[count:].sum()) if data.size == count + len(SERVED_FINGERS) else None
        targets_rad = data if width_m is None else data[:count]
        return Command(targets_rad, width_m, time.monotonic() - received.age_s, received.sender)

    def command(self, targets_rad: NDArray[np.float64], width_m: float | None = None) -> None:
        """Set the targets of the servos; without an opening the gripper keeps its own."""
        pairs = zip(self.robot.joint_names, targets_rad, strict=True)
        values: dict[str, Any] = {f"{name}.pos": float(value) for name, value in pairs}
        self._width_m = self._width_m if width_m is None else width_m
        if not math.isnan(self._width_m):
            values["gripper.pos"] = self._width_m
        self.robot.send_action(values)

    def close(self) -> None:
        """Write the trace if asked to, end the world and leave the domain."""
        if self.config.trace is not None:
            rows = self._rows | {"commands": self.end.arrivals}
            write_json(self.config.trace, {key: list(found) for key, found in rows.items()})
        self.end.close()
        self.robot.disconnect()

    def _publish_image(self, stamp_ns: int) -> None:
        image = self._record["image"]
        frame = image if self.config.frame is None else framed(image, *self.config.frame)
        self._rows["images"].append((stamp_ns, time.monotonic()))
        self.end.publish_image(frame, stamp_ns)

    @staticmethod
    def _stamp_ns(time_s: float) -> int:
        """Return a moment of the monotonic clock as nanoseconds since 1970."""
        return time.time_ns() - int((time.monotonic() - time_s) * 1e9)


def _domain(name: str) -> Domain:
    try:
        return load_domain(name)
    except DomainError as error:
        raise SimrealError(str(error)) from None


def framed(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return a square image (S, S, 3) enlarged to the height of a frame, in the middle of it."""
    edge = min(width, height)
    frame = np.zeros((height, width, 3), np.uint8)
    top, left = (height - edge) // 2, (width - edge) // 2
    large = cv2.resize(image, (edge, edge), interpolation=cv2.INTER_NEAREST)
    frame[top : top + edge, left : left + edge] = large
    return frame
