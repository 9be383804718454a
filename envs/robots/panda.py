"""Franka Emika Panda with its parallel gripper."""

from envs.robots.base import RobotSpec

PANDA = RobotSpec(
    name="panda",
    urdf="franka_panda/panda.urdf",
    arm_joints=(0, 1, 2, 3, 4, 5, 6),
    finger_joints=(9, 10),
    gripper_link=11,
    hand_link=8,
    # Gripper points down, 0.43 m in front of the base, 0.23 m above the table.
    home_rad=(0.0, -0.215, 0.0, -2.57, 0.0, 2.356, 0.785),
    opening_m=0.08,
    finger_range=(0.0, 0.04),
    # Reaches half of a commanded displacement within one 0.05 s control period.
    position_gain=0.1,
    joint_names=tuple(f"panda_joint{index}" for index in range(1, 8)),
)
