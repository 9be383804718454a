"""Keys of the terminal, one by one and without waiting for Enter; and a leader made of them."""

import os
import select
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

from simreal.deploy.leader import DELTAS, GRIPPER
from simreal.deploy.robot import Features, Values
from simreal.errors import SimrealError

_MOTIONS = {"w": (0, 1), "s": (0, -1), "a": (1, 1), "d": (1, -1), "e": (2, 1), "c": (2, -1)}
_GRIPPER = {"o": 2.0, "p": 0.0}
KEYS_HELP = "w/s away and back, a/d left and right, e/c up and down, o/p open and close the gripper"
_HELD_S = 0.15  # a terminal tells presses, not releases; a held key repeats every 30 to 50 ms
_KEPT = 64  # keys nobody has asked for yet


class Keys:
    """What was typed and not taken yet; use it as a context, so that the terminal is given back.

    ctrl-C goes on to interrupt. Input that is no terminal is read in the same way, character by character.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._fd = (sys.stdin if file is None else file).fileno()
        self._before: list[Any] | None = None
        self._typed: deque[str] = deque(maxlen=_KEPT)
        self.closed = False
        """Whether there will never be a key again."""

    @property
    def is_terminal(self) -> bool:
        """Tell whether somebody types."""
        return os.isatty(self._fd)

    def __enter__(self) -> "Keys":
        if self.is_terminal:
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def take(self, wanted: str) -> list[str]:
        """Return the keys among `wanted` that were typed, in order; the others stay."""
        self._read()
        taken = [key for key in self._typed if key in wanted]
        self._typed = deque((key for key in self._typed if key not in wanted), _KEPT)
        return taken

    def clear(self) -> None:
        """Forget what was typed."""
        self._read()
        self._typed.clear()

    def _read(self) -> None:
        while not self.closed and select.select([self._fd], [], [], 0)[0]:
            typed = os.read(self._fd, 1024)
            self.closed = not typed
            self._typed.extend(typed.decode(errors="ignore").replace("\r", "\n"))


def terminal() -> Keys:
    """Return the keys of the terminal.

    Raises:
        SimrealError: if there is none.
    """
    keys = Keys()
    if not keys.is_terminal:
        raise SimrealError("a person is asked at the prompt, and standard input is no terminal")
    return keys


class KeyboardLeader:
    """Moves the gripper while keys are pressed."""

    def __init__(self, keys: Keys, speed: float = 0.3, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare to lead.

        Args:
            keys: Of the terminal.
            speed: Share of a full action.
            clock: Seconds.
        """
        self._keys, self._speed, self._clock = keys, speed, clock
        self._until: dict[str, float] = {}
        self._gripper = 1.0

    @property
    def action_features(self) -> Features:
        """Displacements and the gripper."""
        return dict.fromkeys((*DELTAS, GRIPPER), float)

    def connect(self, calibrate: bool = True) -> None:
        """Nothing to connect."""

    def get_action(self) -> Values:
        """Return the displacement that the keys pressed just now ask for."""
        now = self._clock()
        for key in self._keys.take("".join((*_MOTIONS, *_GRIPPER))):
            if key in _GRIPPER:
                self._gripper = _GRIPPER[key]
            else:
                self._until[key] = now + _HELD_S
        motion = [0.0, 0.0, 0.0]
        for key, (axis, sign) in _MOTIONS.items():
            motion[axis] += sign * self._speed * (self._until.get(key, 0.0) > now)
        return dict(zip(DELTAS, motion, strict=True)) | {GRIPPER: self._gripper}

    def disconnect(self) -> None:
        """Nothing to disconnect."""
