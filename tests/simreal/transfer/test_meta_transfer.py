"""Domains in which actions are turned: too few demonstrations to learn a turn, enough to tell which."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from policies import Policy
from simreal.transfer import Problem
from simreal.transfer.latent_search import latent_search
from simreal.transfer.meta_transfer import anil, imaml, maml, reptile
from simreal.transfer.tasks import Task, Tasks

ANGLE = 1.2  # of the target


def turn(angle: float) -> np.ndarray:
    """Return a rotation about the third axis."""
    return np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]], np.float32
    )


def turned(actions: np.ndarray) -> np.ndarray:
    return actions @ turn(ANGLE)


def turned_tasks(digits: Any, most: float = np.pi, size: int = 16) -> Tasks:
    """Return domains that turn actions by up to `most` either way."""
    source = digits.frames(digits.source)

    def sample(rng: np.random.Generator) -> Task:
        angle = rng.uniform(-most, most)
        matrix = torch.from_numpy(turn(angle))
        support, query = (source.batch(rng, size) for _ in range(2))
        described = np.float32([np.sin(angle), np.cos(angle) - 1])
        return Task(*(dataclasses.replace(b, action=b.action @ matrix) for b in (support, query)), described)

    return sample


def adapt(digits: Any, run: Callable[..., Policy], updates: int) -> float:
    problem = Problem(digits.policy, 0, digits.demonstrations(0, 30, action=turned), updates=updates)
    return digits.error(run(problem, lambda losses: None), action=turned)


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (maml, {"rate": 0.3, "share": 0.95}),
        (anil, {"share": 0.95}),
        (reptile, {"rate": 0.3, "share": 0.95}),
        (imaml, {"pull": 0.3, "share": 0.9, "meta_rate": 3e-3}),
    ],
)
def test_learning_to_adapt_helps_where_joint_learning_does_not(
    digits: Any, method: Any, settings: dict[str, Any], off: bool
) -> None:
    """Six steps on thirty frames, twelve for iMAML: enough for who learned to adapt."""
    settings = {"tasks": turned_tasks(digits), "meta_rate": 5e-3} | settings
    if off:
        settings["steps"] = 1 if method is reptile else 0
    error = adapt(digits, functools.partial(method, **settings), 120)
    assert (error < 0.09) != off, error


@pytest.mark.parametrize("off", [False, True])
def test_latent_search_finds_the_turn(digits: Any, off: bool) -> None:
    settings = {"tasks": turned_tasks(digits, 1.8, 32), "size": 2, "looks": 0 if off else 12}
    error = adapt(digits, functools.partial(latent_search, **settings), 450)
    assert (error < 0.11) != off, error
