"""A few demonstrations and many frames: what the frames add, and nothing when they are switched off."""

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest

from simreal.transfer import fine_tuning, semi_supervised


def quiet(losses: object) -> None:
    pass


def varied(images: np.ndarray) -> np.ndarray:
    """Of ten images with full contrast, then of a contrast from there to slightly reversed, at random."""
    contrast = np.random.default_rng(0).uniform(-0.2, 1, len(images))
    contrast[:10] = 1
    return 127 + contrast[:, None, None, None] * (images - 127)


def fading(images: np.ndarray) -> np.ndarray:
    """From full contrast, at the first image, to a fifth of it."""
    share = np.linspace(1, 0.2, len(images))[:, None, None, None]
    return 100 * (1 - share) + share * images


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize(
    ("run", "change", "updates", "off"),
    [
        (semi_supervised.consistency, varied, 150, {"weight": 0.0}),
        (semi_supervised.pseudo_label, fading, 300, {"kept": 0.0}),
    ],
)
def test_frames_add_to_demonstrations(
    pictures: Any, run: Any, change: Any, updates: int, off: Any, on: bool
) -> None:
    """Demonstrations are ten frames, of the mild end where there is one; frames are 400."""
    demonstrations = pictures.frames(slice(1000, 1400), change).only(np.arange(10))
    problem = dataclasses.replace(pictures.problem(change, demonstrations), updates=updates)
    tuned = pictures.error(fine_tuning.finetune(problem, quiet), change)
    run = run if on else functools.partial(run, **off)
    after = pictures.error(run(problem, quiet), change)
    assert (after < 0.8 * tuned) == on, f"{tuned:.3f} with demonstrations alone, {after:.3f} with frames"


def test_pseudo_labels_are_those_that_views_agree_on(pictures: Any) -> None:
    rng = np.random.default_rng(0)
    frames = pictures.frames(slice(1000, 1100))
    found = semi_supervised.self_labelled(pictures.policy, frames, rng, 0.5)
    assert len(found) == 50
    right = pictures.actions[1000:1100][found.episode]
    kept = np.square(found.actions - right).mean()
    everything = semi_supervised.self_labelled(pictures.policy, frames, rng, 1.0)
    assert kept < 0.8 * np.square(everything.actions - pictures.actions[1000:1100]).mean()
    assert len(semi_supervised.self_labelled(pictures.policy, frames, rng, 0.0)) == 0
