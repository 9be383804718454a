"""The gripper's limits: a box to stay in, the table plane, and how far it moves between two commands."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from simreal.deploy.braking import Array
from simreal.deploy.limits import GripperLimits
from simreal.errors import SimrealError

_MARGIN_M = 1e-6  # what is checked again by other kinematics, in single precision, must still be inside
_DAMPING = 1e-4  # m2/rad2, of the least-squares step: small against the arm's reach squared
_PROBE_RAD = 1e-5
_ROUNDS = 3  # each takes off nine tenths of what a target is outside


class Workspace:
    """Where the gripper may be, and how far it may move between two commands."""

    def __init__(self, limits: GripperLimits, period_s: float, forward: Callable[[Array], Array]) -> None:
        low = (*limits.low_m[:2], max(limits.low_m[2], limits.table_m))
        self.low, self.high = np.array(low) + _MARGIN_M, np.array(limits.high_m) - _MARGIN_M
        self.step_m = limits.speed_m_s * period_s - _MARGIN_M
        self._on_table = limits.table_m >= limits.low_m[2]
        self._soft_zone_m, self._forward = limits.soft_zone_m, forward

    def check_start(self, joints_rad: Array) -> None:
        """Refuse to start from outside.

        Raises:
            SimrealError: with where the gripper is.
        """
        position = self._forward(joints_rad)
        if not self._inside(position):
            found = ", ".join(f"{value:.3f}" for value in position)
            box = " and ".join(", ".join(f"{v:.3f}" for v in corner) for corner in (self.low, self.high))
            raise SimrealError(
                f"the gripper stands at ({found}) m, outside its workspace, between {box}: move it in first"
            )

    def clamped(self, joints_rad: Array, reasons: dict[str, None]) -> Array:
        """Return joint positions (n,) rad near these that hold the gripper inside.

        An arm that is sent into the table slides along it.
        """
        for _ in range(_ROUNDS):
            position = self._forward(joints_rad)
            outside = np.clip(position, self.low, self.high) - position
            if not outside.any():
                break
            self._name(outside, reasons)
            joints_rad = self._moved(joints_rad, outside)
        return joints_rad

    def softened(self, start: Array, following: Array, reasons: dict[str, None]) -> Array:
        """Return a next command (n,) rad that moves towards no face faster than the distance allows.

        Only the motion towards the face is taken off; the motion along it goes on.
        """
        before, after = self._forward(np.vstack([start, following]))
        move = after - before
        highest = self.step_m * np.clip((self.high - before) / self._soft_zone_m, 0.0, 1.0)
        lowest = -self.step_m * np.clip((before - self.low) / self._soft_zone_m, 0.0, 1.0)
        excess = np.clip(move, lowest, highest) - move
        if not excess.any():
            return following
        reasons["soft zone"] = None
        return self._moved(following, excess)

    def within(self, start: Array, paths: Array) -> NDArray[np.bool_]:
        """Tell which paths (T, K, n) rad, that begin one command after `start`, stay inside: (K,)."""
        first = np.broadcast_to(start, (1, *paths.shape[1:]))
        positions = self._forward(np.concatenate([first, paths]))
        steps = np.linalg.norm(np.diff(positions, axis=0), axis=-1)
        return self._inside(positions[1:]).all(axis=0) & (steps <= self.step_m).all(axis=0)

    def name_broken(self, start: Array, path: Array, reasons: dict[str, None]) -> bool:
        """Tell whether a step and its braking path (T, n) rad leave the limits, and name them."""
        positions = self._forward(np.vstack([start, path]))
        too_far = np.linalg.norm(np.diff(positions, axis=0), axis=1).max() > self.step_m
        if too_far:
            reasons["gripper step"] = None
        outside = np.clip(positions, self.low, self.high) - positions
        if outside.any():
            self._name(outside[np.argmax(np.abs(outside).max(axis=1))], reasons)
        return bool(too_far or outside.any())

    def _moved(self, joints_rad: Array, shift_m: Array) -> Array:
        """Return joints (n,) rad that move the gripper by (3,) metres, nearly: damped least squares.

        (Wampler 1986, doi:10.1109/TSMC.1986.289285.)
        """
        probes = np.vstack([joints_rad, joints_rad + _PROBE_RAD * np.eye(len(joints_rad))])
        positions = self._forward(probes)
        jacobian = (positions[1:] - positions[0]).T / _PROBE_RAD
        square = jacobian @ jacobian.T + _DAMPING * np.eye(3)
        return joints_rad + jacobian.T @ np.linalg.solve(square, shift_m)

    def _inside(self, positions: Array) -> NDArray[np.bool_]:
        return np.asarray(((positions >= self.low) & (positions <= self.high)).all(axis=-1))

    def _name(self, outside: Array, reasons: dict[str, None]) -> None:
        table = self._on_table and outside[2] > 0
        if table:
            reasons["table"] = None
        if outside[:2].any() or (outside[2] and not table):
            reasons["workspace"] = None
