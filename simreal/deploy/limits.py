"""`Limits`: what a robot may be sent, from a YAML file beside this module or of your own."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from simreal.errors import SimrealError, nearest
from simreal.reading import load_yaml, mapping, number, numbers

_JOINT = ("position_rad", "velocity_rad_s", "acceleration_rad_s2", "jerk_rad_s3")
_GRIPPER = ("workspace_m", "table_m", "speed_m_s", "soft_zone_m")
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class JointLimits:
    """The limits of one joint."""

    lower_rad: float
    upper_rad: float
    velocity_rad_s: float
    acceleration_rad_s2: float
    jerk_rad_s3: float


@dataclass(frozen=True)
class GripperLimits:
    """Where the gripper may be, metres in the base frame, and how fast."""

    low_m: Vector
    high_m: Vector
    table_m: float
    """The gripper stays above this height."""
    speed_m_s: float
    """Most it moves between two commands, over their period."""
    soft_zone_m: float
    """Before a face of the workspace the speed towards it falls in proportion to the distance."""


@dataclass(frozen=True)
class Limits:
    """Everything that a sent command must satisfy."""

    joints: Mapping[str, JointLimits]
    """By name, in the policy's order."""
    gripper: GripperLimits | None
    """None for a robot without known kinematics."""
    soft_zone_rad: float = 0.1
    """Before a position limit the speed towards it falls in proportion to the distance."""
    lead_rad: float = 0.5
    """A target runs at most this far ahead of the measured joint."""

    @classmethod
    def read(cls, path: Path, joint_names: tuple[str, ...]) -> "Limits":
        """Read a limits file.

        Raises:
            SimrealError: naming file, key and value, and the nearest valid key.
        """
        raw = mapping(path, load_yaml(path, "limits"), "", ("joints", "gripper", "soft_zone_rad", "lead_rad"))
        joints = mapping(path, raw.get("joints"), "joints", joint_names)
        if missing := [name for name in joint_names if name not in joints]:
            raise SimrealError(f"{path}: joints: no entry for {', '.join(missing)}")
        gripper = raw.get("gripper")
        return cls(
            {name: _joint(path, joints[name], f"joints: {name}") for name in joint_names},
            None if gripper is None else _gripper(path, gripper),
            number(path, raw.get("soft_zone_rad", cls.soft_zone_rad), "soft_zone_rad", 0),
            number(path, raw.get("lead_rad", cls.lead_rad), "lead_rad", 0),
        )

    @classmethod
    def of_robot(cls, robot: str, joint_names: tuple[str, ...]) -> "Limits":
        """Return the published limits of a robot that this project knows.

        Raises:
            SimrealError: with the nearest known name.
        """
        folder = Path(str(files("simreal.deploy"))) / "limits"
        known = sorted(path.stem for path in folder.glob("*.yaml"))
        if robot not in known:
            raise SimrealError(f"no limits known for robot {robot!r}: give --limits; {nearest(robot, known)}")
        return cls.read(folder / f"{robot}.yaml", joint_names)


def _joint(path: Path, raw: Any, where: str) -> JointLimits:
    values = mapping(path, raw, where, _JOINT)
    lower, upper = numbers(path, values.get(_JOINT[0]), f"{where}: {_JOINT[0]}", 2)
    if lower >= upper:
        raise SimrealError(f"{path}: {where}: {_JOINT[0]}: [{lower:g}, {upper:g}] is no range")
    return JointLimits(lower, upper, *(number(path, values.get(k), f"{where}: {k}", 0) for k in _JOINT[1:]))


def _gripper(path: Path, raw: Any) -> GripperLimits:
    values = mapping(path, raw, "gripper", _GRIPPER)
    box = values.get("workspace_m")
    if not isinstance(box, list) or len(box) != 2:
        raise SimrealError(f"{path}: gripper: workspace_m: takes [[x, y, z], [x, y, z]], not {box!r}")
    low, high = (numbers(path, corner, "gripper: workspace_m", 3) for corner in box)
    if any(a >= b for a, b in zip(low, high, strict=True)):
        raise SimrealError(f"{path}: gripper: workspace_m: {box} is no box: every low must be below its high")
    table = number(path, values.get("table_m"), "gripper: table_m")
    if table >= high[2]:
        raise SimrealError(f"{path}: gripper: table_m: {table:g} is not below the top, {high[2]:g}")
    speed, zone = (number(path, values.get(k), f"gripper: {k}", 0) for k in _GRIPPER[2:])
    return GripperLimits((low[0], low[1], low[2]), (high[0], high[1], high[2]), table, speed, zone)
