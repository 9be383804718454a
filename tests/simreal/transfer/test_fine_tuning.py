"""What each way of fine-tuning is for, shown on digits, and lost when what sets it apart is off."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from policies import Policy
from simreal.transfer import Problem, fine_tuning

Run = Callable[..., Policy]
TURN = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]


def turned(actions: np.ndarray) -> np.ndarray:
    return actions @ TURN


def transposed(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(-1, 8, 8).transpose(0, 2, 1).reshape(-1, 64)


def adapted(digits: Any, run: Run, count: int, updates: int = 300, **shift: Any) -> Policy:
    demonstrations, source = digits.demonstrations(0, count, **shift), digits.frames(digits.source)
    problem = Problem(digits.policy, 0, demonstrations, source, updates=updates)
    return run(problem, lambda losses: None)


def weights(policy: Policy) -> np.ndarray:
    return np.concatenate([value.ravel() for value in policy.to_arrays().values()])


def test_without_pull_l2_sp_is_fine_tuning_and_with_all_of_it_the_source(digits: Any) -> None:
    def pulled(pull: float) -> np.ndarray:
        run = functools.partial(fine_tuning.l2_sp, pull=pull)
        return weights(adapted(digits, run, 20, 30, action=turned))

    assert np.array_equal(pulled(0.0), weights(adapted(digits, fine_tuning.finetune, 20, 30, action=turned)))
    assert np.array_equal(pulled(1e30), weights(digits.policy))
    assert np.array_equal(pulled(math.inf), weights(digits.policy))
    assert not np.array_equal(pulled(1.0), pulled(0.0))


def test_head_only_leaves_every_encoder_weight(digits: Any) -> None:
    policy = adapted(digits, fine_tuning.head_only, 20, action=turned)
    for name, value in digits.policy.to_arrays().items():
        assert np.array_equal(value, policy.to_arrays()[name]) != name.startswith("head."), name


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.parametrize(
    ("run", "switch", "rate"),
    [
        (fine_tuning.head_only, {"encoder": True}, 5e-3),
        (fine_tuning.lp_ft, {"probing": 0.0}, 1e-3),
        (fine_tuning.gradual_unfreeze, {"span": 0.0}, 2e-3),
    ],
)
def test_a_few_frames_of_turned_actions(
    digits: Any, run: Run, switch: dict[str, Any], rate: float, off: bool
) -> None:
    settings = {"learning_rate": rate} | (switch if off else {})
    policy = adapted(digits, functools.partial(run, **settings), 20, action=turned)
    assert (digits.error(policy, action=turned) < 0.06) != off


@pytest.mark.parametrize("off", [False, True])
def test_fine_tuning_and_transposed_images(digits: Any, off: bool) -> None:
    run = functools.partial(fine_tuning.finetune, encoder=not off, learning_rate=2e-3)
    assert (digits.error(adapted(digits, run, 200, pixel=transposed), pixel=transposed) < 0.1) != off


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.parametrize(
    ("run", "term"), [(fine_tuning.l2_sp, {"pull": 100.0}), (fine_tuning.cotrain, {"share": 0.5})]
)
def test_the_source_is_not_forgotten(digits: Any, run: Run, term: dict[str, Any], off: bool) -> None:
    settings = {"learning_rate": 2e-3} | (dict.fromkeys(term, 0.0) if off else term)
    policy = adapted(digits, functools.partial(run, **settings), 200, pixel=transposed)
    assert digits.error(policy, pixel=transposed) < 0.6 * digits.error(digits.policy, pixel=transposed)
    assert (digits.error(policy) < 0.08) != off
