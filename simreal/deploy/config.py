"""`LoopConfig`: how a control loop behaves, apart from robot and policy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from simreal.errors import SimrealError

OnDrift = Literal["slow", "hold", "stop", "ignore"]


@dataclass(frozen=True)
class LoopConfig:
    """How a control loop behaves.

    Raises:
        SimrealError: naming the value that cannot be.
    """

    command_multiple: int = 1
    """Commands in a control period; above 1 they are interpolated, which costs up to a period of delay."""
    max_age_s: float | None = None
    """Oldest observation that is acted on, seconds; 2.5 control periods, and at least 0.1 s, by default."""
    hold_s: float = 5.0
    """Holding for longer than that ends in `stopped`, seconds."""
    recover_s: float = 0.5
    """How long observations must be good again before `hold` ends, seconds."""
    ramp_speed_rad_s: float = 0.3
    """Of the fastest joint on the way to the start pose."""
    start_pose_rad: tuple[float, ...] | None = None
    """Joint positions to start from; where the arm is, if None."""
    on_drift: OnDrift = "hold"
    """What follows when an observation is outside what the policy was trained on."""
    slow_share: float = 0.3
    """Share of the action that is taken when `on_drift` is `slow`."""

    ready: Callable[[], bool] = lambda: True
    """Asked while armed: whether the policy may begin."""

    def __post_init__(self) -> None:
        if self.command_multiple < 1:
            raise SimrealError(f"command multiple {self.command_multiple}: takes 1 or more")
        for name in ("max_age_s", "hold_s", "recover_s", "ramp_speed_rad_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SimrealError(f"{name}: takes a number above 0, not {value}")
        if not 0 < self.slow_share <= 1:
            raise SimrealError(f"slow_share: takes a number above 0 and at most 1, not {self.slow_share}")

    def oldest_s(self, control_period_s: float) -> float:
        """Return the age (s) above which an observation is stale."""
        return max(0.1, 2.5 * control_period_s) if self.max_age_s is None else self.max_age_s
