"""Robots: a `RobotSpec` a file, and `Robot`, which binds one to a simulation."""

import copy
import functools
import tempfile
from dataclasses import dataclass
from operator import sub
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pybullet_data
from numpy.typing import NDArray

from envs.native import pybullet
from envs.simulation import Simulation


@dataclass(frozen=True)
class RobotSpec:
    """A manipulator as PyBullet knows it; joints in the order of the arm, base first."""

    name: str
    urdf: str
    """Path inside `pybullet_data`, or an absolute one."""
    arm_joints: tuple[int, ...]
    finger_joints: tuple[int, ...]
    """All that close together, each by its own motor."""
    gripper_link: int
    """The link of the gripper; its z axis points out of the hand, between the fingers."""
    hand_link: int
    """The link that carries a payload."""
    home_rad: tuple[float, ...]
    opening_m: float
    """Between the fingers when they are open."""
    finger_range: tuple[float, float]
    """Position of each finger joint when closed and when open, metres or radians."""
    position_gain: float
    """PyBullet position gain of the joint servos at `joint_kp_scale` 1."""
    joint_names: tuple[str, ...]
    finger_force: float = 20.0
    """Limit of each finger motor, N or Nm."""
    gripper_offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """From the origin of the gripper's link to the point between the finger tips, in the link's frame."""

    @property
    def joint_per_metre(self) -> float:
        """How far a finger joint moves (m or rad) for a metre of opening."""
        closed, opened = self.finger_range
        return (opened - closed) / self.opening_m


class Robot:
    """One robot in a simulation, moved by joint position targets."""

    def __init__(self, simulation: Simulation, spec: RobotSpec) -> None:
        self._client = simulation.client
        self.spec = spec
        self.body = load_robot(self._client, spec)
        for shape in self._client.getVisualShapeData(self.body):
            self._client.changeVisualShape(self.body, shape[1], rgbaColor=(1.0,) * 4)
        info = [self._client.getJointInfo(self.body, joint) for joint in spec.arm_joints]
        self.lower_rad = np.array([joint[8] for joint in info])
        self.upper_rad = np.array([joint[9] for joint in info])
        self.force_limits_nm = np.array([joint[10] for joint in info])
        self.velocity_limits_rad_s = np.array([joint[11] for joint in info])
        # Written by envs.physics at every reset; nominal until then.
        self.gain = spec.position_gain
        self.forces_nm = self.force_limits_nm.copy()
        self.velocities_rad_s = self.velocity_limits_rad_s.copy()

    def reset(self, joints_rad: NDArray[np.float64]) -> None:
        """Put the arm at rest at these joint positions, fingers open."""
        for joint, value in zip(self.spec.arm_joints, joints_rad, strict=True):
            self._client.resetJointState(self.body, joint, value, 0.0)
        for joint in self.spec.finger_joints:
            self._client.resetJointState(self.body, joint, self.spec.finger_range[1], 0.0)
        self.command(joints_rad, self.spec.opening_m)

    def command(self, targets_rad: NDArray[np.float64], width_m: float) -> None:
        """Set the servo targets of the arm and the opening of the gripper."""
        for index, joint in enumerate(self.spec.arm_joints):
            self._client.setJointMotorControl2(
                self.body,
                joint,
                pybullet.POSITION_CONTROL,
                targetPosition=float(targets_rad[index]),
                positionGain=self.gain,
                force=float(self.forces_nm[index]),
                maxVelocity=float(self.velocities_rad_s[index]),
            )
        finger = self.spec.finger_range[0] + width_m * self.spec.joint_per_metre
        for joint in self.spec.finger_joints:
            self._client.setJointMotorControl2(
                self.body,
                joint,
                pybullet.POSITION_CONTROL,
                targetPosition=finger,
                force=self.spec.finger_force,
            )

    def joint_positions(self) -> NDArray[np.float64]:
        """Return the arm's joint positions, (n,) rad."""
        states = self._client.getJointStates(self.body, self.spec.arm_joints)
        return np.array([state[0] for state in states])

    def gripper_width(self) -> float:
        """Return the opening between the fingers, metres."""
        states = self._client.getJointStates(self.body, self.spec.finger_joints)
        travel = sum(state[0] - self.spec.finger_range[0] for state in states) / len(states)
        return float(travel / self.spec.joint_per_metre)

    def gripper_state(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the gripper's true position (m) and linear velocity (m/s), (3,) each."""
        state = self._client.getLinkState(
            self.body, self.spec.gripper_link, computeLinkVelocity=1, computeForwardKinematics=1
        )
        offset = self.spec.gripper_offset_m
        # PyBullet tells the velocity of the link's centre of mass.
        x, y, z = turned(self._client, state[5], tuple(map(sub, offset, state[2])))
        spin_x, spin_y, spin_z = state[7]
        swing = (spin_y * z - spin_z * y, spin_z * x - spin_x * z, spin_x * y - spin_y * x)
        return np.add(state[4], turned(self._client, state[5], offset)), np.add(state[6], swing)


def turned(client: Any, quaternion: Any, vector: tuple[float, ...]) -> tuple[float, float, float]:
    """Return a vector (3,) turned by a quaternion (x, y, z, w)."""
    # Plain numbers: for three of them NumPy takes ten times as long.
    r = client.getMatrixFromQuaternion(quaternion)
    x, y, z = vector
    return (
        r[0] * x + r[1] * y + r[2] * z,
        r[3] * x + r[4] * y + r[5] * z,
        r[6] * x + r[7] * y + r[8] * z,
    )


def load_robot(client: Any, spec: RobotSpec) -> int:
    """Load the robot into a physics server, its base fixed at the origin, and return its body id."""
    # PyBullet reads files only. One of our own, gone at once: no other process or user is in the way.
    with tempfile.TemporaryDirectory(prefix="simreal-") as folder:
        path = Path(folder) / f"{spec.name}.urdf"
        path.write_text(_low_polygon_urdf(spec.urdf), encoding="utf-8")
        return int(client.loadURDF(str(path), useFixedBase=True))


@functools.cache
def _low_polygon_urdf(urdf: str) -> str:
    """Return a URDF whose visuals are its collision shapes, and whose meshes have absolute paths.

    TinyRenderer pays for every triangle: the Panda's visual meshes have about 100,000, its
    collision meshes 3,000, and a 64-pixel frame takes a tenth of the time.
    """
    source = Path(pybullet_data.getDataPath()) / urdf
    root = ElementTree.parse(source).getroot()
    for mesh in root.iter("mesh"):
        mesh.set("filename", (source.parent / mesh.get("filename", "").removeprefix("package://")).as_posix())
    for link in root.iter("link"):
        shapes = [copy.deepcopy(shape) for shape in link.findall("collision")]
        for visual in link.findall("visual") if shapes else ():
            link.remove(visual)
        for shape in shapes:
            shape.tag = "visual"
        link.extend(shapes)
    return ElementTree.tostring(root, encoding="unicode")
