"""What a robot knows of itself adapts its perception, shown on two dots; and nothing does without it."""

import functools
from typing import Any

import numpy as np
import pytest

from policies import EncoderConfig, Policy, PolicyConfig
from simreal.errors import SimrealError
from simreal.transfer import METHODS, Problem, self_supervised
from simreal.transfer.online import OnlineAdapter


def quiet(losses: object) -> None:
    pass


def dim(images: np.ndarray) -> np.ndarray:
    return 20 + 0.25 * images


@pytest.mark.parametrize("run", [self_supervised.proprio, self_supervised.inverse_dynamics])
@pytest.mark.parametrize("on", [True, False])
def test_what_the_robot_knows_halves_the_error(dots: Any, run: Any, on: bool) -> None:
    run = run if on else functools.partial(run, weight=0.0)
    before = dots.error(dots.policy, dim)
    after = dots.error(run(dots.problem(dim, 200), quiet), dim)
    assert (after < 0.6 * before) == on, f"{before:.3f} to {after:.3f}"


def test_no_label_of_the_source_is_used(dots: Any) -> None:
    """The source's actions changed to nonsense change nothing."""
    import dataclasses

    problem = dots.problem(dim, 5)
    nonsense = dataclasses.replace(problem.source, actions=-problem.source.actions)
    one = self_supervised.proprio(problem, quiet)
    other = self_supervised.proprio(dataclasses.replace(problem, source=nonsense), quiet)
    for name, value in one.to_arrays().items():
        assert np.array_equal(value, other.to_arrays()[name]), name


def test_a_policy_without_sight_is_refused(dots: Any) -> None:
    blind = Policy(PolicyConfig(EncoderConfig("state", (("proprio", 2),), None), action_size=2))
    problem = Problem(blind, 0, source=dots.source, frames=dots.source, updates=1)
    for name in ("proprio", "inverse-dynamics"):
        with pytest.raises(SimrealError, match="sees no image"):
            METHODS[name].adapt(problem)


@pytest.mark.parametrize("rate", [1e-3, 0.0])
def test_it_goes_on_during_deployment(dots: Any, rate: float) -> None:
    problem = Problem(dots.policy, 0, source=dots.source, updates=200)
    policy, head = self_supervised.learn_inverse_dynamics(problem, quiet)
    frames = dots.problem(dim, 1).frames
    adapter = OnlineAdapter(policy, head, learning_rate=rate)
    for index in range(len(frames) - 1):
        if frames.episode[index] == frames.episode[index + 1]:
            adapter.add(frames.images[index], frames.images[index + 1], frames.actions[index])
            adapter.learn()
    before, after = dots.error(policy, dim), dots.error(adapter.policy, dim)
    assert (after < 0.9 * before) == (rate > 0), f"{before:.3f} to {after:.3f}"
    assert dots.error(policy, dim) == before  # the one it was given is not changed
    for name, value in policy.head.state_dict().items():
        assert np.array_equal(value, adapter.policy.head.state_dict()[name])


def test_an_episode_that_starts_is_no_consequence(dots: Any) -> None:
    head = self_supervised._head(2 * dots.policy.encoder.perception_size, 2)
    adapter = OnlineAdapter(dots.policy, head)
    frames = dots.source
    observation = {"image": frames.images[0], "proprio": frames.proprio[0]}
    for _ in range(3):
        adapter.start_episode()
        assert np.array_equal(adapter.act_and_learn(observation), dots.policy.act(observation))
    assert adapter.learn() is None
    adapter.act(observation)
    adapter.act(observation)
    assert adapter.learn() is not None
