"""What the safety filter is asked to follow: a slow way to the start pose, or the line between decisions."""

import numpy as np
from numpy.typing import NDArray

_ARRIVED_RAD, _MEASURED_RAD = 1e-3, 0.05  # of what is sent and what is measured, from the start pose
_SLACK_S = 5.0  # for the filter's slower start and end, and a servo that lags

Array = NDArray[np.float64]


class Ramp:
    """A straight way in joint space at a slow speed."""

    def __init__(self, start_pose: Array | None, here: Array, speed_rad_s: float, period_s: float) -> None:
        """Go from `here` (n,) to `start_pose` (n,), rad; without one, stay."""
        self.goal = here if start_pose is None else start_pose
        self._at, self._step = here, speed_rad_s * period_s
        self.seconds = float(np.abs(self.goal - here).max()) / speed_rad_s + _SLACK_S
        """By when the arm has to be there."""

    def next(self) -> Array:
        """Return the next reference, (n,); all joints arrive together."""
        way = self.goal - self._at
        longest = np.abs(way).max()
        self._at = self.goal if longest <= self._step else self._at + way * (self._step / longest)
        return self._at

    def arrived(self, sent: Array, measured: Array) -> bool:
        """Tell whether the start pose was sent, and the arm is there."""
        return bool(
            np.abs(sent - self.goal).max() < _ARRIVED_RAD
            and np.abs(measured - self.goal).max() < _MEASURED_RAD
        )


class Line:
    """Straight from the reference of the last decision to that of the new one, over a control period."""

    def __init__(self, here: Array, multiple: int) -> None:
        self._before = self.target = here
        self._multiple = multiple

    def aim(self, targets: Array | None) -> None:
        """Begin a new line to `targets`, (n,) rad; None stays at the end of the last one."""
        self._before, self.target = self.target, self.target if targets is None else targets

    def at(self, phase: int) -> Array:
        """Return the reference of command `phase` of the control period, 0 for the first."""
        return self._before + (self.target - self._before) * ((phase + 1) / self._multiple)
