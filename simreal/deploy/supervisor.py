"""`Supervisor`: which state follows from what happened, as the table in `simreal.deploy.loop` says."""

from collections.abc import Callable

from simreal.deploy.clock import Clock
from simreal.deploy.config import LoopConfig
from simreal.deploy.signals import Signals
from simreal.deploy.states import State, StateMachine, Transition

_MOVING = (State.RAMP, State.ARMED, State.RUNNING)


class Supervisor:
    """Keeps the state machine, and remembers what must not be forgotten while the arm is held."""

    def __init__(self, clock: Clock, config: LoopConfig, on_transition: Callable[[Transition], None]) -> None:
        self.machine = StateMachine(clock.now, on_transition)
        self.signals = Signals()
        self.doomed = ""
        """What cannot be mended: the arm is braked, and the loop stops at rest."""
        self._clock, self._config = clock, config
        self._since_s = clock.now()
        self._good_since_s: float | None = None
        self._back = State.RAMP

    @property
    def state(self) -> State:
        """Return what the loop is doing."""
        return self.machine.state

    @property
    def stopped(self) -> bool:
        """Tell whether nothing may be sent any more."""
        return self.state is State.STOPPED

    @property
    def in_state_s(self) -> float:
        """Return how long the loop has been in its state, seconds."""
        return self._clock.now() - self._since_s

    @property
    def wants_decision(self) -> bool:
        """Tell whether the policy is at work, or may be again."""
        held = self.state is State.HOLD and self._back is State.RUNNING and not self.doomed
        return self.state is State.RUNNING or held

    def go(self, after: State, cause: str) -> None:
        """Change the state; nothing leads out of `stopped`."""
        if self.stopped:
            return
        if after is State.HOLD:
            self._back = State.RUNNING if self.state is State.RUNNING else State.RAMP
        self.machine.go(after, cause)
        self._since_s, self._good_since_s = self._clock.now(), None

    def doom(self, cause: str) -> None:
        """Brake, and stop at rest."""
        if not self.stopped:
            self.doomed = self.doomed or cause
            self.hold(cause)

    def hold(self, cause: str) -> None:
        """Brake; the last observation was not good."""
        self._good_since_s = None
        if self.state in _MOVING:
            self.go(State.HOLD, cause)

    def heed_signals(self) -> None:
        """Act on ctrl-C and SIGTERM."""
        if self.signals.count > 1:
            self.go(State.STOPPED, f"second {self.signals.name}")
        elif self.signals.count and self.signals.name != self.doomed:
            self.doom(self.signals.name)

    def leave_hold(self, at_rest: bool) -> None:
        """Stop at rest after something that cannot be mended, or after too long."""
        if self.state is not State.HOLD:
            return
        if self.doomed and at_rest:
            self.go(State.STOPPED, f"at rest after: {self.doomed}")
        elif self.in_state_s > self._config.hold_s:
            self.go(State.STOPPED, f"held for {self._config.hold_s:g} s: {self.machine.cause}")

    def recovered(self) -> State | None:
        """Note a good observation, and return the state to go back to if that is enough."""
        if self.state is not State.HOLD or self.doomed:
            return None
        now_s = self._clock.now()
        self._good_since_s = now_s if self._good_since_s is None else self._good_since_s
        return self._back if now_s - self._good_since_s >= self._config.recover_s else None
