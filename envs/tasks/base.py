"""The task interface: what stands on the table, what counts as success, what the reward is."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from envs.parameters import SceneParameters
from envs.robots.base import Robot
from envs.simulation import Simulation


class Task(ABC):
    """One task in one simulation. Positions are in metres in the robot's base frame."""

    uses_gripper: ClassVar[bool] = False
    """Whether the action has one more element that opens (+1) and closes (-1) the gripper."""
    description: ClassVar[str]
    """An instruction in a sentence, stored with demonstrations."""
    max_steps: ClassVar[int]
    privileged_order: ClassVar[tuple[str, ...]]
    """Meaning of each element of `privileged`; the first three are the goal's position."""
    segments: dict[int, int]
    """Body id -> segment of `envs.camera`."""

    @abstractmethod
    def __init__(self, simulation: Simulation) -> None:
        """Build the bodies of the task."""

    @abstractmethod
    def reset(self, rng: np.random.Generator, scene: SceneParameters) -> None:
        """Place everything for a new episode."""

    @abstractmethod
    def start_position(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return where the gripper starts, (3,)."""

    @abstractmethod
    def privileged(self, robot: Robot) -> NDArray[np.float32]:
        """Return the true state that only a teacher may see, in `privileged_order`."""

    @abstractmethod
    def reward(self, robot: Robot) -> tuple[float, bool]:
        """Return the reward of the present state, and whether it is a success."""
