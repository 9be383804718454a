"""The states of a control loop; every transition has one cause."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What the loop is doing."""

    IDLE = "idle"
    """Connected; nothing is sent."""
    RAMP = "ramp"
    """Moves slowly to the start pose."""
    ARMED = "armed"
    """Holds the start pose, ready to run."""
    RUNNING = "running"
    """The policy moves the robot."""
    HOLD = "hold"
    """Brakes to rest within the limits, and stays there."""
    STOPPED = "stopped"
    """Nothing is sent any more; there is no way back."""


_NEXT: dict[State, frozenset[State]] = {
    State.IDLE: frozenset({State.RAMP, State.STOPPED}),
    State.RAMP: frozenset({State.ARMED, State.HOLD, State.STOPPED}),
    State.ARMED: frozenset({State.RUNNING, State.RAMP, State.HOLD, State.STOPPED}),
    State.RUNNING: frozenset({State.ARMED, State.RAMP, State.HOLD, State.STOPPED}),
    State.HOLD: frozenset({State.RUNNING, State.RAMP, State.STOPPED}),
    State.STOPPED: frozenset(),
}
_KEPT = 1000  # transitions remembered; every one is handed to `on_transition` as well


@dataclass(frozen=True)
class Transition:
    """One change of state."""

    time_s: float
    """Monotonic clock."""
    before: State
    after: State
    cause: str


class StateMachine:
    """Where a loop is, and how it came there."""

    def __init__(self, now: Callable[[], float], on_transition: Callable[[Transition], None]) -> None:
        self._now, self._on_transition = now, on_transition
        self.state, self.cause = State.IDLE, "start"
        self.since_s = now()
        self.transitions: deque[Transition] = deque(maxlen=_KEPT)

    def go(self, after: State, cause: str) -> None:
        """Change the state, for a cause.

        Raises:
            ValueError: if there is no way from the present state.
        """
        if after not in _NEXT[self.state]:
            raise ValueError(f"no way from {self.state} to {after} ({cause})")
        transition = Transition(self._now(), self.state, after, cause)
        self.state, self.cause, self.since_s = after, cause, transition.time_s
        self.transitions.append(transition)
        self._on_transition(transition)
