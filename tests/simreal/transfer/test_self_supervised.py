"""What a robot knows of itself adapts its perception, shown on digits; and nothing does without it.

The robot walks from digit to digit. It measures where it stands, or knows only which way it went; what it
should do at a digit is something else. Neither tells it, but all three take seeing which digit it is.
"""

import functools
from typing import Any

import numpy as np
import pytest
from torch import nn

from policies import EncoderConfig, Policy, PolicyConfig
from simreal.errors import SimrealError
from simreal.transfer import METHODS, Problem, self_supervised
from simreal.transfer.online import OnlineAdapter


def quiet(losses: object) -> None:
    pass


def low_contrast(images: np.ndarray) -> np.ndarray:
    return 90 + 0.35 * images


def problem(pictures: Any, change: Any, updates: int) -> Problem:
    """Return the problem of adapting to changed images; no right action of either domain is in it."""
    source, frames = pictures.walk(slice(0, 1000)), pictures.walk(slice(1000, 1400), change)
    return Problem(pictures.policy, 0, source=source, frames=frames, updates=updates)


@pytest.mark.parametrize("run", [self_supervised.proprio, self_supervised.inverse_dynamics])
@pytest.mark.parametrize("on", [True, False])
def test_what_the_robot_knows_lowers_the_error(pictures: Any, run: Any, on: bool) -> None:
    run = run if on else functools.partial(run, weight=0.0)
    before = pictures.error(pictures.policy, low_contrast)
    after = pictures.error(run(problem(pictures, low_contrast, 150), quiet), low_contrast)
    assert (after < 0.7 * before) == on, f"{before:.3f} to {after:.3f}"


def test_a_policy_without_sight_is_refused(pictures: Any) -> None:
    blind = Policy(PolicyConfig(EncoderConfig("state", (("proprio", 3),), None), action_size=3))
    frames = pictures.walk(slice(0, 40))
    problem = Problem(blind, 0, source=frames, frames=frames, updates=1)
    for name in ("proprio", "inverse-dynamics"):
        with pytest.raises(SimrealError, match="sees no image"):
            METHODS[name].adapt(problem)


@pytest.fixture(scope="module")
def prepared(pictures: Any) -> tuple[Policy, nn.Module]:
    """The policy and its inverse dynamics, learned on the source alone."""
    source = Problem(pictures.policy, 0, source=pictures.walk(slice(0, 1000)), updates=150)
    return self_supervised.learn_inverse_dynamics(source, quiet)


@pytest.mark.parametrize("on", [True, False])
def test_it_goes_on_during_deployment(pictures: Any, prepared: Any, on: bool) -> None:
    policy, head = prepared
    frames = pictures.walk(slice(1000, 1400), low_contrast)
    adapter = OnlineAdapter(policy, head) if on else OnlineAdapter(policy, head, learning_rate=0.0)
    for index in np.flatnonzero(frames.episode[:-1] == frames.episode[1:]):
        adapter.add(frames.images[index], frames.images[index + 1], frames.actions[index])
        adapter.learn()
    before, after = (pictures.error(one, low_contrast) for one in (policy, adapter.policy))
    assert (after < 0.75 * before) == on, f"{before:.3f} to {after:.3f}"
    assert pictures.error(policy, low_contrast) == before  # the one it was given is not changed
    for name, value in policy.head.state_dict().items():
        assert np.array_equal(value, adapter.policy.head.state_dict()[name])


def test_an_episode_that_starts_is_no_consequence(pictures: Any) -> None:
    head = self_supervised._head(2 * pictures.policy.encoder.perception_size, 3)
    adapter = OnlineAdapter(pictures.policy, head)
    observation = {"image": pictures.images[0]}
    for _ in range(3):
        adapter.start_episode()
        assert np.array_equal(adapter.act_and_learn(observation), pictures.policy.act(observation))
    assert adapter.learn() is None
    adapter.act(observation)
    adapter.act(observation)
    assert adapter.learn() is not None
