"""Scored rollouts of a deployed policy: a person at the prompt, or a simulated world, says what each was."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

from simreal.deploy.deployment import FINISHED
from simreal.deploy.judge import Judge, Person, World
from simreal.deploy.keyboard import terminal
from simreal.deploy.log import Episode, Log
from simreal.deploy.loop import ControlLoop
from simreal.deploy.outcomes import Outcomes
from simreal.deploy.robot import Robot
from simreal.deploy.simulated import SimulatedRobot
from simreal.deploy.trials import Course, Gate, run_trials


@dataclasses.dataclass(frozen=True)
class Scoring:
    """Where the outcomes go, and who says what they are."""

    table: Path
    """CSV; one that exists is gone on with."""
    policy: str
    """What the table and the prompt call the policy: its name, or a label that does not tell."""
    scorer: str | None = None
    """Name of the person at the prompt; None lets a simulated world say."""


def run_scored(
    scoring: Scoring,
    loop: ControlLoop,
    robot: Robot,
    seeds: list[int],
    place: Callable[[int | None], bool],
    steps: int,
    log: Log,
) -> list[Episode]:
    """Run every trial that the table has no outcome of yet, and stop.

    Raises:
        SimrealError: if a person is to score and there is no terminal.
    """
    outcomes, gate = Outcomes(scoring.table, scoring.policy), Gate()
    episodes: list[Episode] = []

    def following() -> tuple[int, int] | None:
        done = outcomes.scored()
        return next(((i, seed) for i, seed in enumerate(seeds) if i not in done), None)

    with contextlib.ExitStack() as stack:
        judge: Judge
        if scoring.scorer is None and isinstance(robot, SimulatedRobot):
            judge = World(lambda: robot.success)
        else:
            judge = Person(stack.enter_context(terminal()), scoring.scorer or "operator")
        loop.config = dataclasses.replace(loop.config, ready=gate.open)
        stack.enter_context(loop)
        for trial in run_trials(loop, Course(following, place, judge, gate, steps, "trial")):
            success = outcomes.add(trial)
            episode = dataclasses.replace(trial.episode, seed=trial.seed, success=success)
            log.episode(episode)
            episodes.append(episode)
        loop.stop(FINISHED)
    return episodes
