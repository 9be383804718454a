"""Manipulators, one a file."""

from envs.robots.base import Robot, RobotSpec
from envs.robots.panda import PANDA

__all__ = ["PANDA", "Robot", "RobotSpec"]
