"""From a policy's action to joint targets: the same code in simulation and on a robot."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from envs.robots.base import RobotSpec, load_robot, turned
from envs.simulation import connect

ControlMode = Literal["end-effector displacement", "joint displacement"]
DISPLACEMENT_M = 0.05  # a full action, per axis and control period: 1 m/s at 20 Hz
DISPLACEMENT_RAD = 0.15
_DOWN = (1.0, 0.0, 0.0, 0.0)  # quaternion (x, y, z, w): the gripper points at the table
_DOWN_AXES = np.array((1.0, -1.0, -1.0))  # the diagonal of that rotation


class Kinematics:
    """Forward and inverse kinematics of a robot alone, apart from any simulation of the world."""

    def __init__(self, spec: RobotSpec) -> None:
        self._client: Any = connect()
        self._spec, self.joint_names = spec, spec.joint_names
        self._body = load_robot(self._client, spec)
        info = [self._client.getJointInfo(self._body, joint) for joint in spec.arm_joints]
        self.lower_rad = np.array([joint[8] for joint in info])
        self.upper_rad = np.array([joint[9] for joint in info])
        self._origins, self._turns, self._tip = self._screws(info)

    def forward(self, joints_rad: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gripper's position (3,), metres in the base frame."""
        self._set(joints_rad)
        state = self._client.getLinkState(self._body, self._spec.gripper_link, computeForwardKinematics=1)
        return np.add(state[4], turned(self._client, state[5], self._spec.gripper_offset_m))

    def forward_many(self, joints_rad: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gripper's positions (..., 3), metres, for joint positions (..., n) at once.

        Product of exponentials (Lynch & Park 2017, Modern Robotics, 4.1): the gripper at zero is turned
        about each joint's axis at zero, the last joint first.
        """
        position = np.broadcast_to(self._tip, (*joints_rad.shape[:-1], 3))
        sines, cosines = np.sin(joints_rad), np.cos(joints_rad)
        for joint in reversed(range(joints_rad.shape[-1])):
            arm = position - self._origins[joint]
            across = arm @ self._turns[joint].T  # Rodrigues: K r, and K K r
            position = position + sines[..., joint, None] * across
            position = position + (1 - cosines[..., joint, None]) * (across @ self._turns[joint].T)
        return position

    def inverse(
        self, joints_rad: NDArray[np.float64], position_m: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return joint positions near `joints_rad` that bring the gripper to `position_m`, pointing down."""
        self._set(joints_rad)
        link = position_m - _DOWN_AXES * self._spec.gripper_offset_m
        solution = self._client.calculateInverseKinematics(
            self._body, self._spec.gripper_link, link.tolist(), _DOWN, maxNumIterations=20
        )
        return np.clip(solution[: len(self._spec.arm_joints)], self.lower_rad, self.upper_rad)

    def close(self) -> None:
        """Free the kinematic model."""
        if self._client.isConnected():
            self._client.disconnect()

    def _screws(
        self, info: list[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return, at zero joint positions, each joint's origin and cross-product matrix, and the gripper."""
        self._set(np.zeros(len(info)))
        origins, turns = [], []
        for joint, entry in zip(self._spec.arm_joints, info, strict=True):
            state = self._client.getLinkState(self._body, joint, computeForwardKinematics=1)
            rotation = np.reshape(self._client.getMatrixFromQuaternion(state[5]), (3, 3))
            x, y, z = rotation @ np.array(entry[13])
            origins.append(state[4])
            turns.append([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        tip = self.forward(np.zeros(len(self._spec.arm_joints)))
        return np.array(origins), np.array(turns), tip

    def _set(self, joints_rad: NDArray[np.float64]) -> None:
        for joint, value in zip(self._spec.arm_joints, joints_rad, strict=True):
            self._client.resetJointState(self._body, joint, value)


class Controller:
    """Turns an action in [-1, 1] into joint targets, from measured joint positions only."""

    def __init__(self, spec: RobotSpec, mode: ControlMode = "end-effector displacement") -> None:
        self.kinematics = Kinematics(spec)
        self.mode = mode
        self.dimensions = 3 if mode == "end-effector displacement" else len(spec.arm_joints)
        self.scale = DISPLACEMENT_M if self.dimensions == 3 else DISPLACEMENT_RAD

    def joint_targets(
        self, joints_rad: NDArray[np.float64], action: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return joint targets (n,) rad.

        Args:
            joints_rad: Measured joint positions, (n,).
            action: (3,) displacement of the gripper in the base frame or (n,) of the joints; 1 is
                `scale` metres or radians.
        """
        if self.mode == "joint displacement":
            targets = joints_rad + self.scale * action
            return np.clip(targets, self.kinematics.lower_rad, self.kinematics.upper_rad)
        position = self.kinematics.forward(joints_rad) + self.scale * action
        return self.kinematics.inverse(joints_rad, position)
