"""A few demonstrations and many frames: what the frames add, and nothing when they are switched off."""

from typing import Any

import numpy as np
import pytest

from simreal.transfer import semi_supervised


def quiet(losses: object) -> None:
    pass


def varied(images: np.ndarray) -> np.ndarray:
    """Another contrast for each image."""
    rng = np.random.default_rng(len(images))
    count = len(images)
    gain = rng.uniform(0.2, 0.6, (count, 1, 1, 3))
    return rng.uniform(20, 120, (count, 1, 1, 3)) + gain * images
