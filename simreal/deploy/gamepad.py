"""A gamepad as a leader, read from Linux's joystick device without any library.

Records of 8 bytes: uint32 time (ms), int16 value, uint8 type, uint8 number
(https://docs.kernel.org/input/joydev/joystick-api.html).
"""

import os
import struct
from pathlib import Path

from simreal.deploy.leader import DELTAS, GRIPPER
from simreal.deploy.robot import Features, Values
from simreal.errors import SimrealError

_RECORD = struct.Struct("IhBB")
_BUTTON, _AXIS, _INITIAL = 1, 2, 0x80
_FULL, _DEAD = 32767, 0.1  # a stick at rest is seldom quite at zero
_MOTIONS = {1: (0, -1), 0: (1, -1), 4: (2, -1)}  # left stick up is away, left is left; right stick up is up
_OPEN, _CLOSE = 0, 1
GAMEPAD_HELP = "left stick away, back, left and right; right stick up and down; A opens, B closes the gripper"


class GamepadLeader:
    """Moves the gripper as far as the sticks are pushed."""

    def __init__(self, device: Path = Path("/dev/input/js0"), speed: float = 1.0) -> None:
        """Prepare to lead.

        Args:
            device: Of the gamepad.
            speed: Share of a full action with a stick pushed all the way.
        """
        self._device, self._speed, self._fd = device, speed, -1
        self._motion, self._gripper = [0.0, 0.0, 0.0], 1.0

    @property
    def action_features(self) -> Features:
        """Displacements and the gripper."""
        return dict.fromkeys((*DELTAS, GRIPPER), float)

    def connect(self, calibrate: bool = True) -> None:
        """Open the device.

        Raises:
            SimrealError: if it cannot be opened.
        """
        try:
            self._fd = os.open(self._device, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise SimrealError(f"gamepad {self._device}: {error.strerror}") from None

    def get_action(self) -> Values:
        """Return the displacement that the sticks ask for now.

        Raises:
            ConnectionError: if the gamepad was unplugged.
        """
        try:
            while record := os.read(self._fd, _RECORD.size):
                self._take(*_RECORD.unpack(record)[1:])
        except BlockingIOError:
            pass
        except OSError as error:
            raise ConnectionError(f"gamepad {self._device}: {error.strerror}") from None
        return dict(zip(DELTAS, self._motion, strict=True)) | {GRIPPER: self._gripper}

    def disconnect(self) -> None:
        """Close the device."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _take(self, value: int, kind: int, number: int) -> None:
        if kind & ~_INITIAL == _AXIS and number in _MOTIONS:
            axis, sign = _MOTIONS[number]
            share = value / _FULL
            self._motion[axis] = sign * self._speed * share if abs(share) > _DEAD else 0.0
        elif kind == _BUTTON and value and number in (_OPEN, _CLOSE):
            self._gripper = 2.0 if number == _OPEN else 0.0
