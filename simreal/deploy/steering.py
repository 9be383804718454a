"""What is sent in each state: the slow way to the start pose, the line between decisions, the way to rest."""

from collections import Counter

import numpy as np

from simreal.deploy.braking import Array
from simreal.deploy.config import LoopConfig
from simreal.deploy.safety import Filtered, SafetyFilter
from simreal.deploy.states import State

_ARRIVED_RAD, _MEASURED_RAD = 1e-3, 0.05  # of what is sent and what is measured, from the start pose
_SLACK_S = 5.0  # for the filter's slower start and end, and a servo that lags


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


class Steering:
    """Asks the safety filter for what the state wants, and sends nothing else."""

    def __init__(self, safety: SafetyFilter, config: LoopConfig) -> None:
        self.safety, self._config = safety, config
        self.changed: Counter[str] = Counter()
        """How many commands each limit changed."""

    def start(self, joints_rad: Array) -> None:
        """Begin with an arm at rest at these joints, (n,) rad."""
        self.safety.reset(joints_rad)

    def ramp(self) -> None:
        """Begin to ramp, from what is sent now."""
        pose = None if self._config.start_pose_rad is None else np.array(self._config.start_pose_rad)
        self._ramp = Ramp(pose, self.safety.sent, self._config.ramp_speed_rad_s, self.safety.period_s)

    def arrived(self, measured: Array) -> bool:
        """Tell whether the arm is at the start pose."""
        return self._ramp.arrived(self.safety.sent, measured)

    def overdue(self, ramping_s: float) -> bool:
        """Tell whether the arm should have arrived by now."""
        return ramping_s > self._ramp.seconds

    def act(self) -> None:
        """Begin to follow decisions, from what is sent now."""
        self._line = Line(self.safety.sent, self._config.command_multiple)

    def aim(self, targets_rad: Array | None) -> None:
        """Follow a new decision, (n,) rad; None goes on to the end of the last one."""
        self._line.aim(targets_rad)

    def command(self, state: State, phase: int, measured: Array) -> tuple[Array, Filtered]:
        """Return what is wanted now (NaN for nothing), and what the filter makes of it."""
        if state is State.HOLD:
            return np.full_like(measured, np.nan), Filtered(self.safety.brake(), ())
        if state is State.RUNNING:
            wanted, reference = self._line.target, self._line.at(phase)
        else:
            wanted = reference = self._ramp.next() if state is State.RAMP else self._ramp.goal
        filtered = self.safety.filter(reference, measured)
        self.changed.update(filtered.changed)
        return wanted, filtered
