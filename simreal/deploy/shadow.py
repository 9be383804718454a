"""Shadow mode: the policy looks at what the robot sees while somebody else moves it; nothing is sent.

What the operator did at an observation is what the robot then did: how far the gripper, or in joint control
the joints, moved until the next observation, one control period later. A policy says where to go, and a
robot takes a while to get there: its displacements are smaller than the policy's, and their directions tell
more than their sizes. Where the operator's own commands were recorded, replay compares with those.
"""

from pathlib import Path
from typing import Any

import numpy as np

from simreal.deploy.clock import Clock, Pacer
from simreal.deploy.comparison import Comparison, Did
from simreal.deploy.config import LoopConfig
from simreal.deploy.deciding import Choice, Decider, PolicyError
from simreal.deploy.opening import open_runtime
from simreal.deploy.rig import Rig, open_rig
from simreal.deploy.robot_side import BadObservationError, LostRobotError, RobotSide, Seen
from simreal.deploy.runtime import Runtime
from simreal.deploy.session import Session
from simreal.deploy.signals import Signals
from simreal.errors import SimrealError

TABLE = "comparison.parquet"


def shadow(session: Session, folder: Path) -> dict[str, Any]:
    """Look on for `session.seconds`, or until ctrl-C; every observation goes into `folder`.

    Returns:
        What `Comparison.summary` says, and how many observations were of no use.

    Raises:
        SimrealError: if the robot does not fit the policy or is lost, or if there is nothing to compare.
    """
    if session.robot == "simulated" and session.pacing == "lock-step":
        raise SimrealError("--mode shadow sends nothing, so in lock-step time stands still: use real-time")
    runtime = open_runtime(session.policy, folder, session.source, session.seed)
    period_s = runtime.manifest.control_period_s
    steps = None if session.seconds is None else round(session.seconds / period_s)
    with open_rig(session, runtime.manifest, session.override) as rig:
        watcher = Shadow(rig, runtime, Pacer(period_s), session.loop)
        watcher.watch(steps)
    watcher.comparison.write(folder / TABLE)
    return watcher.comparison.summary() | {"bad_observations": watcher.bad}


class Shadow:
    """Asks a policy about everything that a robot sees."""

    def __init__(self, rig: Rig, runtime: Runtime, clock: Clock, config: LoopConfig = LoopConfig()) -> None:
        manifest = runtime.manifest
        self.comparison = Comparison(manifest, rig.spec.joint_names)
        self.bad = 0
        """Observations that nothing could be concluded from."""
        self._clock, self._rig = clock, rig
        self._oldest_s = config.oldest_s(manifest.control_period_s)
        self._side = RobotSide(rig.robot, rig.mapping, manifest, rig.controller.kinematics)
        self._decider = Decider(runtime, rig.controller, LoopConfig(on_drift="ignore"))
        self._uses_gripper = manifest.action.order[-1] == "gripper_opening"
        self._last: tuple[Seen, Choice] | None = None

    def watch(self, steps: int | None) -> None:
        """Look at `steps` observations, or until ctrl-C.

        Raises:
            SimrealError: if the robot is lost, or the policy fails.
        """
        signals = Signals()
        signals.install()
        self._clock.start()
        try:
            while not signals.count and (steps is None or steps > 0):
                self._clock.wait()
                self._look()
                steps = None if steps is None else steps - 1
        finally:
            signals.restore()

    def _look(self) -> None:
        try:
            seen = self._side.observe(self._clock.now(), self._oldest_s)
            if self._last is not None and seen.time_s == self._last[0].time_s:
                return  # a robot that is slower than the policy has nothing new to say
            choice = self._decider.decide(seen)
        except BadObservationError:
            self.bad, self._last = self.bad + 1, None
            return
        except (LostRobotError, PolicyError) as error:
            raise SimrealError(f"shadow: {error}") from None
        if self._last is not None:
            before, chosen = self._last
            self.comparison.add(0, before, chosen, self._did(before, seen))
        self._last = seen, choice

    def _did(self, before: Seen, after: Seen) -> Did:
        controller, n = self._rig.controller, len(before.joints_rad)
        moved = after.joints_rad - before.joints_rad
        motion = moved
        if controller.dimensions == 3:
            motion = (after.policy["proprio"] - before.policy["proprio"])[n : n + 3].astype(np.float64)
        action = motion / controller.scale
        if self._uses_gripper:
            action = np.append(action, 2 * after.width_m / self._rig.spec.opening_m - 1)
        return Did(action, moved)
