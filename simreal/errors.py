"""Errors that a user can act on: one line, naming what was wrong, where, and what would be right."""

from envs.errors import suggestion as nearest

__all__ = ["SimrealError", "at_least", "nearest"]


class SimrealError(Exception):
    """Something the user asked for cannot be done; the message is the whole story."""


def at_least(least: int, **counts: int | None) -> None:
    """Refuse counts below `least`; None is left to whoever has a default.

    Raises:
        SimrealError: naming the option and its value.
    """
    for name, count in counts.items():
        if count is not None and count < least:
            raise SimrealError(f"--{name} {count}: must be at least {least}")
