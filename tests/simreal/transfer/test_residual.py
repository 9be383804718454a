import functools
from typing import Any

import numpy as np
import pytest
import torch

from policies import HeadConfig, Policy, PolicyConfig
from policies.heads import PolicyHead
from simreal.transfer import Problem
from simreal.transfer.residual import ResidualHead, merged, residual


def biased(actions: np.ndarray) -> np.ndarray:
    return 0.7 * actions + np.array([0.3, -0.2, 0.1])


@pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
def test_it_starts_as_the_zero_function(hidden: tuple[int, ...]) -> None:
    base, feature = PolicyHead(5, 2, HeadConfig(hidden)), torch.randn(7, 5)
    head = ResidualHead(base, "relu", width=4)
    assert torch.equal(head.correction(feature), torch.zeros(7, 2))
    assert torch.equal(head(feature), base(feature))


@pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_merged_it_acts_alike(digits: Any, hidden: tuple[int, ...], gain: float) -> None:
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(digits.policy.config.encoder, HeadConfig(hidden), 3))
    source = policy.head
    policy.head = ResidualHead(source, "relu", width=4, gain=gain)
    torch.nn.init.normal_(policy.head.output.weight)
    torch.nn.init.normal_(policy.head.output.bias)
    one, observation = merged(policy), {"proprio": torch.rand(9, 64)}
    assert torch.allclose(one(observation), policy(observation), atol=1e-5)
    assert not torch.allclose(one(observation), source(policy.features(observation)), atol=0.1)
    assert one.config.head.hidden == tuple(width + 4 for width in hidden)


@pytest.mark.parametrize("off", [False, True])
def test_it_corrects_a_bias(digits: Any, off: bool) -> None:
    run = functools.partial(residual, gain=0.0 if off else 1.0)
    problem = Problem(digits.policy, 0, digits.demonstrations(0, 20, action=biased))
    policy = run(problem, lambda losses: None)
    before, after = digits.error(digits.policy, action=biased), digits.error(policy, action=biased)
    assert (after < 0.5 * before) != off
    arrays, source = policy.to_arrays(), digits.policy.to_arrays()
    assert all(np.array_equal(arrays[name], source[name]) for name in source if "encoder" in name)
    assert np.array_equal(arrays["head.hidden.0.weight"][:32], source["head.hidden.0.weight"])
