"""Errors that a user can act on: one line, naming the file or the part and what is wrong with it."""


class BundleError(ValueError):
    """A bundle that cannot be used; the message names the file and what is wrong with it."""


class Sb3Error(ValueError):
    """A stable-baselines3 model that has no equal here; the message names the part that differs."""

    def __init__(self, message: str) -> None:
        # Names come out of a stranger's file: no line breaks, no sequences that steer a terminal.
        super().__init__("".join(letter if letter.isprintable() else "?" for letter in message))
