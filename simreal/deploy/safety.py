"""`SafetyFilter`: whatever comes in, what goes out satisfies every limit, at every tick.

The rule that makes it so: nothing is sent from which the robot could not brake to rest within every limit
(position, velocity, acceleration, jerk, workspace, table, gripper step). The braking path of the next command
is computed and checked before it is sent; if it fails, the command is moved towards the first step of the
braking path that was checked a tick ago, which is always admissible because the rest of a braking path is a
braking path. So there is always something to send, and limits never contradict each other. This is a safety
filter with a backup manoeuvre (Wabersich & Zeilinger 2018, doi:10.1109/CDC.2018.8619829; Gurriet et al. 2020,
doi:10.1109/ACCESS.2020.3025248); that limits on acceleration bound the speed before a position limit is
Rubrecht et al. 2012, doi:10.1007/s10514-012-9278-x, and Flacco et al. 2012, doi:10.1109/ICRA.2012.6225376.

Towards a target the filter goes as Ruckig does (Berscheid & Kroeger 2021): of the admissible steps it takes
the one whose stopping point is nearest to where a motion stops that has the target's own velocity. So it
arrives as soon as possible, without overshoot at a target that stands, without lag at one that moves.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simreal.deploy.braking import Array, Braking, BrakingPath, Motion
from simreal.deploy.limits import Limits
from simreal.deploy.workspace import Workspace
from simreal.errors import SimrealError

_SHRUNK = 1 - 1e-6  # limits kept are this much narrower: what is sent is checked again from its differences
_ROUNDING = 1e-6
_CANDIDATES = np.linspace(1.0, 0.0, 9)[:, None]
_START_TOLERANCE_RAD = 0.02  # noise of the encoders of an arm that stands at its limit


@dataclass(frozen=True)
class Filtered:
    """What the filter made of a target."""

    sent: Array
    """Joint positions to send, (n,) rad."""
    changed: tuple[str, ...]
    """The limits that kept it from the target; () if it is the target."""


class SafetyFilter:
    """Keeps commands within limits; remembers the motion of what was sent."""

    def __init__(
        self, limits: Limits, period_s: float, forward: Callable[[Array], Array] | None = None
    ) -> None:
        """Make a filter.

        Args:
            limits: What every command must satisfy.
            period_s: Time between two commands, seconds.
            forward: Joint positions (..., n) rad to gripper positions (..., 3) m; without it the limits of
                the gripper are not kept.
        """
        joints = list(limits.joints.values())
        self.limits, self.names = limits, tuple(limits.joints)
        centre = np.array([(joint.lower_rad + joint.upper_rad) / 2 for joint in joints])
        half = np.array([(joint.upper_rad - joint.lower_rad) / 2 for joint in joints]) * _SHRUNK
        self.lower, self.upper = centre - half, centre + half
        self.braking = Braking(
            np.array([joint.velocity_rad_s for joint in joints]) * _SHRUNK,
            np.array([joint.acceleration_rad_s2 for joint in joints]) * _SHRUNK,
            np.array([joint.jerk_rad_s3 for joint in joints]) * _SHRUNK,
            period_s,
        )
        self.period_s = period_s
        self.workspace: Workspace | None = None
        if forward is not None and limits.gripper is not None:
            self.workspace = Workspace(limits.gripper, period_s, forward)
        self._motion: Motion | None = None

    @property
    def sent(self) -> Array:
        """Return what was sent last, (n,) rad.

        Raises:
            RuntimeError: before the filter has been started.
        """
        return self._now.position

    @property
    def at_rest(self) -> bool:
        """Tell whether what is sent stands still, but for rounding."""
        return self.braking.at_rest(self._now)

    def reset(self, measured: Array) -> None:
        """Start from an arm at rest at these joint positions, (n,) rad.

        Raises:
            SimrealError: if it stands outside the limits, from where no command is admissible.
        """
        position = np.clip(measured, self.lower, self.upper)
        for name, found, nearest in zip(self.names, measured, position, strict=True):
            if not abs(found - nearest) <= _START_TOLERANCE_RAD:
                raise SimrealError(
                    f"{name} stands at {found:.4f} rad, outside its limits: move it to {nearest:.4f} first"
                )
        if self.workspace is not None:
            self.workspace.check_start(position)
        zero = np.zeros(len(position))
        self._motion, self._goal = Motion(position, zero, zero), position

    def filter(self, targets_rad: Array, measured: Array) -> Filtered:
        """Return what to send for targets (n,) rad, given the measured joints (n,) rad.

        The first call starts from the measured joints, at rest. A target that is not finite is none: the
        arm brakes.
        """
        if self._motion is None:
            self.reset(measured)
        if not np.isfinite(targets_rad).all():
            return Filtered(self.brake(), ("not finite",))
        reasons: dict[str, None] = {}
        goal = self._admissible(targets_rad, measured, reasons)
        wish = self._towards(self._with_velocity(goal), reasons)
        following = self._safe(wish, reasons)
        self._name_rates(targets_rad, following, reasons)
        self._motion = following
        return Filtered(following.position, tuple(reasons))

    def brake(self) -> Array:
        """Return the next position on the way to rest, (n,) rad; at rest it is the same again."""
        motion = self._now
        self._motion = motion.next(self.braking.acceleration(motion), self.period_s)
        self._goal = self._motion.position
        return self._motion.position

    def _admissible(self, targets: Array, measured: Array, reasons: dict[str, None]) -> Array:
        """Return the target, brought near the arm and into the limits of position and workspace."""
        goal = targets
        if np.isfinite(measured).all():
            goal = np.clip(goal, measured - self.limits.lead_rad, measured + self.limits.lead_rad)
        _note(reasons, "lead", goal, targets)
        inside = np.clip(goal, self.lower, self.upper)
        _note(reasons, "position", inside, goal)
        if self.workspace is None:
            return inside
        return np.clip(self.workspace.clamped(inside, reasons), self.lower, self.upper)

    def _with_velocity(self, goal: Array) -> Array:
        """Return where a motion stops that passes a goal (n,) at the speed at which the goal moves.

        Towards a goal that stands it is the goal; one that moves on is followed without lag.
        """
        speed = self.braking.velocity
        velocity = np.clip((goal - self._goal) / self.period_s, -speed, speed)
        self._goal = goal
        stop = self.braking.path(Motion(goal, velocity, np.zeros_like(goal))).positions[-1]
        return np.clip(stop, self.lower, self.upper)

    def _towards(self, goal: Array, reasons: dict[str, None]) -> Array:
        """Return the acceleration (n,) whose stopping point is nearest to the goal, slower in soft zones."""
        motion = self._now
        low, high = self.braking.window(motion)
        tried = high + _CANDIDATES * (low - high)  # ascending
        stops = self.braking.path(motion.next(tried, self.period_s)).positions[-1]
        wish = np.array([np.interp(goal[j], stops[:, j], tried[:, j]) for j in range(len(goal))])
        softened = self._softened(motion.next(wish, self.period_s))
        if self.workspace is not None:
            softened = self.workspace.softened(motion.position, softened, reasons)
        following = (softened - motion.position) / self.period_s
        soft = np.clip((following - motion.velocity) / self.period_s, low, high)
        _note(reasons, "soft zone", soft, wish)
        return soft

    def _softened(self, following: Motion) -> Array:
        """Return the next position, slower towards a position limit that is near."""
        speed, position = self.braking.velocity, self._now.position
        fastest = speed * np.clip((self.upper - position) / self.limits.soft_zone_rad, 0.0, 1.0)
        slowest = -speed * np.clip((position - self.lower) / self.limits.soft_zone_rad, 0.0, 1.0)
        return position + np.clip(following.velocity, slowest, fastest) * self.period_s

    def _safe(self, wish: Array, reasons: dict[str, None]) -> Motion:
        """Return the motion nearest to the wish from which braking stays within every limit."""
        motion, brake = self._now, self.braking.acceleration(self._now)
        tried = brake + _CANDIDATES * (wish - brake)
        path = self.braking.path(motion.next(tried, self.period_s))
        first = np.argmax(self._joints_within(path), axis=0)  # the last, to brake, if none is
        first = np.where(self._joints_within(path).any(axis=0), first, len(tried) - 1)
        if first.any():
            reasons["braking"] = None
        joint = np.arange(len(wish))
        chosen, positions = tried[first, joint], path.positions[:, first, joint]
        if self.workspace is not None:
            broken = self.workspace.name_broken(motion.position, positions, reasons)
            chosen = self._together(brake, chosen) if broken else chosen
        return motion.next(chosen, self.period_s)

    def _together(self, brake: Array, wish: Array) -> Array:
        """Return an acceleration between braking and the wish that the workspace allows, all joints alike."""
        assert self.workspace is not None
        tried = brake + _CANDIDATES * (wish - brake)
        path = self.braking.path(self._now.next(tried, self.period_s))
        within = self._joints_within(path).all(axis=1)
        within &= self.workspace.within(self._now.position, path.positions)
        return tried[int(np.argmax(within))] if within.any() else brake

    def _joints_within(self, path: BrakingPath) -> np.ndarray:
        least, most = path.positions.min(axis=0), path.positions.max(axis=0)
        return path.within & (least >= self.lower) & (most <= self.upper)

    def _name_rates(self, targets: Array, following: Motion, reasons: dict[str, None]) -> None:
        """Name the limits on rates that a jump to the target would have broken."""
        if np.abs(following.position - targets).max() <= _ROUNDING:
            return
        motion = self._now
        velocity = (targets - motion.position) / self.period_s
        acceleration = (velocity - motion.velocity) / self.period_s
        jerk = np.abs(acceleration - motion.acceleration)
        for name, broken in (
            ("velocity", np.abs(velocity) > self.braking.velocity),
            ("acceleration", np.abs(acceleration) > self.braking.limit),
            ("jerk", jerk > self.braking.jump),
        ):
            if broken.any():
                reasons[name] = None

    @property
    def _now(self) -> Motion:
        if self._motion is None:
            raise RuntimeError("the safety filter has not been started: reset it with the measured joints")
        return self._motion


def _note(reasons: dict[str, None], name: str, kept: Array, asked: Array) -> None:
    if np.abs(kept - asked).max() > _ROUNDING:
        reasons[name] = None
