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


def turn(angle: float) -> np.ndarray:
    """Return a rotation about the third axis."""
    return np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]], np.float32
    )


def turned(actions: np.ndarray) -> np.ndarray:
    return actions @ turn(2.0)


def turned_tasks(digits: Any, size: int = 16) -> Tasks:
    source = digits.frames(digits.source)

    def sample(rng: np.random.Generator) -> Task:
        angle = rng.uniform(-np.pi, np.pi)
        matrix = torch.from_numpy(turn(angle))
        support, query = (source.batch(rng, size) for _ in range(2))
        described = np.float32([np.sin(angle), np.cos(angle)])
        return Task(*(dataclasses.replace(b, action=b.action @ matrix) for b in (support, query)), described)

    return sample


def adapt(digits: Any, run: Callable[..., Policy], updates: int, count: int = 12) -> float:
    problem = Problem(digits.policy, 0, digits.demonstrations(0, count, action=turned), updates=updates)
    return digits.error(run(problem, lambda losses: None), action=turned)


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.parametrize("method", [maml, anil, reptile, imaml])
def test_learning_to_adapt_helps_where_joint_learning_does_not(digits: Any, method: Any, off: bool) -> None:
    settings: dict[str, Any] = {"tasks": turned_tasks(digits)}
    if off:
        settings["steps"] = 1 if method is reptile else 0
    error = adapt(digits, functools.partial(method, **settings), 150)
    assert (error < 0.05) != off, error


@pytest.mark.parametrize("off", [False, True])
def test_latent_search_finds_the_turn(digits: Any, off: bool) -> None:
    settings = {"tasks": turned_tasks(digits), "size": 2} | ({"looks": 0} if off else {})
    error = adapt(digits, functools.partial(latent_search, **settings), 200)
    assert (error < 0.05) != off, error
