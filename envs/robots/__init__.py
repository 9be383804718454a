"""Manipulators, one a file."""

from envs.robots.base import Robot, RobotSpec
from envs.robots.panda import PANDA

__all__ = ["PANDA", "ROBOTS", "Robot", "RobotSpec"]

ROBOTS = {spec.name: spec for spec in (PANDA,)}
