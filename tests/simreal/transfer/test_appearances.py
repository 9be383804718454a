"""Matching appearances: a little world of blocks, and a camera that swaps its channels in some episodes."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from policies import Policy
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.learning import Losses
from simreal.transfer import Problem, method
from simreal.transfer.appearances import match_appearance
from simreal.transfer.fine_tuning import finetune
from simreal.transfer.looks import looks

SWAPPED = ("bgr", "bgr", "rgb")  # channels of every third episode are in the usual order


def quiet(losses: object) -> None:
    pass


def target(blocks: Any, seed: int, count: int, orders: tuple[str, ...] = SWAPPED) -> TargetData:
    data: TargetData = blocks.World(orders=orders).demonstrations(seed, count)
    return data


def error(policy: Policy, data: TargetData) -> float:
    with torch.inference_mode():
        batch = data.at(np.arange(len(data)))
        return float((policy(batch.observation) - batch.action).square().mean())


@pytest.mark.parametrize("on", [True, False])
def test_episodes_with_swapped_channels(blocks: Any, on: bool) -> None:
    problem, fresh = blocks.problem(target(blocks, 1, 9)), target(blocks, 2, 60)
    adapted = match_appearance(problem, quiet, **({} if on else {"first": 0.0}))
    ratio = error(adapted, fresh) / error(blocks.policy, fresh)
    assert (ratio < 0.25) == on, f"{ratio:.3f} of the error is left"


def test_looks_tell_each_episode_s_colours(blocks: Any) -> None:
    found = looks(blocks.source.data, target(blocks, 3, 6))
    assert len(found) >= 4
    swapped = [look.surfaces[1, 2] > look.surfaces[1, 0] for look in found]  # the table is brown
    assert {True, False} == set(swapped)
    for look, blue in zip(found, swapped, strict=True):
        channel = 2 if blue else 0
        assert look.surfaces[3].argmax() == channel  # the goal is red
        assert look.surfaces[3, channel] > 2 * np.delete(look.surfaces[3], channel).max()
        assert look.noise < 0.01


def test_actions_of_something_else_find_no_goal(blocks: Any) -> None:
    data = target(blocks, 3, 6, orders=("rgb",))
    corner = np.float32([6, 1]) / 16
    wrong = dataclasses.replace(data, actions=corner - data.proprio)
    reds = [[look.surfaces[3, 0] - look.surfaces[3, 2] for look in looks(blocks.source.data, each)]
            for each in (data, wrong)]  # fmt: skip
    assert np.mean(reds[0]) > 0.5 > np.mean(reds[1])


def test_another_shift_is_left_to_fine_tuning(blocks: Any) -> None:
    data = target(blocks, 1, 9, orders=("rgb",))
    problem = blocks.problem(dataclasses.replace(data, actions=data.actions[:, ::-1].copy()), updates=30)
    taken: list[Losses] = []
    one, other = match_appearance(problem, taken.append).to_arrays(), finetune(problem, quiet).to_arrays()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert len(taken) == 3.2 * 30 / 4 + 30  # given up after a quarter


def test_a_recorded_source_is_refused(blocks: Any) -> None:
    data = target(blocks, 1, 2)
    with pytest.raises(SimrealError, match="recorded source has no layers"):
        method("match-appearance").adapt(Problem(blocks.policy, 0, data, data))
