"""From what a user named to what a loop needs: the policy's runtime and the robot."""

import importlib
from pathlib import Path
from typing import Any

import gymnasium

from envs import Domain
from policies import BundleManifest
from simreal.bundles import load_bundle
from simreal.deploy.robot import Robot
from simreal.deploy.ros2_config import Ros2Config
from simreal.deploy.runtime import OnnxRuntime
from simreal.deploy.simulated import SimulatedRobot
from simreal.deploy.simulated_process import Pacing
from simreal.errors import SimrealError, nearest
from simreal.export import MODEL, export

SIMULATED = ("simulated", "ros2-server")
"""Robots whose episodes can be started and judged."""
ROBOTS = (*SIMULATED, "ros2")
_FALSE_ALARMS = 0.01
_MEMBERS = (
    "name", "observation_features", "action_features", "is_connected",
    "connect", "disconnect", "get_observation", "send_action",
)  # fmt: skip


def open_runtime(policy: Path, folder: Path, source: Path | None = None, seed: int = 0) -> OnnxRuntime:
    """Return the runtime of an exported model, or of a bundle, which is exported into `folder` first.

    Raises:
        SimrealError: if it is neither, or damaged.
    """
    if policy.suffix == ".onnx":
        return OnnxRuntime(policy)
    result = export(load_bundle(policy), folder / MODEL, source, _FALSE_ALARMS, seed)
    return OnnxRuntime(result.model)


def open_robot(
    name: str,
    manifest: BundleManifest,
    joint_names: tuple[str, ...],
    period_s: float,
    multiple: int,
    domain: Domain | None = None,
    pacing: Pacing = "real-time",
    robot_config: Path | None = None,
) -> Robot:
    """Return a robot that is not connected yet.

    `simulated`; `ros2`: ros2_control's topics, as the YAML of `robot_config` says; `ros2-server`:
    scripts/robot_server.py, which runs in the same pacing; or what `module:factory` makes.

    Raises:
        SimrealError: if there is none of that name, or it is no robot.
    """
    if name == "simulated":
        size = manifest.policy.observation_shapes.get("image", (64,))[0]
        return SimulatedRobot(
            manifest.env_id,
            domain,
            control_period_s=period_s,
            pacing=pacing,
            command_multiple=multiple,
            image_size=size,
        )
    if name == "ros2" and pacing == "real-time":
        from simreal.deploy.ros2 import Ros2Robot  # here, since it needs an extra

        config = Ros2Config.read(robot_config, joint_names) if robot_config else Ros2Config(joint_names)
        return Ros2Robot(config)
    if name == "ros2-server":
        from simreal.deploy.ros2_node import use_loopback
        from simreal.deploy.ros2_simulated import SimulatedRos2Robot

        use_loopback()  # where the server is, too
        return SimulatedRos2Robot(Ros2Config.of_server(joint_names, lock_step=pacing == "lock-step"))
    if pacing == "lock-step":
        raise SimrealError(f"--pacing lock-step: only a simulated robot waits; --robot {name!r} does not")
    module, colon, factory = name.partition(":")
    if not colon:
        raise SimrealError(f"--robot {name!r}: {nearest(name, ROBOTS)}, or module:factory")
    try:
        robot = getattr(importlib.import_module(module), factory)()
    except Exception as error:  # a factory raises what it likes
        raise SimrealError(f"--robot {name!r}: {' '.join(str(error).split())}") from None
    if missing := [member for member in _MEMBERS if not hasattr(robot, member)]:
        raise SimrealError(f"--robot {name!r}: {type(robot).__name__} has no {', '.join(missing)}")
    return robot


def task_of(manifest: BundleManifest) -> Any:
    """Return the task that a policy was trained for."""
    env: Any = gymnasium.make(manifest.env_id, image=False).unwrapped
    env.close()
    return env.task
