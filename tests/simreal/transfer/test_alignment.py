"""What each way of aligning features is for, shown on digits, and lost when its distance is switched off."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from policies import Policy
from simreal.transfer import alignment
from simreal.transfer.alignment import reverse_gradient

Run = Callable[..., Policy]


def quiet(losses: object) -> None:
    pass


def low_contrast(images: np.ndarray) -> np.ndarray:
    return 90 + 0.35 * images


def bright(images: np.ndarray) -> np.ndarray:
    return 80 + 0.65 * images


def shaded(images: np.ndarray) -> np.ndarray:
    return 0.6 * images + 120 * np.linspace(0, 1, 8)[:, None]


def sometimes_low(images: np.ndarray) -> np.ndarray:
    low = np.random.default_rng(0).random((len(images), 1, 1, 1)) < 0.5
    return np.where(low, low_contrast(images), images)


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize(
    ("run", "change"),
    [
        (alignment.coral, low_contrast),
        (alignment.mmd, bright),
        (alignment.rsd, shaded),
        (alignment.dann, sometimes_low),
    ],
)
def test_alignment_lowers_the_error(pictures: Any, run: Run, change: Any, on: bool) -> None:
    run = run if on else functools.partial(run, weight=0.0)
    before = pictures.error(pictures.policy, change)
    after = pictures.error(run(pictures.problem(change), quiet), change)
    assert (after < 0.7 * before) == on, f"{before:.3f} to {after:.3f}"


def test_the_source_is_not_forgotten(pictures: Any) -> None:
    adapted = alignment.mmd(pictures.problem(low_contrast), quiet)
    assert pictures.error(adapted) < 2 * pictures.error(pictures.policy)


def test_a_reversed_gradient() -> None:
    feature = torch.tensor([[1.0, -2.0]], requires_grad=True)
    passed = reverse_gradient(feature, 0.5)
    assert torch.equal(passed, feature)
    (passed * torch.tensor([[3.0, 1.0]])).sum().backward()
    assert torch.equal(feature.grad, torch.tensor([[-1.5, -0.5]]))
