"""What a bundle must have in common with a robot; what it lacks is refused before anything moves."""

from typing import Any

from envs.controller import Controller, ControlMode
from envs.robots import ROBOTS, RobotSpec
from policies import BundleManifest
from simreal.deploy.robot import Mapping, Robot
from simreal.errors import SimrealError, nearest

_GRIPPER = ("gripper_x_m", "gripper_y_m", "gripper_z_m", "gripper_width_m")
_RATE_TOLERANCE = 1e-6


def robot_spec(manifest: BundleManifest) -> RobotSpec:
    """Return the robot that a policy was trained on, by the names of its joints.

    Raises:
        SimrealError: if it reads no proprioception, or of no robot known here.
    """
    order = next((spec.order for spec in manifest.observations if spec.name == "proprio"), ())
    names = tuple(name.removesuffix("_rad") for name in order if name.endswith("_rad"))
    for spec in ROBOTS.values():
        if spec.joint_names == names:
            return spec
    known = "; ".join(f"{spec.name} has {', '.join(spec.joint_names)}" for spec in ROBOTS.values())
    raise SimrealError(
        f"observation 'proprio': joints {', '.join(names) or 'not named'}: of no known robot; {known}"
    )


def make_controller(manifest: BundleManifest) -> Controller:
    """Return the controller that a policy's actions are meant for.

    Raises:
        SimrealError: if there is none for what its actions mean.
    """
    modes: tuple[ControlMode, ...] = ("end-effector displacement", "joint displacement")
    for mode in modes:
        if mode == manifest.action.meaning:
            return Controller(robot_spec(manifest), mode)
    raise SimrealError(
        f"action: meaning: {manifest.action.meaning!r}; {nearest(manifest.action.meaning, modes)}"
    )


def check_fit(
    manifest: BundleManifest,
    controller: Controller,
    mapping: Mapping,
    robot: Robot,
    period_s: float,
    override: str | None = None,
) -> list[str]:
    """Refuse a bundle that does not fit a robot, and return what was overridden.

    Spaces, units and joint order cannot be overridden: there is nothing right to send. A rate or a negative
    verdict can, in words that say why.

    Args:
        manifest: Of the bundle.
        controller: Of the policy's robot.
        mapping: Which key of the robot is which joint.
        robot: What will be moved.
        period_s: Time between two decisions in the loop, seconds.
        override: Words of somebody who wants it all the same.

    Raises:
        SimrealError: naming what differs and what would be right.
    """
    _check_observations(manifest, mapping)
    _check_action(manifest, controller)
    mapping.check(robot)
    _check_camera(manifest, mapping, robot)
    periods = {"the loop": period_s, f"robot {robot.name!r}": getattr(robot, "control_period_s", period_s)}
    objections = [text for text in (_rate(manifest, periods), _verdict(manifest)) if text]
    if objections and not (override and override.strip()):
        raise SimrealError(f'{objections[0]}; to run it all the same, say why: --override "..."')
    return objections


def _check_observations(manifest: BundleManifest, mapping: Mapping) -> None:
    for spec in manifest.observations:
        if spec.name not in ("image", "proprio") and spec.name in manifest.policy.observation_names:
            raise SimrealError(f"observation {spec.name!r}: the bundle reads it, and no robot can tell it")
        if spec.name != "proprio":
            continue
        wanted = (*(f"{name}_rad" for name in mapping.joints), *_GRIPPER)
        if spec.order != wanted:
            raise SimrealError(
                f"observation 'proprio': order: the bundle reads {', '.join(spec.order) or 'nothing named'}; "
                f"the robot gives {', '.join(wanted)}"
            )
        units = tuple("rad" if name.endswith("_rad") else "m" for name in wanted)
        if spec.units != units:
            raise SimrealError(
                f"observation 'proprio': units: the bundle reads {', '.join(spec.units)}; "
                f"the robot gives {', '.join(units)}"
            )


def _check_action(manifest: BundleManifest, controller: Controller) -> None:
    action, names = manifest.action, controller.kinematics.joint_names
    cartesian = controller.dimensions == 3
    motion = ("x_m", "y_m", "z_m") if cartesian else tuple(f"{name}_rad" for name in names)
    if action.order not in (motion, (*motion, "gripper_opening")):
        raise SimrealError(
            f"action: order: the bundle gives {', '.join(action.order)}; the controller takes "
            f"{', '.join(motion)}, and maybe gripper_opening"
        )
    unit, size = "m" if cartesian else "rad", len(motion)
    if set(action.units[:size]) != {unit}:
        raise SimrealError(
            f"action: units: the bundle gives {', '.join(action.units)}; the controller takes {unit}"
        )
    if set(action.scale[:size]) != {controller.scale}:
        raise SimrealError(
            f"action: scale: the bundle gives {action.scale}; the controller takes {controller.scale:g}"
        )
    if (action.low, action.high) != (-1.0, 1.0):
        raise SimrealError(f"action: limits [{action.low:g}, {action.high:g}]; the controller takes [-1, 1]")


def _check_camera(manifest: BundleManifest, mapping: Mapping, robot: Robot) -> None:
    if "image" not in manifest.policy.observation_names:
        return
    if mapping.camera is None:
        raise SimrealError("observation 'image': the bundle reads it; the mapping names no camera")
    shape: Any = robot.observation_features[mapping.camera]
    if not isinstance(shape, tuple) or len(shape) != 3 or shape[2] != 3:
        raise SimrealError(
            f"observation 'image': the bundle reads (height, width, 3); robot {robot.name!r} gives {shape} "
            f"as {mapping.camera!r}"
        )


def _rate(manifest: BundleManifest, periods: dict[str, float]) -> str | None:
    wanted = manifest.control_period_s
    for who, period_s in periods.items():
        if abs(period_s - wanted) > _RATE_TOLERANCE * wanted:
            return f"rate: the bundle acts at {1 / wanted:g} Hz, {who} at {1 / period_s:g} Hz"
    return None


def _verdict(manifest: BundleManifest) -> str | None:
    verdict = manifest.extra.get("verdict")
    if not isinstance(verdict, dict) or verdict.get("verdict") != "negative":
        return None
    baseline, target = verdict.get("baseline", "its baseline"), manifest.extra.get("target", "its target")
    return f"verdict: negative: {manifest.method or 'the policy'} is worse than {baseline} on {target}"
