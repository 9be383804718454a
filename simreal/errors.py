"""Errors that a user can act on: one line, naming what was wrong, where, and what would be right."""

from envs.errors import suggestion as nearest

__all__ = ["SimrealError", "nearest"]


class SimrealError(Exception):
    """Something the user asked for cannot be done; the message is the whole story."""
