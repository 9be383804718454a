"""`ControlLoop`: observe, decide, filter, send, log, at absolute deadlines.

What happens when something goes wrong. P is the control period, C the command period (P over the command
multiple), B the time to brake to rest within the limits (`Braking.seconds`, 0.4 s for the Panda).

| what happens | state | within |
|---|---|---|
| ctrl-C, SIGTERM | hold, then stopped at rest | C, then B + C |
| a second ctrl-C or SIGTERM | stopped, without waiting for rest | C |
| the policy raises, or its action is not finite | hold, then stopped at rest | P, then B + C |
| the robot raises, or is no longer connected | stopped | P |
| the observation is older than `max_age_s` | hold | `max_age_s` + P |
| a NaN, an infinity or no image in the observation | hold | P |
| the observation is outside what was trained on | `on_drift`: running slowly, hold, stopped at rest | P |
| the arm does not arrive at the start pose | hold, then stopped at rest | expected time + 5 s |
| observations are good again for `recover_s` | running, or ramp if it was not running yet | P |
| held for `hold_s` | stopped | C |

Hold brakes within the limits and then sends the same position again and again. Stopped sends nothing: what
the robot then does is for its own side to say (its dead-man). A driver that does not return keeps the loop
from acting; only the robot's side can help there. A decision on an observation that has become older than
`max_age_s` by the time it would be sent is dropped.
"""

import contextlib
from collections.abc import Callable
from typing import Any

from envs.controller import Controller
from simreal.deploy.braking import Array
from simreal.deploy.clock import Clock, punctual
from simreal.deploy.config import LoopConfig
from simreal.deploy.deciding import Choice, Decider, PolicyError
from simreal.deploy.log import Episode, Log, Tick
from simreal.deploy.robot import Mapping, Robot
from simreal.deploy.robot_side import BadObservationError, LostRobotError, RobotSide, Seen, one_line
from simreal.deploy.runtime import Runtime
from simreal.deploy.safety import Filtered, SafetyFilter
from simreal.deploy.states import State, Transition
from simreal.deploy.steering import Steering
from simreal.deploy.supervisor import Supervisor
from simreal.errors import SimrealError


