"""Tasks, one a file."""

from envs.tasks.base import Task
from envs.tasks.reach import Reach

__all__ = ["Reach", "Task"]
