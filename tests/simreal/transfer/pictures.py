"""A small imitation problem of real images: shown a handwritten digit, move in the digit's direction."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from simreal.data.target import TargetData
from simreal.learning import LearnConfig, Learner
from simreal.transfer import Problem

Change = Callable[[NDArray], NDArray]
# A direction for each digit, well apart, of length 0.7.
DIRECTIONS = np.random.default_rng(3).normal(size=(10, 3)).astype(np.float32)
DIRECTIONS *= 0.7 / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
# A robot that walks from digit to digit measures where each of them stands: a place in 3 dimensions.
PLACES = np.random.default_rng(7).uniform(-0.5, 0.5, (10, 3)).astype(np.float32)
STEPS = 20  # of an episode of that walk
SOURCE, GIVEN, TEST = slice(0, 1000), slice(1000, 1400), slice(1400, 1797)
UPDATES = 150


@dataclass(frozen=True)
class Pictures:
    """scikit-learn's digits as images of 8x8, and a policy that has imitated on `SOURCE`."""

    policy: Policy
    images: NDArray[np.uint8]
    actions: NDArray[np.float32]
    places: NDArray[np.float32]
    """(N, 3), which the policy is not told."""

    def frames(self, which: slice, change: Change | None = None) -> TargetData:
        """Return frames, each an episode of its own, with images (N, 8, 8, 3) from 0 to 255 changed."""
        images = self.images[which]
        if change is not None:
            images = np.clip(change(images.astype(np.float64)), 0, 255).astype(np.uint8)
        count = len(images)
        return TargetData(images, np.zeros((count, 0), np.float32), self.actions[which], np.arange(count))

    def walk(self, which: slice, change: Change | None = None) -> TargetData:
        """Return frames along a walk: `proprio` is the place, an action the way to the next frame's."""
        frames, places = self.frames(which, change), self.places[which]
        ways = np.diff(places, axis=0, append=places[-1:])
        return TargetData(frames.images, places, ways, np.arange(len(places)) // STEPS)

    def error(self, policy: Policy, change: Change | None = None) -> float:
        """Return the mean squared error of the actions on changed images of `TEST`."""
        data = self.frames(TEST, change)
        with torch.inference_mode():
            guess = policy(data.at(np.arange(len(data))).observation)
        return float((guess - torch.from_numpy(data.actions)).square().mean())

    def problem(self, change: Change, demonstrations: TargetData | None = None) -> Problem:
        """Return the problem of adapting to changed images, of which `GIVEN` are seen without labels."""
        frames = self.frames(GIVEN, change)
        return Problem(self.policy, 0, demonstrations, self.frames(SOURCE), frames, UPDATES)


def make_pictures() -> Pictures:
    """Train the policy; some seconds."""
    found = load_digits()
    images = np.repeat(found.images[..., None] * 15.9, 3, axis=3).astype(np.uint8)
    torch.manual_seed(0)
    encoder = EncoderConfig(
        vectors=(), image_shape=(8, 8, 3), feature_size=64, hidden=(64,), channels=(16, 32), strides=(1, 1)
    )
    policy = Policy(PolicyConfig(encoder, HeadConfig((32,)), 3))
    world = Pictures(policy, images, DIRECTIONS[found.target], PLACES[found.target])
    learner, rng = Learner(policy, LearnConfig(800, 5e-3)), np.random.default_rng(0)
    source = world.frames(SOURCE)
    for _ in range(800):
        learner.update(source.batch(rng, 64))
    return dataclasses.replace(world, policy=learner.averaged())
