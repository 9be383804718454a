"""Reach: bring the gripper to the goal cube on the table."""

import numpy as np
from numpy.typing import NDArray

from envs.camera import GOAL
from envs.parameters import SceneParameters
from envs.robots.base import Robot
from envs.simulation import Simulation
from envs.tasks.base import Task
from envs.tasks.table import CUBE_HALF_M, Tabletop, scatter

SUCCESS_DISTANCE_M = 0.04
# Above the cube's centre: the open fingers come down around it without touching it.
_GOAL_HEIGHT_M = 0.045


class Reach(Task):
    """Bring the point between the finger tips to the goal cube.

    Randomized: position and yaw of the cube, where the gripper starts, the distractors.
    Success: the point between the finger tips is within 0.04 m of a point 0.045 m above the
    table, at the centre of the cube's upper face. The episode ends there.
    Reward: minus the distance in metres, and 1 at success.
    """

    description = "bring the gripper to the red cube"
    max_steps = 40
    privileged_order = (
        *(f"goal_position_m.{axis}" for axis in "xyz"),
        *(f"gripper_to_goal_m.{axis}" for axis in "xyz"),
        *(f"gripper_velocity_m_s.{axis}" for axis in "xyz"),
    )

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._tabletop = Tabletop(simulation)
        self._cube = simulation.add_box((CUBE_HALF_M,) * 3, (0.5, 0.0, CUBE_HALF_M), collides=False)
        self.segments = self._tabletop.segments | {self._cube: GOAL}
        self.goal_position_m = np.zeros(3)

    def reset(self, rng: np.random.Generator, scene: SceneParameters) -> None:
        """Place the goal cube, then the rest."""
        goal = scatter(rng, 1, np.empty((0, 2)))[0]
        self._simulation.place(
            self._cube, (float(goal[0]), float(goal[1]), CUBE_HALF_M), rng.uniform(-np.pi, np.pi)
        )
        self._tabletop.reset(rng, scene, goal[None])
        self.goal_position_m = np.array([*goal, _GOAL_HEIGHT_M])

    def start_position(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return a start in a box above the table, at least 0.12 m above the goals."""
        return rng.uniform((0.32, -0.2, 0.18), (0.55, 0.2, 0.36))

    def privileged(self, robot: Robot) -> NDArray[np.float32]:
        """Return the goal's position, the way there (m), the gripper's velocity (m/s), float32 (9,)."""
        position, velocity = robot.gripper_state()
        way = self.goal_position_m - position
        return np.concatenate([self.goal_position_m, way, velocity]).astype(np.float32)

    def reward(self, robot: Robot) -> tuple[float, bool]:
        """Return minus the distance, plus 1 at success."""
        position, _ = robot.gripper_state()
        distance = float(np.linalg.norm(position - self.goal_position_m))
        success = distance <= SUCCESS_DISTANCE_M
        return float(success) - distance, success
