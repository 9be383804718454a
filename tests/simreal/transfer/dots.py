"""Two dots: bring the red one, the gripper, to the green one; only the image shows the green one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from simreal.data.target import TargetData
from simreal.learning import LearnConfig, Learner
from simreal.transfer import Problem

SIZE, STEPS, GAIN = 16, 6, 0.5
Change = Callable[[NDArray], NDArray]


def render(gripper: NDArray, goal: NDArray, change: Change | None = None) -> NDArray[np.uint8]:
    """Return images (N, 16, 16, 3) of dots at positions (N, 2) in [-1, 1]."""
    place = np.arange(SIZE)
    image = np.full((len(gripper), SIZE, SIZE, 3), 30.0)
    for channel, position in ((0, gripper), (1, goal)):
        pixel = (position + 1) / 2 * (SIZE - 5) + 2
        across = np.exp(-((place - pixel[:, :1]) ** 2) / 2)
        down = np.exp(-((place - pixel[:, 1:]) ** 2) / 2)
        image[..., channel] += 200 * down[:, :, None] * across[:, None, :]
    if change is not None:
        image = change(image)
    return np.clip(image, 0, 255).astype(np.uint8)


def record(episodes: int, seed: int, expert: bool, change: Change | None = None) -> TargetData:
    """Return episodes of a noisy expert, or of random actions; its actions are the executed ones."""
    rng = np.random.default_rng(seed)
    goal = rng.uniform(-1, 1, (episodes, 2))
    gripper = rng.uniform(-1, 1, (episodes, 2))
    images, proprio, actions = [], [], []
    for _ in range(STEPS):
        right = np.clip(goal - gripper, -1, 1) if expert else np.zeros_like(goal)
        action = np.clip(right + rng.normal(0, 0.2 if expert else 0.6, goal.shape), -1, 1)
        images.append(render(gripper, goal, change))
        proprio.append(gripper)
        actions.append(action)
        gripper = np.clip(gripper + GAIN * action, -1, 1)
    order = np.arange(STEPS * episodes).reshape(STEPS, episodes).T.ravel()
    return TargetData(
        np.concatenate(images)[order],
        np.concatenate(proprio)[order].astype(np.float32),
        np.concatenate(actions)[order].astype(np.float32),
        np.repeat(np.arange(episodes), STEPS),
    )


@dataclass(frozen=True)
class Dots:
    """A policy that has imitated the expert, and the expert's frames."""

    policy: Policy
    source: TargetData

    def problem(self, change: Change, updates: int) -> Problem:
        """Return the problem of adapting to changed images, seen along random actions."""
        frames = record(60, 1, expert=False, change=change)
        return Problem(self.policy, 0, source=self.source, frames=frames, updates=updates)

    def error(self, policy: Policy, change: Change | None = None) -> float:
        """Return the mean squared distance of the actions from the right ones."""
        rng = np.random.default_rng(2)
        gripper, goal = rng.uniform(-1, 1, (2, 300, 2))
        observation = {
            "image": torch.from_numpy(render(gripper, goal, change)),
            "proprio": torch.from_numpy(gripper.astype(np.float32)),
        }
        right = torch.from_numpy(np.clip(goal - gripper, -1, 1).astype(np.float32))
        with torch.inference_mode():
            return float((policy(observation) - right).square().mean())


def make_dots() -> Dots:
    """Train the policy; some seconds."""
    source = record(250, 0, expert=True)
    torch.manual_seed(0)
    encoder = EncoderConfig(
        vectors=(("proprio", 2),), image_shape=(SIZE, SIZE, 3), feature_size=32, hidden=(32,),
        channels=(8, 8), strides=(1, 1),
    )  # fmt: skip
    policy = Policy(PolicyConfig(encoder, HeadConfig((32,)), 2))
    learner, rng = Learner(policy, LearnConfig(600, 5e-3)), np.random.default_rng(0)
    for _ in range(600):
        learner.update(source.batch(rng, 64))
    return Dots(learner.averaged(), source)
