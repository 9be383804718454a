"""Matching appearances: a little world of blocks, and a camera that swaps its channels in some episodes."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from envs import Domain, load_domain
from envs.appearance import Appearance, compose
from envs.camera import DISTRACTOR, GOAL, ROBOT, TABLE, Layers
from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from simreal.data.source import Frames, SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.learning import LearnConfig, Learner, Losses
from simreal.transfer import Problem, SourceAccess, method
from simreal.transfer.appearances import match_appearance
from simreal.transfer.fine_tuning import finetune
from simreal.transfer.looks import looks

SIZE, STEPS = 16, 5
Array = NDArray[Any]


def quiet(losses: object) -> None:
    pass


def places(rng: np.random.Generator, count: int) -> Array:
    """Draw rows and columns (count, 2) of blocks on the table."""
    return rng.integers([6, 1], [SIZE - 2, SIZE - 3], (count, 2))


def episodes(rng: np.random.Generator, count: int) -> dict[str, Array]:
    """Return frames of episodes: a robot above, going to a goal block that stands beside a distractor."""
    goal, other, start = (np.repeat(places(rng, count), STEPS, axis=0) for _ in range(3))
    clear = np.abs(goal - other).max(axis=1) >= 3
    aside = np.column_stack([goal[:, 0], (goal[:, 1] + 6) % (SIZE - 3) + 1])
    other = np.where(clear[:, None], other, aside)
    share = np.tile(np.linspace(0, 0.9, STEPS), count)[:, None]
    pose = start + share * (goal - start)
    segment = np.zeros((count * STEPS, SIZE, SIZE), np.uint8)
    segment[:, 5:] = TABLE
    for frame, (g, o, p) in enumerate(zip(goal, other, pose, strict=True)):
        segment[frame, : int(p[0]) // 3, int(p[1]) : int(p[1]) + 3] = ROBOT
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
        "executed": np.zeros((len(segment), 2), np.float32),
        "episode": np.repeat(np.arange(count), STEPS),
    }


@dataclasses.dataclass(frozen=True)
class Blocks:
    source: SourceAccess
    policy: Policy

    def target(self, seed: int, count: int, orders: tuple[str, ...] = ("bgr", "bgr", "rgb")) -> TargetData:
        """Return demonstrations seen by a camera that takes the orders of its channels in turn."""
        frames = episodes(np.random.default_rng(seed), count)
        order = np.array(orders)[frames["episode"] % len(orders)]
        appearance = Appearance({"appearance.channel_order": order}, np.zeros(len(order), np.int64))
        layers = Layers(*(frames[name] for name in ("shade", "segment", "depth", "camera")))
        images = compose(layers, appearance)
        return TargetData(images, frames["proprio"], frames["action"], frames["episode"])

    def problem(self, data: TargetData, updates: int = 150) -> Problem:
        return Problem(self.policy, 0, data, self.source, updates=updates)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Blocks:
    columns = episodes(np.random.default_rng(0), 300)
    count = len(columns["action"])
    data = SourceData.create(tmp_path_factory.mktemp("source"), count, Frames(columns))
    data.append(Frames(columns), count)
    wide = load_domain("source")
    plain = {key: each for key, each in wide.distributions.items() if "texture" not in key}
    source = SourceAccess(data, Domain("source", 0, distributions=plain))
    torch.manual_seed(0)
    encoder = EncoderConfig(
        vectors=(("proprio", 2),), image_shape=(SIZE, SIZE, 3), feature_size=32, hidden=(32,),
        channels=(8, 16), strides=(1, 1),
    )  # fmt: skip
    policy = Policy(PolicyConfig(encoder, HeadConfig((32,)), 2))
    learner, rng = Learner(policy, LearnConfig(400, 4e-3)), np.random.default_rng(0)
    for _ in range(400):
        learner.update(source.batch(rng, 32))
    return Blocks(source, learner.averaged())


def error(policy: Policy, data: TargetData) -> float:
    with torch.inference_mode():
        batch = data.at(np.arange(len(data)))
        return float((policy(batch.observation) - batch.action).square().mean())


@pytest.mark.parametrize("on", [True, False])
def test_episodes_with_swapped_channels(blocks: Blocks, on: bool) -> None:
    problem, fresh = blocks.problem(blocks.target(1, 9)), blocks.target(2, 60)
    adapted = match_appearance(problem, quiet, **({} if on else {"first": 0.0}))
    ratio = error(adapted, fresh) / error(blocks.policy, fresh)
    assert (ratio < 0.25) == on, f"{ratio:.3f} of the error is left"


def test_looks_tell_each_episode_s_colours(blocks: Blocks) -> None:
    found = looks(blocks.source.data, blocks.target(3, 6))
    assert len(found) >= 4
    swapped = [look.surfaces[1, 2] > look.surfaces[1, 0] for look in found]  # the table is brown
    assert {True, False} == set(swapped)
    for look, blue in zip(found, swapped, strict=True):
        channel = 2 if blue else 0
        assert look.surfaces[3].argmax() == channel  # the goal is red
        assert look.surfaces[3, channel] > 2 * np.delete(look.surfaces[3], channel).max()
        assert look.noise < 0.01


def test_actions_of_something_else_find_no_goal(blocks: Blocks) -> None:
    data = blocks.target(3, 6, orders=("rgb",))
    wrong = dataclasses.replace(data, actions=-data.actions[::-1])
    reds = [[look.surfaces[3, 0] - look.surfaces[3, 2] for look in looks(blocks.source.data, each)]
            for each in (data, wrong)]  # fmt: skip
    assert np.mean(reds[0]) > 0.5 > np.mean(reds[1])


def test_another_shift_is_left_to_fine_tuning(blocks: Blocks) -> None:
    data = blocks.target(1, 9, orders=("rgb",))
    problem = blocks.problem(dataclasses.replace(data, actions=data.actions[:, ::-1].copy()), updates=30)
    taken: list[Losses] = []
    one, other = match_appearance(problem, taken.append).to_arrays(), finetune(problem, quiet).to_arrays()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert len(taken) == 3.2 * 30 / 4 + 30  # given up after a quarter


def test_a_recorded_source_is_refused(blocks: Blocks, tmp_path: Path) -> None:
    data = blocks.target(1, 2)
    with pytest.raises(SimrealError, match="recorded source has no layers"):
        method("match-appearance").adapt(Problem(blocks.policy, 0, data, data))
