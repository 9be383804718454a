"""The fastest way to rest under limits on acceleration and jerk, in steps of one command period.

Positions are what is sent, once a period; velocity, acceleration and jerk are their differences over it:
`a' = a + jerk dt`, `v' = v + a' dt`, `q' = q + v' dt`. All arrays are (..., n): joints are independent.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_REST = 1e-9  # of the velocity and acceleration limits: what is left below that is rounding


@dataclass(frozen=True)
class Motion:
    """Position (rad), velocity (rad/s) and acceleration (rad/s2) of the joints, (..., n) each."""

    position: Array
    velocity: Array
    acceleration: Array

    def next(self, acceleration: Array, period_s: float) -> "Motion":
        """Return the motion one period on, under an acceleration (..., n)."""
        velocity = self.velocity + acceleration * period_s
        return Motion(self.position + velocity * period_s, velocity, acceleration)


@dataclass(frozen=True)
class BrakingPath:
    """How a motion comes to rest."""

    positions: Array
    """(T, ..., n), from the first position of the motion on; the last is where it stops."""
    within: NDArray[np.bool_]
    """(..., n): whether it comes to rest and the velocity limit holds on the way."""


class Braking:
    """Brakes joints as fast as acceleration and jerk allow, and never faster."""

    def __init__(self, velocity: Array, acceleration: Array, jerk: Array, period_s: float) -> None:
        self.velocity, self.limit, self.period_s = velocity, acceleration, period_s
        self.jump = jerk * period_s  # most the acceleration changes in a period
        ramp = np.ceil(acceleration / self.jump)
        self._most_steps = int((np.ceil(velocity / (acceleration * period_s)) + 6 * ramp).max()) + 8

    @property
    def seconds(self) -> float:
        """Return a bound on the time to rest from any motion within the limits."""
        ramp = np.minimum(self.limit / self.jump * self.period_s, np.sqrt(self.velocity / self.jump))
        return float((self.velocity / self.limit + 4 * ramp).max()) + 2 * self.period_s

    def acceleration(self, motion: Motion) -> Array:
        """Return the next acceleration of the way to rest.

        Rest wants velocity and acceleration zero at once. An acceleration that falls to zero by `jump`
        a period takes off a velocity of dt S(a), S(a) = a + (a - jump) + (a - 2 jump) + ...; so the one to
        take now is S^-1(v / dt), as near to it as jerk and acceleration allow. It depends on nothing but
        the motion, so the rest of a braking path is the braking path of its every point.
        """
        wanted = np.abs(motion.velocity) / self.period_s
        count = np.maximum(1.0, np.ceil((np.sqrt(1 + 8 * wanted / self.jump) - 1) / 2))
        brake = -np.sign(motion.velocity) * (wanted / count + self.jump * (count - 1) / 2)
        low, high = self.window(motion)
        return np.minimum(np.maximum(brake, low), high)

    def window(self, motion: Motion) -> tuple[Array, Array]:
        """Return the least and the greatest acceleration that may come next."""
        low = np.maximum(motion.acceleration - self.jump, -self.limit)
        return low, np.minimum(motion.acceleration + self.jump, self.limit)

    def path(self, motion: Motion) -> BrakingPath:
        """Brake from `motion` until every joint is at rest, or has broken its velocity limit."""
        if (self.jump >= 2 * self.limit).all():
            return self._straight_path(motion)
        positions = [motion.position]
        within = np.abs(motion.velocity) <= self.velocity
        resting = self._at_rest(motion)
        while not (resting | ~within).all():
            if len(positions) > self._most_steps:
                within = within & resting
                break
            motion = motion.next(self.acceleration(motion), self.period_s)
            positions.append(motion.position)
            within = within & (np.abs(motion.velocity) <= self.velocity)
            resting = self._at_rest(motion)
        return BrakingPath(np.array(positions), within)

    def _straight_path(self, motion: Motion) -> BrakingPath:
        """Return the path where the jerk limit never binds: the speed falls in a straight line."""
        speed, fall = np.abs(motion.velocity), self.limit * self.period_s
        steps = np.arange(1, int(np.ceil((speed / fall).max(initial=0.0))) + 1)
        speeds = np.maximum(speed - steps.reshape(-1, *[1] * speed.ndim) * fall, 0.0)
        moved = np.concatenate([np.zeros_like(speed)[None], np.cumsum(speeds, axis=0) * self.period_s])
        return BrakingPath(motion.position + np.sign(motion.velocity) * moved, speed <= self.velocity)

    def at_rest(self, motion: Motion) -> bool:
        """Tell whether all joints stand still, but for rounding."""
        return bool(self._at_rest(motion).all())

    def _at_rest(self, motion: Motion) -> NDArray[np.bool_]:
        slow = np.abs(motion.velocity) <= _REST * self.velocity
        return slow & (np.abs(motion.acceleration) <= _REST * self.limit)
