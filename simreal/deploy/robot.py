"""The robot interface, LeRobot's by shape, and the mapping between a robot's keys and a policy's joints.

Any object with these members works, LeRobot's own robots among them; lerobot is never imported.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from envs import Domain
from simreal.errors import SimrealError, nearest
from simreal.reading import load_yaml, mapping, number
from simreal.units import TO_SI, Unit

Features = dict[str, Any]
"""Key -> `float`, or the shape of an image."""
Values = dict[str, Any]
"""Flat observation or action: `"<joint>.pos": float`, `"<camera>": uint8 (H, W, 3)` RGB."""


@runtime_checkable
class Robot(Protocol):
    """A robot as LeRobot describes one (`lerobot/robots/robot.py`).

    A driver that knows when its observation was taken may also have `observation_time_s`, the
    `time.monotonic()` of the oldest part of the last observation; without it, or where it is None, the time
    of the call counts.
    """

    name: str

    @property
    def observation_features(self) -> Features:
        """What `get_observation` gives."""

    @property
    def action_features(self) -> Features:
        """What `send_action` takes."""

    @property
    def is_connected(self) -> bool:
        """Whether observations and actions can flow."""

    def connect(self, calibrate: bool = True) -> None:
        """Open the connection."""

    def disconnect(self) -> None:
        """Close it; closing twice is harmless."""

    def get_observation(self) -> Values:
        """Return the newest observation."""

    def send_action(self, action: Values) -> Values:
        """Send joint targets and return what was really sent."""


class EpisodeRobot(ABC):
    """What a simulated robot has beside the robot interface: episodes can be started and judged."""

    @abstractmethod
    def reset(self, seed: int, domain: Domain | None = None) -> None:
        """Start an episode with a seed, in a domain from now on.

        Raises:
            ConnectionError: if the world is dead or does not answer.
        """

    @property
    @abstractmethod
    def success(self) -> bool:
        """Whether the task is done now."""


@dataclass(frozen=True)
class Channel:
    """One number of a robot: which key, in which unit, with which sign and offset.

    The policy's value in rad or m is `sign * value_in_SI + offset`.
    """

    key: str
    unit: Unit = "rad"
    sign: Literal[1, -1] = 1
    offset: float = 0.0
    """rad or m."""

    def to_policy(self, value: float) -> float:
        """Return the policy's value (rad or m) of a robot's value."""
        return self.sign * value * TO_SI[self.unit] + self.offset

    def to_robot(self, value: float) -> float:
        """Return the robot's value of a policy's value (rad or m)."""
        return self.sign * (value - self.offset) / TO_SI[self.unit]


@dataclass(frozen=True)
class Mapping:
    """Which key of a robot is which joint of the policy; joints by name, whatever the robot's order."""

    joints: MappingType[str, Channel]
    """Policy joint name -> channel, in the policy's order."""
    gripper: Channel | None = None
    """Opening between the fingers, m."""
    camera: str | None = None

    @classmethod
    def default(cls, joint_names: tuple[str, ...], camera: str = "main") -> "Mapping":
        """Return LeRobot's naming: `<joint>.pos` in rad, `gripper.pos` in m."""
        joints = {name: Channel(f"{name}.pos") for name in joint_names}
        return cls(joints, Channel("gripper.pos", "m"), camera)

    @classmethod
    def read(cls, path: Path, joint_names: tuple[str, ...]) -> "Mapping":
        """Read a mapping file.

        Raises:
            SimrealError: naming file, key, value and the nearest valid key.
        """
        raw = mapping(path, load_yaml(path, "mapping"), "", ("joints", "gripper", "camera"))
        joints = mapping(path, raw.get("joints"), "joints", joint_names)
        if missing := [name for name in joint_names if name not in joints]:
            raise SimrealError(f"{path}: joints: no entry for {', '.join(missing)}")
        channels = {name: _channel(path, joints[name], f"joints: {name}", "rad") for name in joint_names}
        gripper = None if raw.get("gripper") is None else _channel(path, raw["gripper"], "gripper", "m")
        return cls(channels, gripper, raw.get("camera"))

    def check(self, robot: Robot) -> None:
        """Refuse a robot that lacks a key.

        Raises:
            SimrealError: naming the key and the nearest one that the robot has.
        """
        channels = [*self.joints.values(), *([self.gripper] if self.gripper else [])]
        wanted = [channel.key for channel in channels] + ([self.camera] if self.camera else [])
        for key in wanted:
            if key not in robot.observation_features:
                hint = nearest(key, robot.observation_features)
                raise SimrealError(f"robot {robot.name!r}: observation has no {key!r}; {hint}")
        for channel in self.joints.values():
            if channel.key not in robot.action_features:
                hint = nearest(channel.key, robot.action_features)
                raise SimrealError(f"robot {robot.name!r}: action has no {channel.key!r}; {hint}")

    def joint_positions(self, observation: Values) -> NDArray[np.float64]:
        """Return joint positions (n,) rad, in the policy's order."""
        return np.array([c.to_policy(float(observation[c.key])) for c in self.joints.values()])

    def gripper_width(self, observation: Values) -> float:
        """Return the opening of the gripper, m; 0 for a robot without one."""
        return 0.0 if self.gripper is None else self.gripper.to_policy(float(observation[self.gripper.key]))

    def action(self, targets_rad: NDArray[np.float64], width_m: float | None = None) -> Values:
        """Return what to send for joint targets (n,) rad and, if given, an opening of the gripper."""
        pairs = zip(self.joints.values(), targets_rad, strict=True)
        values = {channel.key: channel.to_robot(float(target)) for channel, target in pairs}
        if width_m is not None and self.gripper is not None:
            values[self.gripper.key] = self.gripper.to_robot(width_m)
        return values


def _channel(path: Path, raw: Any, where: str, unit: Unit) -> Channel:
    """Read a channel: a key alone, or a mapping with key, unit, sign and offset."""
    entry = {"key": raw} if isinstance(raw, str) else raw
    values = {"unit": unit} | mapping(path, entry, where, ("key", "unit", "sign", "offset"))
    units = ("rad", "deg") if unit == "rad" else ("m", "mm")
    if not isinstance(values.get("key"), str):
        raise SimrealError(f"{path}: {where}: key: takes the robot's name of it, not {values.get('key')!r}")
    if values["unit"] not in units:
        raise SimrealError(
            f"{path}: {where}: unit: {values['unit']!r}; {nearest(str(values['unit']), units)}"
        )
    if values.get("sign", 1) not in (1, -1):
        raise SimrealError(f"{path}: {where}: sign: takes 1 or -1, not {values['sign']!r}")
    offset = number(path, values.get("offset", 0.0), f"{where}: offset")
    return Channel(values["key"], values["unit"], values.get("sign", 1), offset)
