"""From an observation to joint targets: the policy, what its action means, and its drift watch."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from envs.controller import Controller
from simreal.deploy.config import LoopConfig
from simreal.deploy.drift import DriftWatch
from simreal.deploy.fit import robot_spec
from simreal.deploy.robot_side import Seen, one_line
from simreal.deploy.runtime import Runtime, unit_action


class PolicyError(Exception):
    """The policy cannot be trusted any more."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What the policy wants."""

    targets_rad: NDArray[np.float64]
    """(n,)"""
    width_m: float | None
    """Opening of the gripper; None for a policy that does not use it."""
    action: NDArray[np.float64]
    """(A,), in [-1, 1]."""
    drift: float
    """Distance from what was trained on; NaN without a drift watch."""
    drifted: str | None
    """What is too far from it, `feature` or `proprio`; None if neither is, or nobody wants to know."""


@runtime_checkable
class RemembersEpisode(Protocol):
    """A runtime that has to know where an episode begins."""

    def new_episode(self) -> None:
        """Forget the last episode."""


class Decider:
    """Asks the policy and turns its action into joint targets, as in simulation."""

    def __init__(self, runtime: Runtime, controller: Controller, config: LoopConfig) -> None:
        self._runtime, self._controller, self._config = runtime, controller, config
        manifest = runtime.manifest
        self._open_m = robot_spec(manifest).opening_m
        self._uses_gripper = manifest.action.order[-1] == "gripper_opening"
        self._watch = _watch(runtime)

    def new_episode(self) -> None:
        """Forget the last episode."""
        if isinstance(self._runtime, RemembersEpisode):
            self._runtime.new_episode()
        if self._watch is not None:
            self._watch.reset()

    def decide(self, seen: Seen) -> Choice:
        """Return what the policy wants.

        Raises:
            PolicyError: if it raises, or its action is not finite.
        """
        try:
            decision = self._runtime.decide(seen.policy)
        except Exception as error:  # whatever it is, the arm has to be braked
            raise PolicyError(f"the policy raised {type(error).__name__}: {one_line(error)}") from error
        action = unit_action(self._runtime.manifest, decision.action)
        if not np.isfinite(action).all():
            raise PolicyError("the policy's action is not finite")
        action = np.clip(action, -1.0, 1.0)
        drift = self._drift(seen, decision.feature)
        drifted = self._farther(drift) if self._config.on_drift != "ignore" else None
        slow = self._config.slow_share if drifted and self._config.on_drift == "slow" else 1.0
        motion = slow * action[: self._controller.dimensions]
        targets = self._controller.joint_targets(seen.joints_rad, motion)
        width = self._open_m * (float(action[-1]) + 1) / 2 if self._uses_gripper else None
        return Choice(targets, width, action, drift, drifted)

    def _drift(self, seen: Seen, feature: NDArray[np.float32] | None) -> float:
        if self._watch is None or feature is None:
            return float("nan")
        return float(self._watch.update(feature, seen.policy["proprio"]))

    def _farther(self, drift: float) -> str | None:
        return self._watch.farther if self._watch is not None and drift > self._watch.threshold else None


def _watch(runtime: Runtime) -> DriftWatch | None:
    """Return the drift watch of an exported policy, if it has one."""
    return None if runtime.drift is None else DriftWatch(runtime.drift)
