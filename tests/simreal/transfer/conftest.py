"""A small imitation problem of real data: told the pixels of a digit, move in the digit's direction."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from simreal import learning
from simreal.data.target import TargetData
from simreal.learning import LearnConfig, Learner

Change = Callable[[NDArray], NDArray]
# A direction for each digit, well apart, and short enough to stay within [-1, 1] when turned.
DIRECTIONS = np.random.default_rng(3).normal(size=(10, 3)).astype(np.float32)
DIRECTIONS *= 0.7 / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)


def same(array: NDArray) -> NDArray:
    return array


@dataclass(frozen=True)
class DigitWorld:
    """scikit-learn's digits as vectors of 64 pixels, and a policy that has imitated on `SOURCE`."""

    policy: Policy
    pixels: NDArray[np.float32]
    actions: NDArray[np.float32]
    source = slice(0, 1000)
    test = slice(1400, 1797)

    def frames(self, which: slice, pixel: Change = same, action: Change = same) -> TargetData:
        """Return frames, each of a demonstration of its own, with pixels and actions changed."""
        pixels = np.float32(pixel(self.pixels[which]))
        actions = np.float32(action(self.actions[which]))
        count = len(pixels)
        return TargetData(np.zeros((count, 1, 1, 3), np.uint8), pixels, actions, np.arange(count))

    def demonstrations(
        self, seed: int, count: int, pixel: Change = same, action: Change = same
    ) -> TargetData:
        """Return `count` frames that neither `source` nor `test` has."""
        first = 1000 + seed * count
        assert first + count <= 1400
        return self.frames(slice(first, first + count), pixel, action)

    def error(self, policy: Policy, pixel: Change = same, action: Change = same) -> float:
        """Return the mean squared error of the actions on `test`."""
        data = self.frames(self.test, pixel, action)
        with torch.inference_mode():
            guess = policy(data.at(np.arange(len(data))).observation)
        return float((guess - torch.from_numpy(data.actions)).square().mean())


@pytest.fixture(autouse=True, scope="session")
def _single_precision() -> Iterator[None]:
    """How much a method helps on so small a problem depends on the arithmetic: the same everywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "has_bfloat16", lambda: False)
        yield


@pytest.fixture(scope="session")
def digits() -> DigitWorld:
    found = load_digits()
    pixels, actions = np.float32(found.data / 16), DIRECTIONS[found.target]
    torch.manual_seed(0)
    encoder = EncoderConfig("state", (("proprio", 64),), image_shape=None, feature_size=64, hidden=(64,))
    world = DigitWorld(Policy(PolicyConfig(encoder, HeadConfig((32,)), 3)), pixels, actions)
    learner, rng = Learner(world.policy, LearnConfig(1500, 3e-3)), np.random.default_rng(0)
    data = world.frames(world.source)
    for _ in range(1500):
        learner.update(data.batch(rng, 64))
    return DigitWorld(learner.averaged(), pixels, actions)


@pytest.fixture(scope="session")
def pictures() -> Any:
    return load("pictures").make_pictures()


@pytest.fixture(scope="session")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load("blocks").make_blocks(tmp_path_factory.mktemp("blocks") / "source")


@pytest.fixture(scope="session")
def elbows(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the blocks again, for a robot that also says how its elbow is bent."""
    return load("blocks").make_blocks(tmp_path_factory.mktemp("elbows") / "source", elbow=0.0, updates=200)


def load(name: str) -> Any:
    """Return a module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
