"""A small imitation problem of real images: shown a handwritten digit, move in the digit's direction."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from simreal.data.batch import Batch
from simreal.data.target import TargetData
from simreal.learning import LearnConfig, Learner

# A direction for each digit, well apart; scaled so that a changed gain stays within [-1, 1].
DIRECTIONS = np.random.default_rng(3).normal(size=(10, 3)).astype(np.float32)
DIRECTIONS *= 0.7 / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
Change = Callable[[NDArray], NDArray]


def same(array: NDArray) -> NDArray:
    return array


@dataclass(frozen=True)
class DigitWorld:
    """scikit-learn's digits, 8x8, and a policy that imitates on half of them."""

    policy: Policy
    images: NDArray[np.uint8]
    actions: NDArray[np.float32]

    def data(self, which: slice, image: Change = same, action: Change = same) -> TargetData:
        """Return frames, each of a demonstration of its own, with images and actions changed."""
        images = image(self.images[which]).astype(np.uint8)
        actions = action(self.actions[which]).astype(np.float32)
        count = len(images)
        return TargetData(images, np.zeros((count, 1), np.float32), actions, np.arange(count))

    def error(self, policy: Policy, data: TargetData) -> float:
        """Return the mean squared error of the actions."""
        with torch.inference_mode():
            return float(
                (policy(data.at(np.arange(len(data))).observation) - torch.from_numpy(data.actions))
                .square()
                .mean()
            )


SOURCE, TEST = slice(0, 1000), slice(1400, 1797)


@pytest.fixture(scope="session")
def digits() -> DigitWorld:
    found = load_digits()
    images = np.repeat(found.images[..., None] * 15.9, 3, axis=3).astype(np.uint8)
    actions = DIRECTIONS[found.target]
    torch.manual_seed(0)
    encoder = EncoderConfig(
        vectors=(("proprio", 1),), image_shape=(8, 8, 3), feature_size=64, hidden=(64,),
        channels=(16, 32), strides=(1, 1),
    )  # fmt: skip
    policy = Policy(PolicyConfig(encoder, HeadConfig((32,)), 3))
    world = DigitWorld(policy, images, actions)
    learner, rng = Learner(policy, LearnConfig(1000, 3e-3)), np.random.default_rng(0)
    source = world.data(SOURCE)
    for _ in range(1000):
        learner.update(source.batch(rng, 64))
    return DigitWorld(learner.averaged(), images, actions)
