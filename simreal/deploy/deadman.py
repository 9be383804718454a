"""The dead-man on the robot's side of the wire: without a fresh command the robot holds where it is.

It belongs there because a position controller goes on with its last command for ever
(`forward_command_controller` has no timeout), and a loop that was killed cannot stop anything.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simreal.errors import SimrealError

State = Literal["hold", "follow"]
_LEAD_S = 0.05  # what two synchronized clocks may differ by


@dataclass(frozen=True)
class DeadManConfig:
    """When the robot stops believing a command."""

    timeout_s: float = 0.2
    """A command is followed until this long after it was stamped; one that arrives later is dropped."""
    resume_within_rad: float = 0.3
    """From holding, only a command this near to the present position is followed, for every joint."""

    def __post_init__(self) -> None:
        for name in ("timeout_s", "resume_within_rad"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SimrealError(f"{name}: takes a number above 0, not {value!r}")


class DeadMan:
    """Decides at every robot period what the servos are told; times are `time.monotonic()`."""

    def __init__(self, config: DeadManConfig, measured: NDArray[np.float64], now_s: float) -> None:
        """Hold at `measured` (n,), rad."""
        self.config = config
        self.refused: dict[str, int] = {}
        """Why commands were dropped, and how often."""
        self._sender = 0
        self.hold(measured, now_s, "no command yet")

    def hold(self, measured: NDArray[np.float64], now_s: float, cause: str) -> None:
        """Hold at the present position."""
        self.state: State = "hold"
        self.cause, self.since_s = cause, now_s
        self.late_s = 0.0
        """How long after its deadline the robot began to hold."""
        self.targets = measured.copy()
        self._stamped_s = -math.inf

    @property
    def deadline_s(self) -> float:
        """When the robot will hold if nothing arrives; infinite while it holds."""
        return self._stamped_s + self.config.timeout_s if self.state == "follow" else math.inf

    def offer(
        self,
        targets: NDArray[np.float64],
        stamped_s: float,
        measured: NDArray[np.float64],
        now_s: float,
        sender: int = 0,
    ) -> str | None:
        """Follow a command from now on, or return why it is dropped.

        Args:
            targets: Joint targets (n,), rad.
            stamped_s: When the sender wrote it.
            measured: Joint positions (n,), rad.
            now_s: The present.
            sender: Who wrote it; while one is followed, others are not.
        """
        reason = self._objection(targets, stamped_s, measured, now_s, sender)
        if reason is not None:
            self.refused[reason] = self.refused.get(reason, 0) + 1
            return reason
        if self.state == "hold":
            self.state, self.cause, self.since_s = "follow", "a command", now_s
            self._sender = sender
        self.targets, self._stamped_s = targets.astype(np.float64), min(stamped_s, now_s)
        return None

    def update(self, measured: NDArray[np.float64], now_s: float) -> bool:
        """Hold if the last command is too old; True if that happened now."""
        if now_s < self.deadline_s:
            return False
        late_s = now_s - self.deadline_s
        self.hold(measured, now_s, f"no command for {self.config.timeout_s:g} s")
        self.late_s = late_s
        return True

    def _objection(
        self,
        targets: NDArray[np.float64],
        stamped_s: float,
        measured: NDArray[np.float64],
        now_s: float,
        sender: int = 0,
    ) -> str | None:
        if targets.shape != measured.shape:
            return "wrong number of targets"
        if not np.isfinite(targets).all():
            return "not finite"
        if now_s >= stamped_s + self.config.timeout_s:  # the deadline, to the last bit
            return "stale"
        if stamped_s - now_s > _LEAD_S:
            return "stamped in the future: the clocks differ"
        if self.state == "follow" and sender != self._sender:
            return "from another sender"
        if stamped_s < self._stamped_s:
            return "older than the last one"
        if self.state == "hold" and np.abs(targets - measured).max() > self.config.resume_within_rad:
            return "too far from where the robot holds"
        return None
