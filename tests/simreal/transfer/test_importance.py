import numpy as np
import pytest
from numpy.typing import NDArray
from skada import KMMReweightAdapter
from skada.utils import qp_solve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel

from simreal.transfer.importance import (
    effective_samples,
    gaussian_kernel,
    kernel_mean_matching,
    logistic_density_ratio,
    median_distance,
)


@pytest.fixture
def samples() -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 2)), 0.5 * rng.normal(size=(30, 2)) + 0.8


def test_kernel_equals_scikit_learn(samples) -> None:
    expected = rbf_kernel(*samples, gamma=1 / (2 * 0.7**2))
    np.testing.assert_allclose(gaussian_kernel(*samples, 0.7), expected, rtol=1e-9)


def test_kmm_equals_skada(samples) -> None:
    """The narrow kernel has a unique solution: weight by weight. The wide one only a value."""
    source, target = samples
    for bandwidth in (0.02, median_distance(source)):
        kernel = gaussian_kernel(source, source, bandwidth)
        toward = len(source) * gaussian_kernel(source, target, bandwidth).mean(axis=1)
        slack = 0.2
        weights = kernel_mean_matching(kernel, toward, 5.0, slack, iterations=20_000)
        gamma = 1 / (2 * bandwidth**2)
        adapter = KMMReweightAdapter(gamma=gamma, B=5.0, eps=slack, solver="scipy", tol=1e-12, max_iter=1000)
        domains = np.r_[np.ones(len(source)), -2 * np.ones(len(target))]
        expected = adapter.fit(np.r_[source, target], sample_domain=domains).source_weights_
        values = [0.5 * w @ kernel @ w - toward @ w for w in (weights, expected)]
        assert values[0] == pytest.approx(values[1], rel=1e-5)
        if bandwidth == 0.02:
            np.testing.assert_allclose(weights, expected, atol=1e-4)


def test_kmm_keeps_its_limits_and_equals_another_solver(samples) -> None:
    source, target = samples
    count, bound, slack = len(source), 3.0, 0.05
    kernel = gaussian_kernel(source, source, 0.5) + 2 * np.eye(count)
    toward = count * gaussian_kernel(source, target, 0.5).mean(axis=1)
    weights = kernel_mean_matching(kernel, toward, bound, slack, iterations=20_000)
    limits = np.stack([np.ones(count), -np.ones(count)])
    expected, _ = qp_solve(
        kernel, -toward, limits, np.array([count * (1 + slack), -count * (1 - slack)]),
        lb=np.zeros(count), ub=np.full(count, bound), tol=1e-12, max_iter=2000, solver="scipy",
    )  # fmt: skip
    np.testing.assert_allclose(weights, expected, atol=1e-4)
    assert weights.min() >= 0
    assert weights.max() <= bound
    assert abs(weights.mean() - 1) <= slack + 1e-9


def test_density_ratio_equals_scikit_learn(samples) -> None:
    source, target = samples
    sides = np.r_[np.zeros(len(source)), np.ones(len(target))]
    model = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(np.r_[source, target], sides)
    chance = model.predict_proba(source)[:, 1]
    expected = chance / (1 - chance) * len(source) / len(target)
    np.testing.assert_allclose(logistic_density_ratio(source, target, 2.0), expected, rtol=1e-4)


def test_density_ratio_finds_the_true_one() -> None:
    """Two Gaussians of one covariance: the ratio is exp((x - 1/2) 1), and logistic regression can say it."""
    rng = np.random.default_rng(1)
    source, target = rng.normal(size=(4000, 1)), rng.normal(size=(3000, 1)) + 1
    expected = np.exp(source[:, 0] - 0.5)
    np.testing.assert_allclose(logistic_density_ratio(source, target, 1e-3), expected, rtol=0.15)


def test_effective_samples() -> None:
    assert effective_samples(np.ones(7)) == pytest.approx(7)
    assert effective_samples(np.array([3.0, 0, 0])) == pytest.approx(1)
