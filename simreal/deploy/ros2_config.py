"""`Ros2Config`: which topics of a ROS 2 robot, and which joints in which order."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simreal.errors import SimrealError
from simreal.reading import load_yaml, mapping, number

SERVED_FINGERS = ("finger_joint1", "finger_joint2")
"""What a robot server calls the gripper's joints in the joint states; each has half of the opening."""


@dataclass(frozen=True)
class Ros2Config:
    """Which topics, and which joints in which order."""

    joints: tuple[str, ...]
    """Names of the arm's joints, in the order that the position controller takes."""
    fingers: tuple[str, ...] = ()
    """Names of the gripper's joints: their positions add up to its opening, m. Empty: no gripper."""
    fingers_commanded: bool = False
    """Whether the position controller takes the fingers too, after the arm."""
    states: str = "joint_states"
    commands: str = "forward_position_controller/commands"
    images: str | None = "camera/image_raw"
    """Topic of the camera; None for a robot without one."""
    camera: str = "main"
    """Key of the camera's image in an observation."""
    domain: int | None = None
    """DDS domain; None takes ROS_DOMAIN_ID, or 0."""
    connect_s: float = 10.0
    """How long `connect` waits for the robot, seconds."""
    stamps_trusted: bool = True
    """Whether the robot's clock and this one agree: then what the network held back counts as old.
    False counts from its arrival."""
    lock_step: bool = False
    """Whether the robot's time goes on with commands only: sending one waits for what it led to."""

    def __post_init__(self) -> None:
        if not self.joints:
            raise SimrealError("joints: takes the names of the arm's joints, not none")
        names = self.joints + self.fingers
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise SimrealError(f"joints and fingers: {doubled[0]!r} is named twice")
        if self.fingers_commanded and not self.fingers:
            raise SimrealError("fingers_commanded: true, but fingers names none")

    @classmethod
    def of_server(cls, joint_names: tuple[str, ...], lock_step: bool = False) -> "Ros2Config":
        """Return what fits `scripts/robot_server.py`."""
        return cls(joint_names, SERVED_FINGERS, fingers_commanded=True, lock_step=lock_step)

    @classmethod
    def read(cls, path: Path, joint_names: tuple[str, ...]) -> "Ros2Config":
        """Read a YAML file; a key that is missing keeps its default, and `joints` the policy's names.

        Raises:
            SimrealError: naming file, key, value and the nearest valid key.
        """
        valid = [field.name for field in dataclasses.fields(cls) if field.name != "lock_step"]
        raw = mapping(path, load_yaml(path, "robot"), "", valid)
        values = {key: _value(path, key, value) for key, value in raw.items()}
        try:
            return cls(**{"joints": joint_names} | values)
        except SimrealError as error:
            raise SimrealError(f"{path}: {error}") from None


def _value(path: Path, key: str, raw: Any) -> Any:
    """Return the value of a key, if it is of the kind that the key takes."""
    if key == "connect_s":
        return number(path, raw, key, 0)
    if key in ("joints", "fingers"):
        if isinstance(raw, list) and all(isinstance(name, str) for name in raw):
            return tuple(raw)
        raise SimrealError(f"{path}: {key}: takes a list of names, not {raw!r}")
    kinds: dict[str, tuple[type, str]] = {
        "domain": (int, "a whole number"),
        "fingers_commanded": (bool, "true or false"),
        "stamps_trusted": (bool, "true or false"),
    }
    kind, words = kinds.get(key, (str, "a name"))
    if type(raw) is kind or (raw is None and key in ("images", "domain")):
        return raw
    raise SimrealError(f"{path}: {key}: takes {words}, not {raw!r}")