class ControlLoop:
    """Runs a policy on a robot; use it as a context: leaving it brakes the arm and stops.

    One at a time in a process: it takes over ctrl-C and SIGTERM.
    """

    def __init__(
        self,
        robot: Robot,
        mapping: Mapping,
        runtime: Runtime,
        controller: Controller,
        safety: SafetyFilter,
        clock: Clock,
        config: LoopConfig = LoopConfig(),
        log: Log | None = None,
    ) -> None:
        """Put the parts together; `safety` and `clock` have the command period of `config`."""
        self.safety, self.clock, self.config = safety, clock, config
        self.supervisor = Supervisor(clock, config, self._on_transition)
        self.stale_decisions = 0
        """Dropped, because they came too late to be sent."""
        self.choice: Choice | None = None
        """What the policy decided in this tick, if it is acted on."""
        self.steering = Steering(safety, config)
        self._log, self._decider = log, Decider(runtime, controller, config)
        self._side = RobotSide(robot, mapping, runtime.manifest, controller.kinematics)
        self._oldest_s = config.oldest_s(runtime.manifest.control_period_s)
        self._phase, self._episode, self._steps = 0, -1, 0

    @property
    def state(self) -> State:
        """Return what the loop is doing."""
        return self.supervisor.state

    def __enter__(self) -> "ControlLoop":
        self._held = contextlib.ExitStack()
        self._held.callback(self.supervisor.signals.restore)
        self.supervisor.signals.install()
        self._held.enter_context(punctual())
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        with self._held:
            self.stop("left" if error is None else f"{kind.__name__} outside the loop")

    def start(self) -> None:
        """Look, ask the policy once, and begin to move to the start pose.

        Raises:
            SimrealError: if the robot, its pose or the policy is not fit to begin with.
        """
        try:
            self._seen: Seen = self._observe()
            self._decider.decide(self._seen)  # the first decision is slow: better now than in the loop
        except (LostRobotError, BadObservationError, PolicyError) as error:
            raise SimrealError(f"cannot start: {one_line(error)}") from None
        self._ramp("start", self._seen.joints_rad)

    def restart(self, cause: str, placed: bool = False) -> None:
        """Go back to the start pose for another episode, after one that ended in `running`, or from there.

        Args:
            cause: Of the transition.
            placed: Whether a simulated arm has been put elsewhere meanwhile, at rest.
        """
        self._look()
        if self.state in (State.RUNNING, State.ARMED):
            self._ramp(cause, self._seen.joints_rad if placed else None)

    def run(self, steps: int | None = None, done: Callable[[], bool] = lambda: False) -> Episode:
        """Run an episode: go to the start pose, wait until `ready`, and let the policy act.

        Args:
            steps: Decisions at most; None for no limit.
            done: Asked after every control period in which the policy was at work.
        """
        self._episode, self._steps = self._episode + 1, 0
        self._decider.new_episode()
        while not self.supervisor.stopped:
            self._follow_states()
            self._tick()
            if self._phase == 0 and self.state is State.RUNNING:
                if done():
                    return Episode(self._episode, self._steps, "done")
                if steps is not None and self._steps >= steps:
                    return Episode(self._episode, self._steps, "step limit")
        return Episode(self._episode, self._steps, f"stopped: {self.supervisor.machine.cause}")

    def wait(self, until: Callable[[], bool]) -> None:
        """Stay at the start pose, or go there first, until something is so; the policy is not asked."""
        while not self.supervisor.stopped and not (self.state is State.ARMED and until()):
            self._arrive()
            self._tick()

    def stop(self, cause: str) -> None:
        """Brake to rest and stop."""
        if self.state is State.IDLE:
            self.supervisor.go(State.STOPPED, cause)
        self.supervisor.doom(cause)
        while not self.supervisor.stopped:
            self._tick()

    def lose(self, error: Exception) -> None:
        """Give the robot up for lost."""
        self.supervisor.go(State.STOPPED, f"lost robot: {one_line(error)}")

    def _follow_states(self) -> None:
        """From ramp to armed to running, where nothing is in the way."""
        self._arrive()
        if self.state is State.ARMED and self.config.ready():
            self._act("go")

    def _arrive(self) -> None:
        if self.state is State.RAMP and self.steering.arrived(self._seen.joints_rad):
            self.supervisor.go(State.ARMED, "at the start pose")

    def _tick(self) -> None:
        """Do what one command period takes."""
        lateness, began = self.clock.wait(), self.clock.now()
        self.choice = None
        self.supervisor.heed_signals()
        if self._phase == 0:
            self._look()
            self._judge()
        self.supervisor.leave_hold(self.safety.at_rest)
        if self.supervisor.stopped:
            return
        wanted, filtered = self.steering.command(self.state, self._phase, self._seen.joints_rad)
        try:
            sent = self._side.send(filtered.sent, None if self.choice is None else self.choice.width_m)
        except LostRobotError as error:
            self.lose(error)
            return
        self._note(lateness, began, wanted, filtered, sent)
        self._phase = (self._phase + 1) % self.config.command_multiple

    def _look(self) -> None:
        """Observe; remember what is wrong with the observation."""
        self._problem: str | None = None
        try:
            self._seen = self._observe()
        except LostRobotError as error:
            self.lose(error)
        except BadObservationError as error:
            self._problem = one_line(error)

    def _observe(self) -> Seen:
        return self._side.observe(self.clock.now(), self._oldest_s)

    def _judge(self) -> None:
        """Decide, if the policy is at work or may be again, and draw the consequences."""
        if self._problem is None and self.supervisor.wants_decision:
            self._problem = self._decide()
        if self.state is State.RAMP and self.steering.overdue(self.supervisor.in_state_s):
            self.supervisor.doom("the arm did not arrive at the start pose")
        if self._problem is not None:
            self.supervisor.hold(self._problem)
        elif (back := self.supervisor.recovered()) is not None:
            cause = f"good observations for {self.config.recover_s:g} s"
            self._act(cause) if back is State.RUNNING else self._ramp(cause)
        if self.state is not State.RUNNING:
            self.choice = None  # good again, but not for long enough
        else:
            self.steering.aim(None if self.choice is None else self.choice.targets_rad)
            self._steps += self.choice is not None

    def _decide(self) -> str | None:
        """Ask the policy; return why its answer may not be acted on."""
        try:
            choice = self._decider.decide(self._seen)
        except PolicyError as error:
            self.supervisor.doom(one_line(error))
            return None
        if choice.drifted and self.config.on_drift != "slow":
            cause = f"drift {choice.drift:.2f} of the {choice.drifted}: outside what was trained on"
            if self.config.on_drift == "hold":
                return cause
            self.supervisor.doom(cause)
        elif self.clock.now() - self._seen.time_s > self._oldest_s:
            self.stale_decisions += 1
        else:
            self.choice = choice
        return None

    def _act(self, cause: str) -> None:
        """Let the policy act."""
        self.steering.act()
        self.supervisor.go(State.RUNNING, cause)

    def _ramp(self, cause: str, placed_at: Array | None = None) -> None:
        """Begin to ramp; from an arm at rest at `placed_at`, if it has been put there."""
        if placed_at is not None:
            self.steering.start(placed_at)
            self.clock.start()
            self._phase = 0
        self.steering.ramp()
        self.supervisor.go(State.RAMP, cause)

    def _note(self, lateness: float, began: float, wanted: Array, filtered: Filtered, sent: Array) -> None:
        """Count and log a tick."""
        now, timing = self.clock.now(), self.clock.timing
        timing.work.add(now - began)
        timing.age.add(now - self._seen.time_s)
        if self._log is not None:
            self._log.add(Tick(
                now, lateness, now - began, self._episode, self._steps, self.state,
                self._seen, self.choice, wanted, filtered, sent,
            ))  # fmt: skip

    def _on_transition(self, change: Transition) -> None:
        if self._log is not None:
            self._log.transition(change)
