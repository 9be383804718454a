"""Matching both at once: a camera that swaps its channels in some episodes, on a robot that moves a third."""

from typing import Any

import pytest

from policies import Policy
from simreal.transfer import Problem
from simreal.transfer.appearances import match_appearance
from simreal.transfer.motion import match, match_motion

STEPS = 8  # in which the source's robot would be at the goal


def quiet(losses: object) -> None:
    pass


@pytest.fixture(scope="module")
def world(blocks: Any) -> Any:
    return blocks.World(0.3, ("bgr", "bgr", "rgb"))


@pytest.fixture(scope="module")
def problem(blocks: Any, world: Any) -> Problem:
    """Ten demonstrations, twice as long as the source's: the expert pushes no harder, and so is slow."""
    problem: Problem = blocks.problem(world.demonstrations(1, 10, 10), updates=60)
    return problem


@pytest.fixture(scope="module")
def alone(problem: Problem, world: Any) -> float:
    """Return how far from the goal the better of the two parts alone is."""
    parts: list[Policy] = [run(problem, quiet) for run in (match_appearance, match_motion)]
    return min(world.left(part, 2, STEPS) for part in parts)


@pytest.mark.parametrize("off", [{}, {"first": 0.0}, {"most": 1.0}], ids=["both", "motion", "appearance"])
def test_both_shifts_need_both_parts(
    problem: Problem, world: Any, alone: float, off: dict[str, float]
) -> None:
    left = world.left(match(problem, quiet, **off), 2, STEPS)
    assert (left < 0.6 * alone) == (not off), f"{left:.3f} image widths, {alone:.3f} with one part"
