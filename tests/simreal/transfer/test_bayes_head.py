import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import BayesianRidge

from simreal.data.target import TargetData
from simreal.transfer import Problem
from simreal.transfer.bayes_head import bayes_head, fit_bayesian_head, regress


def biased(actions: np.ndarray) -> np.ndarray:
    """A robot that moves too far, and drifts: planted by the actions that make up for it."""
    return 0.7 * actions + np.array([0.3, -0.2, 0.1])


@pytest.mark.parametrize(("count", "size"), [(200, 10), (50, 50), (60, 50)])
def test_the_evidence_is_scikit_learns(count: int, size: int) -> None:
    rng = np.random.default_rng(count)
    inputs = rng.normal(size=(count, size)) * rng.uniform(0.1, 3, size)
    outputs = inputs @ rng.normal(size=size) * 0.5 + rng.normal(size=count)
    ours = regress(inputs, outputs)
    flat: dict[str, Any] = dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 0.0)
    theirs = BayesianRidge(max_iter=5000, tol=1e-10, compute_score=True, fit_intercept=False, **flat)
    theirs.fit(inputs, outputs)
    assert ours.log_evidence == pytest.approx(theirs.scores_[-1], rel=1e-5)
    assert ours.prior_precision == pytest.approx(theirs.lambda_, rel=1e-3)
    for mine, other in zip(ours.predict(inputs), theirs.predict(inputs, return_std=True), strict=True):
        assert np.allclose(mine, other, atol=1e-3)


def test_no_prior_is_least_squares() -> None:
    rng = np.random.default_rng(0)
    inputs, outputs = rng.normal(size=(40, 5)), rng.normal(size=40)
    assert np.allclose(regress(inputs, outputs, 0.0).mean, np.linalg.lstsq(inputs, outputs)[0])


def shaky(data: TargetData) -> TargetData:
    """The same demonstrations, given by a shaky hand."""
    noise = np.random.default_rng(1).normal(scale=0.15, size=data.actions.shape)
    return dataclasses.replace(data, actions=np.float32(data.actions + noise))


@pytest.mark.parametrize("off", [False, True])
def test_twenty_shaky_frames_correct_a_bias_that_least_squares_overfits(digits: Any, off: bool) -> None:
    run = functools.partial(bayes_head, prior_precision=0.0 if off else None)
    problem = Problem(digits.policy, 0, shaky(digits.demonstrations(0, 20, action=biased)))
    after = digits.error(run(problem, lambda losses: None), action=biased)
    assert (after < 0.4 * digits.error(digits.policy, action=biased)) != off


@pytest.mark.parametrize("count", [40, 200])
def test_it_knows_how_sure_it_is(digits: Any, count: int) -> None:
    data = shaky(digits.demonstrations(0, count, action=biased))
    head = fit_bayesian_head(Problem(digits.policy, 0).copy_of_policy(), data)
    held_out = shaky(digits.frames(digits.test, action=biased))
    guess, spread = head.predict(held_out)
    covered = np.abs(guess - held_out.actions) < 1.96 * spread
    assert 0.86 < covered.mean() < 0.99
    # And it is less sure of what it has not seen.
    _, strange = head.predict(digits.frames(digits.test, pixel=lambda pixels: 3 * pixels))
    assert strange.mean() > 1.1 * spread.mean()
