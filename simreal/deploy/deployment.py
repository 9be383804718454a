"""`Deployment`: what became of a session, as `result.json` tells it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simreal.check.statistics import wilson_interval
from simreal.deploy.adapting import Adaptation
from simreal.deploy.log import Episode
from simreal.deploy.loop import ControlLoop
from simreal.deploy.signals import NAMES
from simreal.deploy.states import Transition

FINISHED = "finished"
_MOST_TRANSITIONS = 100


@dataclass(frozen=True)
class Deployment:
    """What became of a session."""

    policy: str
    robot: str
    domain: str | None
    pacing: str
    state: str
    cause: str
    fault: str | None
    """Why the loop stopped before its end; None if it came to it, or a person stopped it."""
    episodes: list[Episode]
    timing: dict[str, float | int]
    changed: dict[str, int]
    """Commands that each limit changed."""
    stale_decisions: int
    ticks_not_logged: int
    transitions: list[dict[str, Any]]
    """The last hundred; `transitions.csv` has all of them."""
    success_rate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    override: str | None = None
    overridden: list[str] = field(default_factory=list)
    dataset: Path | None = None
    adaptation: Adaptation | None = None


def summarize(loop: ControlLoop, episodes: list[Episode], **named: Any) -> Deployment:
    """Return what a loop that has stopped came to.

    Args:
        loop: The loop.
        episodes: What it ran.
        named: The remaining fields of `Deployment`.
    """
    machine = loop.supervisor.machine
    told = [episode.success for episode in episodes if episode.success is not None]
    low, high = wilson_interval(sum(told), len(told)) if told else (None, None)
    changes = list(machine.transitions)
    return Deployment(
        state=machine.state,
        cause=machine.cause,
        fault=None if loop.supervisor.doomed in (FINISHED, *NAMES.values()) else machine.cause,
        episodes=episodes,
        timing=loop.clock.timing.figures(),
        changed=dict(loop.steering.changed),
        stale_decisions=loop.stale_decisions,
        transitions=[_plain(change, changes[0].time_s) for change in changes[-_MOST_TRANSITIONS:]],
        success_rate=sum(told) / len(told) if told else None,
        ci_low=low,
        ci_high=high,
        **named,
    )


def _plain(change: Transition, started_s: float) -> dict[str, Any]:
    seconds = round(change.time_s - started_s, 4)
    return {"time_s": seconds, "before": change.before, "after": change.after, "cause": change.cause}
