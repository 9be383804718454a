"""A little world of blocks: a robot above a table goes to the red one, as far as its motors take it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs import Domain, load_domain
from envs.appearance import Appearance, compose
from envs.camera import DISTRACTOR, GOAL, ROBOT, TABLE, Layers
from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from simreal.data.source import Frames, SourceData
from simreal.data.target import TargetData
from simreal.learning import LearnConfig, Learner
from simreal.transfer import Problem, SourceAccess

SIZE, STEPS = 16, 5
REACH = 0.35  # of the way to the goal that the expert goes in a step
Array = NDArray[Any]
Act = Callable[[Array, Array], Array]  # images (E, H, W, 3) and proprioception (E, 2) to actions (E, 2)


@dataclass(frozen=True)
class World:
    """How far a robot moves for its actions, and in which orders its camera has the channels by turns.

    Its elbow, if it has one, follows from where it is, but for how far it wanders off in an episode.
    """

    gain: float | Array = 1.0
    orders: tuple[str, ...] = ("rgb",)
    elbow: float | None = None

    def episodes(
        self, rng: np.random.Generator, count: int, steps: int = STEPS, act: Act | None = None
    ) -> tuple[dict[str, Array], Array]:
        """Go to goals that stand beside distractors, as the expert does or as `act` says.

        Returns:
            Columns of frames, those of an episode in order, and the images.
        """
        goal, other, pose = (places(rng, count) for _ in range(3))
        clear = np.abs(goal - other).max(axis=1) >= 3
        aside = np.column_stack([goal[:, 0], (goal[:, 1] + 6) % (SIZE - 3) + 1])
        other = np.where(clear[:, None], other, aside)
        order = np.array(self.orders)[np.arange(count) % len(self.orders)]
        found = []
        for number in range(steps):
            columns = _columns(goal, other, pose)
            if self.elbow is not None:
                bent = pose.prod(axis=1) / SIZE**2 + rng.normal(self.elbow * number / steps, 0.01, count)
                columns["proprio"] = np.column_stack([columns["proprio"], bent]).astype(np.float32)
            images = _composed(columns, order)
            done = columns["action"] if act is None else act(images, columns["proprio"])
            found.append(columns | {"executed": done, "episode": np.arange(count), "image": images})
            moved = REACH * np.reshape(self.gain, (-1, 1)) * SIZE * np.clip(done, -1, 1)
            pose = pose + moved + rng.normal(0, 0.05, pose.shape)
        joined = {name: np.stack([each[name] for each in found], axis=1) for name in found[0]}
        joined = {name: value.reshape(-1, *value.shape[2:]) for name, value in joined.items()}
        return joined, joined.pop("image")

    def demonstrations(self, seed: int, count: int, steps: int = STEPS) -> TargetData:
        columns, images = self.episodes(np.random.default_rng(seed), count, steps)
        return TargetData(images, columns["proprio"], columns["action"], columns["episode"])

    def left(self, policy: Policy, seed: int, steps: int, count: int = 60) -> float:
        """Return how far from the goal a policy is after so many steps, image widths, on average."""

        def act(images: Array, proprio: Array) -> Array:
            with torch.inference_mode():
                action = policy({"image": torch.from_numpy(images), "proprio": torch.from_numpy(proprio)})
            return action.numpy()

        columns, _ = self.episodes(np.random.default_rng(seed), count, steps + 1, act)
        return float(np.linalg.norm(columns["action"].reshape(count, -1, 2)[:, -1], axis=1).mean())


def places(rng: np.random.Generator, count: int) -> Array:
    """Draw rows and columns (count, 2) of blocks on the table."""
    return rng.integers([6, 1], [SIZE - 2, SIZE - 3], (count, 2))


def _columns(goal: Array, other: Array, pose: Array) -> dict[str, Array]:
    """Return one frame of every episode; the action is the expert's."""
    segment = np.zeros((len(goal), SIZE, SIZE), np.uint8)
    segment[:, 5:] = TABLE
    for frame, (g, o, p) in enumerate(zip(goal, other, pose, strict=True)):
        down, across = (int(each) for each in np.clip(p, 0, SIZE))
        segment[frame, : down // 3, across : across + 3] = ROBOT
        segment[frame, o[0] : o[0] + 3, o[1] : o[1] + 3] = DISTRACTOR
        segment[frame, g[0] : g[0] + 3, g[1] : g[1] + 3] = GOAL
    return {
        "shade": np.full(segment.shape, 200, np.uint8),
        "segment": segment,
        "depth": np.ones(segment.shape, np.float16),
        "camera": np.zeros((len(segment), 13), np.float32),
        "proprio": (pose / SIZE).astype(np.float32),
        "action": ((goal - pose) / SIZE).astype(np.float32),
        "goal_position": (np.c_[goal, goal[:, 0] * 0] * 0.02).astype(np.float32),
    }


def _composed(columns: dict[str, Array], order: Array) -> Array:
    appearance = Appearance({"appearance.channel_order": order}, np.zeros(len(order), np.int64))
    return compose(Layers(*(columns[name] for name in ("shade", "segment", "depth", "camera"))), appearance)


@dataclass(frozen=True)
class Blocks:
    """A source of 300 episodes whose robots move a little more or less, and a policy that imitated there."""

    source: SourceAccess
    policy: Policy
    World = World

    def problem(self, data: TargetData, updates: int = 150, gripper: tuple[int, ...] = ()) -> Problem:
        return Problem(self.policy, 0, data, self.source, updates=updates, gripper=gripper)


def make_blocks(folder: Path, elbow: float | None = None, updates: int = 400) -> Blocks:
    """Record the source below `folder` and train the policy; some seconds."""
    rng = np.random.default_rng(0)
    columns, _ = World(rng.uniform(0.85, 1.15, 300), elbow=elbow).episodes(rng, 300)
    count = len(columns["action"])
    data = SourceData.create(folder, count, Frames(columns))
    data.append(Frames(columns), count)
    wide = load_domain("source")
    plain = {key: each for key, each in wide.distributions.items() if "texture" not in key}
    source = SourceAccess(data, Domain("source", 0, distributions=plain))
    torch.manual_seed(0)
    encoder = EncoderConfig(
        vectors=(("proprio", 2 + (elbow is not None)),), image_shape=(SIZE, SIZE, 3), feature_size=32,
        hidden=(32,), channels=(8, 16), strides=(1, 1),
    )  # fmt: skip
    policy = Policy(PolicyConfig(encoder, HeadConfig((32,)), 2))
    learner, rng = Learner(policy, LearnConfig(updates, 4e-3)), np.random.default_rng(0)
    for _ in range(updates):
        learner.update(source.batch(rng, 32))
    return dataclasses.replace(Blocks(source, policy), policy=learner.averaged())
