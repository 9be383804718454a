"""`Rig`: a robot that is open, with what brings it together with a policy."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from envs.controller import Controller
from envs.robots import RobotSpec
from policies import BundleManifest
from simreal.bundles import load_bundle
from simreal.deploy.fit import check_fit, make_controller, robot_spec
from simreal.deploy.limits import Limits
from simreal.deploy.opening import open_robot
from simreal.deploy.robot import Mapping, Robot
from simreal.deploy.runtime import OnnxRuntime
from simreal.deploy.session import Session
from simreal.deploy.simulated import SimulatedRobot
from simreal.errors import SimrealError
from simreal.progress import say


@dataclass(frozen=True)
class Rig:
    """A connected robot that fits a policy."""

    robot: Robot
    spec: RobotSpec
    mapping: Mapping
    controller: Controller
    limits: Limits
    period_s: float
    """Time between two decisions."""
    overridden: list[str]
    """What spoke against it, and was overridden in words."""


@contextlib.contextmanager
def open_rig(
    session: Session, manifest: BundleManifest, override: str | None, revealed: bool = False
) -> Iterator[Rig]:
    """Open the robot of a session, and close it afterwards.

    Args:
        session: Which robot.
        manifest: Of the policy.
        override: As `check_fit` takes it.
        revealed: Whether a simulated robot tells its true state as well.

    Raises:
        SimrealError: if it does not fit the policy.
    """
    spec = robot_spec(manifest)
    period_s = 1 / session.rate_hz if session.rate_hz else manifest.control_period_s
    controller, names = make_controller(manifest), spec.joint_names
    mapping = Mapping.read(session.mapping, names) if session.mapping else Mapping.default(names)
    limits = Limits.read(session.limits, names) if session.limits else Limits.of_robot(spec.name, names)
    multiple = session.loop.command_multiple
    robot = open_robot(
        session.robot,
        manifest,
        names,
        period_s,
        multiple,
        session.domain,
        session.pacing,
        session.robot_config,
    )
    if revealed and isinstance(robot, SimulatedRobot):
        robot.reveal()
    with connected(robot):
        overridden = check_fit(manifest, controller, mapping, robot, period_s, override)
        for objection in overridden:
            say(f"overridden ({override}): {objection}")
        yield Rig(robot, spec, mapping, controller, limits, period_s, overridden)


@contextlib.contextmanager
def connected(robot: Robot) -> Iterator[None]:
    """Connect a robot while the block lasts."""
    try:
        robot.connect()
    except SimrealError:
        raise
    except Exception as error:  # a driver raises what it likes
        raise SimrealError(f"robot {robot.name!r}: {' '.join(str(error).split())}") from None
    try:
        yield
    finally:
        robot.disconnect()


def read_manifest(policy: Path) -> BundleManifest:
    """Return the manifest of a bundle or an exported model.

    Raises:
        SimrealError: if it is neither, or damaged.
    """
    return OnnxRuntime(policy).manifest if policy.suffix == ".onnx" else load_bundle(policy).manifest
