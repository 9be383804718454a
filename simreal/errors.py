"""Errors that a user can act on: one line, naming what was wrong, where, and what would be right."""


class SimrealError(Exception):
    """Something the user asked for cannot be done; the message is the whole story."""
