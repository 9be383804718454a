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

import gc
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from envs.controller import Controller
from simreal.deploy.braking import Array
from simreal.deploy.clock import Clock
from simreal.deploy.config import LoopConfig
from simreal.deploy.deciding import Choice, Decider, PolicyError
from simreal.deploy.log import Episode, Log, Tick
from simreal.deploy.reference import Line, Ramp
from simreal.deploy.robot import Mapping, Robot
from simreal.deploy.robot_side import BadObservationError, LostRobotError, RobotSide, Seen, one_line
from simreal.deploy.runtime import Runtime
from simreal.deploy.safety import Filtered, SafetyFilter
from simreal.deploy.states import State, Transition
from simreal.deploy.supervisor import Supervisor
from simreal.errors import SimrealError

_SWITCH_S = 2e-4  # how long another thread may keep the interpreter from a tick that is due


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
        """Put the parts together; nothing is sent before `start`.

        Args:
            robot: Connected.
            mapping: Which key is which joint.
            runtime: The policy.
            controller: What turns its actions into joint targets.
            safety: Filter at the command period: the control period over `config.command_multiple`.
            clock: At the same period.
            config: How to behave.
            log: Where every tick goes.
        """
        self.safety, self.clock, self.config = safety, clock, config
        self.supervisor = Supervisor(clock, config, self._on_transition)
        self.changed: Counter[str] = Counter()
        """How many commands each limit changed."""
        self.stale_decisions = 0
        """Dropped, because they came too late to be sent."""
        self.choice: Choice | None = None
        """What the policy decided in this tick, if it is acted on."""
        self._log, self._decider = log, Decider(runtime, controller, config)
        self._side = RobotSide(robot, mapping, runtime.manifest, controller.kinematics)
        self._oldest_s = config.oldest_s(runtime.manifest.control_period_s)
        self._no_action = np.full(runtime.manifest.action.shape, np.nan)
        self._phase, self._episode, self._steps = 0, -1, 0

    @property
    def state(self) -> State:
        """Return what the loop is doing."""
        return self.supervisor.state

    def __enter__(self) -> "ControlLoop":
        self.supervisor.signals.install()
        self._switch_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        gc.collect()
        gc.freeze()  # what exists by now lives as long as the loop: collections need not look at it
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            self.stop("left" if error is None else f"{kind.__name__} outside the loop")
        finally:
            gc.unfreeze()
            sys.setswitchinterval(self._switch_s)
            self.supervisor.signals.restore()

    def start(self) -> None:
        """Look, ask the policy once, and begin to move to the start pose.

        Raises:
            SimrealError: if the robot, its pose or the policy is not fit to begin with.
        """
        try:
            self._seen: Seen = self._side.observe(self.clock.now(), self._oldest_s)
            self._decider.decide(self._seen)  # the first decision is slow: better now than in the loop
        except (LostRobotError, BadObservationError, PolicyError) as error:
            raise SimrealError(f"cannot start: {one_line(error)}") from None
        self._ramp_from(self._seen.joints_rad, "start")

    def restart(self, cause: str, placed: bool = False) -> None:
        """Go back to the start pose for another episode, after one that ended in `running`.

        Args:
            cause: Of the transition.
            placed: Whether a simulated arm has been put elsewhere meanwhile, at rest.
        """
        self._look()
        if self.state is State.RUNNING:
            self._ramp_from(self._seen.joints_rad if placed else None, cause)

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

    def stop(self, cause: str) -> None:
        """Brake to rest and stop."""
        if self.state is State.IDLE:
            self.supervisor.go(State.STOPPED, cause)
        self.supervisor.doom(cause)
        while not self.supervisor.stopped:
            self._tick()

    def _follow_states(self) -> None:
        """From ramp to armed to running, where nothing is in the way."""
        if self.state is State.RAMP and self._ramp.arrived(self.safety.sent, self._seen.joints_rad):
            self.supervisor.go(State.ARMED, "at the start pose")
        if self.state is State.ARMED and self.config.ready():
            self._act("go")

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
        commanded, filtered = self._command()
        try:
            sent = self._side.send(filtered.sent, None if self.choice is None else self.choice.width_m)
        except LostRobotError as error:
            self.supervisor.go(State.STOPPED, f"lost robot: {one_line(error)}")
            return
        self._note(lateness, began, commanded, filtered, sent)
        self._phase = (self._phase + 1) % self.config.command_multiple

    def _look(self) -> None:
        """Observe; remember what is wrong with the observation."""
        self._problem: str | None = None
        try:
            self._seen = self._side.observe(self.clock.now(), self._oldest_s)
        except LostRobotError as error:
            self.supervisor.go(State.STOPPED, f"lost robot: {one_line(error)}")
        except BadObservationError as error:
            self._problem = one_line(error)

    def _judge(self) -> None:
        """Decide, if the policy is at work or may be again, and draw the consequences."""
        if self._problem is None and self.supervisor.wants_decision:
            self._problem = self._decide()
        if self.state is State.RAMP and self.supervisor.in_state_s > self._ramp.seconds:
            self.supervisor.doom("the arm did not arrive at the start pose")
        if self._problem is not None:
            self.supervisor.hold(self._problem)
        elif (back := self.supervisor.recovered()) is not None:
            cause = f"good observations for {self.config.recover_s:g} s"
            self._act(cause) if back is State.RUNNING else self._ramp_from(None, cause)
        if self.state is State.RUNNING:
            self._line.aim(None if self.choice is None else self.choice.targets_rad)
            self._steps += self.choice is not None

    def _decide(self) -> str | None:
        """Ask the policy; return why its answer may not be acted on."""
        try:
            choice = self._decider.decide(self._seen)
        except PolicyError as error:
            self.supervisor.doom(one_line(error))
            return None
        if choice.drifted and self.config.on_drift != "slow":
            cause = f"drift {choice.drift:.2f}: outside what the policy was trained on"
            if self.config.on_drift == "hold":
                return cause
            self.supervisor.doom(cause)
        elif self.clock.now() - self._seen.time_s > self._oldest_s:
            self.stale_decisions += 1
        else:
            self.choice = choice
        return None

    def _act(self, cause: str) -> None:
        """Let the policy act, from what is sent now."""
        self._line = Line(self.safety.sent, self.config.command_multiple)
        self.supervisor.go(State.RUNNING, cause)

    def _ramp_from(self, joints_rad: Array | None, cause: str) -> None:
        """Begin to ramp: from an arm at rest at these joints, or from what is sent."""
        if joints_rad is not None:
            self.safety.reset(joints_rad)
            self.clock.start()
            self._phase = 0
        goal = None if self.config.start_pose_rad is None else np.array(self.config.start_pose_rad)
        speed, period_s = self.config.ramp_speed_rad_s, self.safety.period_s
        self._ramp = Ramp(goal, self.safety.sent, speed, period_s)
        self.supervisor.go(State.RAMP, cause)

    def _command(self) -> tuple[Array, Filtered]:
        """Return what is wanted now (NaN for nothing), and what the filter makes of it."""
        if self.state is State.HOLD:
            return np.full_like(self.safety.sent, np.nan), Filtered(self.safety.brake(), ())
        if self.state is State.RUNNING:
            reference = self._line.at(self._phase)
        else:
            reference = self._ramp.next() if self.state is State.RAMP else self._ramp.goal
        filtered = self.safety.filter(reference, self._seen.joints_rad)
        self.changed.update(filtered.changed)
        return self._line.target if self.state is State.RUNNING else reference, filtered

    def _note(self, lateness: float, began: float, commanded: Array, filtered: Filtered, sent: Array) -> None:
        """Count and log a tick."""
        now, seen, choice = self.clock.now(), self._seen, self.choice
        self.clock.timing.work.add(now - began)
        self.clock.timing.age.add(now - seen.time_s)
        if self._log is None:
            return
        self._log.add(Tick(
            time_s=now, lateness_s=lateness, work_s=now - began, age_s=now - seen.time_s,
            episode=self._episode, step=self._steps, state=self.state, decided=choice is not None,
            commanded_rad=commanded, filtered_rad=filtered.sent, sent_rad=sent,
            observed_rad=seen.joints_rad, width_m=seen.width_m,
            drift=float("nan") if choice is None else choice.drift, changed=",".join(filtered.changed),
            action=self._no_action if choice is None else choice.action,
            proprio=seen.policy["proprio"], image=seen.policy.get("image"),
        ))  # fmt: skip

    def _on_transition(self, change: Transition) -> None:
        if self._log is not None:
            self._log.transition(change)
