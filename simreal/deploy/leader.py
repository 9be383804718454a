"""Leaders: what a person moves a robot with, and how its targets become the policy's actions.

A leader is a LeRobot teleoperator by shape; lerobot is never imported. It gives either joint targets under
the robot's own keys (a leader arm), or LeRobot's `delta_x`, `delta_y`, `delta_z` in [-1, 1] and `gripper`
(0 closes, 1 leaves it, 2 opens), as its gamepads and keyboards do.
"""

import importlib
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from envs.controller import Controller
from policies import BundleManifest, PolicyBundle
from simreal.deploy.drift import DriftStatistics
from simreal.deploy.fit import robot_spec
from simreal.deploy.robot import Features, Mapping, Values
from simreal.deploy.runtime import Decision, Observation
from simreal.deploy.simulated import SimulatedRobot
from simreal.errors import SimrealError, nearest

DELTAS = ("delta_x", "delta_y", "delta_z")
GRIPPER = "gripper"
_CLOSE, _OPEN = 0.5, 1.5  # below, above


@runtime_checkable
class Leader(Protocol):
    """A teleoperator as LeRobot describes one (`lerobot/teleoperators/teleoperator.py`)."""

    @property
    def action_features(self) -> Features:
        """What `get_action` gives."""

    def connect(self, calibrate: bool = True) -> None:
        """Open the connection."""

    def get_action(self) -> Values:
        """Return the newest targets."""

    def disconnect(self) -> None:
        """Close it; closing twice is harmless."""


class LeaderRuntime:
    r"""A leader in a policy's place: the loop filters, sends and logs what it wants.

    The action is what a policy would have had to decide for the arm to go where the leader is,

    .. math:: a = (x_{leader} - x_{measured}) / scale

    with :math:`x` (3,) the gripper's position in m by forward kinematics, or (n,) the joints in rad where
    actions are joint displacements. A leader further away than a full action is followed at full action, in
    its direction. The gripper's orientation is the controller's, as for the policy, whatever the leader's is.
    """

    drift: DriftStatistics | None = None
    weights_sha256 = ""

    def __init__(
        self, leader: Leader, manifest: BundleManifest, controller: Controller, mapping: Mapping
    ) -> None:
        """Put a leader in a policy's place.

        Args:
            leader: Connected.
            manifest: Of the policy whose actions are wanted.
            controller: For the policy's actions.
            mapping: Of the robot; a leader arm has the same keys and units.

        Raises:
            SimrealError: if the leader gives neither joints nor deltas, naming what it lacks.
        """
        self.manifest = manifest
        self._leader, self._controller, self._mapping = leader, controller, mapping
        self._scale = np.asarray(manifest.action.scale)
        self._open_m = robot_spec(manifest).opening_m
        self._uses_gripper = manifest.action.order[-1] == "gripper_opening"
        self._opening = 1.0
        self._by_joints = self._gives_joints()

    def decide(self, observation: Observation) -> Decision:
        """Return what the leader wants at one observation, as a policy's decision."""
        targets, n = self._leader.get_action(), len(self._mapping.joints)
        proprio = observation["proprio"].astype(np.float64)
        if not self._by_joints:
            motion = np.array([float(targets[key]) for key in DELTAS])
        elif self._controller.dimensions == 3:
            there = self._controller.kinematics.forward(self._mapping.joint_positions(targets))
            motion = (there - proprio[n : n + 3]) / self._controller.scale
        else:
            motion = (self._mapping.joint_positions(targets) - proprio[:n]) / self._controller.scale
        motion = motion / max(1.0, float(np.abs(motion).max()))
        action = np.append(motion, self._wanted_opening(targets)) if self._uses_gripper else motion
        return Decision((action * self._scale).astype(np.float32), None)

    def _wanted_opening(self, targets: Values) -> float:
        """Return the opening in [-1, 1]; a leader that does not say leaves it."""
        channel = self._mapping.gripper
        if self._by_joints and channel is not None and channel.key in targets:
            width = channel.to_policy(float(targets[channel.key]))
            self._opening = float(np.clip(2 * width / self._open_m - 1, -1.0, 1.0))
        elif GRIPPER in targets:
            said = float(targets[GRIPPER])
            self._opening = -1.0 if said < _CLOSE else 1.0 if said > _OPEN else self._opening
        return self._opening

    def _gives_joints(self) -> bool:
        features, keys = self._leader.action_features, [c.key for c in self._mapping.joints.values()]
        missing = [key for key in keys if key not in features]
        if not missing:
            return True
        if self._controller.dimensions == 3 and all(key in features for key in DELTAS):
            return False
        wanted = f"{missing[0]!r} ({nearest(missing[0], features)})"
        also = f", nor {', '.join(DELTAS)}" if self._controller.dimensions == 3 else ""
        raise SimrealError(f"leader {type(self._leader).__name__}: its action has no {wanted}{also}")


class TeacherLeader:
    """The teacher leads a simulated robot, from the true state that only a simulation can tell."""

    def __init__(self, teacher: PolicyBundle, robot: SimulatedRobot) -> None:
        """Prepare to lead.

        Args:
            teacher: Reads `privileged` and displaces the gripper.
            robot: One that tells its true state.

        Raises:
            SimrealError: if the bundle is no teacher.
        """
        names = teacher.manifest.policy.observation_names
        if tuple(names) != ("privileged",) or teacher.manifest.action.meaning != "end-effector displacement":
            raise SimrealError(
                f"--teacher: a bundle that reads {', '.join(names)} cannot lead; a teacher can"
            )
        self._policy, self._robot = teacher.policy, robot
        self._uses_gripper = teacher.manifest.action.order[-1] == "gripper_opening"

    @property
    def action_features(self) -> Features:
        """Displacements, and the gripper if the task uses it."""
        return dict.fromkeys((*DELTAS, GRIPPER) if self._uses_gripper else DELTAS, float)

    def connect(self, calibrate: bool = True) -> None:
        """Nothing to connect."""

    def get_action(self) -> Values:
        """Return what the teacher would do now."""
        action: NDArray[np.float32] = self._policy.act({"privileged": self._robot.privileged})
        values: Values = dict(zip(DELTAS, action[:3].tolist(), strict=True))
        return values | ({GRIPPER: 2.0 if action[-1] > 0 else 0.0} if self._uses_gripper else {})

    def disconnect(self) -> None:
        """Nothing to disconnect."""


def made_by(factory: str) -> Leader:
    """Return the leader that `module:factory` makes.

    Raises:
        SimrealError: if there is none of that name, or it is no leader.
    """
    module, _, name = factory.partition(":")
    try:
        leader = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError) as error:
        raise SimrealError(f"--leader {factory!r}: {' '.join(str(error).split())}") from None
    members = ("action_features", "connect", "get_action", "disconnect")
    if missing := [member for member in members if not hasattr(leader, member)]:
        raise SimrealError(f"--leader {factory!r}: {type(leader).__name__} has no {', '.join(missing)}")
    found: Leader = leader
    return found
