"""What each change of the source's pixels is for, shown on digits, and lost when it changes nothing."""

from typing import Any

import numpy as np
import pytest

from simreal.transfer import pixels


def quiet(losses: object) -> None:
    pass


def veiled(images: np.ndarray) -> np.ndarray:
    return 0.6 * images + 100


def tinted(images: np.ndarray) -> np.ndarray:
    return images * [0.2, 0.5, 0.3] + [110, 40, 80]


def faint(images: np.ndarray) -> np.ndarray:
    return 127 + 0.35 * (images - 127)


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize(
    ("run", "change", "switches"),
    [
        (pixels.fourier, veiled, ({"beta": 0.15}, {"beta": 0.0})),
        (pixels.color_match, tinted, ({}, {"share": 0.0})),
        (pixels.random_conv, faint, ({}, {"largest": 0})),
    ],
)
def test_changed_pixels_halve_the_error(
    pictures: Any, run: Any, change: Any, switches: Any, on: bool
) -> None:
    before = pictures.error(pictures.policy, change)
    adapted = run(pictures.problem(change), quiet, **switches[0 if on else 1])
    after = pictures.error(adapted, change)
    assert (after < 0.6 * before) == on, f"{before:.3f} to {after:.3f}"


@pytest.mark.parametrize("run", [pixels.fourier, pixels.color_match])
def test_constant_frames_break_nothing(pictures: Any, run: Any) -> None:
    adapted = run(pictures.problem(lambda images: 0 * images), quiet)
    assert all(np.isfinite(value).all() for value in adapted.to_arrays().values())
    assert pictures.error(adapted) < 0.1
