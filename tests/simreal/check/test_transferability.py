"""Transferability scores against direct formulas, scikit-learn, and what must not change them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import BayesianRidge

from simreal.check.transferability import (
    action_classes,
    episode_folds,
    h_score,
    ledoit_wolf,
    logme,
    proxy_a_distance,
)
from simreal.errors import SimrealError

SEEDS = st.integers(0, 1000)
FEW = settings(max_examples=25, deadline=None)


def problem(seed: int, frames: int = 40, size: int = 6, noise: float = 0.5) -> tuple[NDArray, NDArray]:
    """Return features, and labels that a linear head explains but for noise."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(frames, size)) * rng.uniform(0.2, 3, size)
    return features, features @ rng.normal(size=(size, 2)) + noise * rng.normal(size=(frames, 2))


def turned(features: NDArray, seed: int) -> NDArray:
    rng = np.random.default_rng(seed)
    return features @ np.linalg.qr(rng.normal(size=(features.shape[1],) * 2))[0]


def brute_force(features: NDArray, label: NDArray) -> float:
    """Return the maximum of the log evidence, by the density itself and a general search."""

    def negative(logs: NDArray) -> float:
        alpha, beta = np.exp(logs)
        covariance = features @ features.T / alpha + np.eye(len(label)) / beta
        try:
            return -float(stats.multivariate_normal(cov=covariance).logpdf(label))
        except (np.linalg.LinAlgError, ValueError):
            return np.inf  # too near to singular to be believed

    starts = ([0.0, 0.0], [3.0, 0.0], [-3.0, 3.0])
    return -min(optimize.minimize(negative, start, method="Nelder-Mead").fun for start in starts)


@pytest.mark.parametrize(("frames", "size", "noise"), [(40, 6, 0.5), (40, 6, 8.0), (15, 30, 0.3)])
def test_logme_is_the_largest_evidence(frames: int, size: int, noise: float) -> None:
    features, labels = problem(1, frames, size, noise)
    expected = np.mean([brute_force(features, column) for column in labels.T]) / frames
    assert logme(features, labels) == pytest.approx(expected, abs=1e-5)


def test_logme_equals_scikit_learn() -> None:
    features, labels = problem(2)
    flat = {"alpha_1": 0, "alpha_2": 0, "lambda_1": 0, "lambda_2": 0}
    ridge = BayesianRidge(compute_score=True, fit_intercept=False, tol=1e-9, max_iter=1000, **flat)
    evidence = [ridge.fit(features, column).scores_[-1] for column in labels.T]
    assert logme(features, labels) == pytest.approx(np.mean(evidence) / len(features), abs=1e-6)


@FEW
@given(SEEDS, st.floats(1e-2, 1e2))
def test_logme_does_not_see_turns_and_scales_of_features(seed: int, scale: float) -> None:
    features, labels = problem(seed)
    found = logme(features, labels)
    assert logme(scale * turned(features, seed), labels) == pytest.approx(found, abs=1e-6)
    assert logme(np.c_[features, np.zeros(len(features))], labels) == pytest.approx(found, abs=1e-6)
    assert logme(features, scale * labels) == pytest.approx(found - np.log(scale), abs=1e-6)
    assert logme(features, np.c_[labels, np.zeros(len(labels))]) == pytest.approx(found)


@FEW
@given(SEEDS)
def test_logme_is_above_that_of_no_features(seed: int) -> None:
    features, _ = problem(seed)
    labels = np.random.default_rng(seed + 1).normal(size=(len(features), 2))  # nothing to do with them
    none = logme(np.zeros_like(features), labels)
    assert none == pytest.approx(-np.mean(np.log(2 * np.pi * np.square(labels).mean(axis=0)) + 1) / 2)
    assert logme(features, labels) >= none - 1e-9


def test_logme_prefers_features_that_explain() -> None:
    features, labels = problem(3)
    spoiled = np.random.default_rng(0).permutation(features)
    assert logme(features, labels) > logme(spoiled, labels) + 0.5


def test_logme_of_actions_that_are_all_zero_is_refused() -> None:
    with pytest.raises(SimrealError, match="all zero"):
        logme(np.ones((5, 2)), np.zeros((5, 3)))


EPISODE = np.repeat(np.arange(20), 10)


def test_the_a_distance_of_one_distribution_is_small_and_of_two_it_is_two() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, 200, 5))
    assert proxy_a_distance(source, target, EPISODE, EPISODE) < 0.3
    assert proxy_a_distance(source, target + 10, EPISODE, EPISODE) == 2
    between = proxy_a_distance(source, target + 0.7, EPISODE, EPISODE)
    assert 0.5 < between < 1.9


def test_the_a_distance_does_not_take_one_episode_for_a_domain() -> None:
    """Frames of an episode are alike: with frames held out instead, equal domains would look apart."""
    rng = np.random.default_rng(1)
    source, target = (np.repeat(rng.normal(size=(20, 60)), 10, axis=0) for _ in range(2))
    source, target = (side + 0.01 * rng.normal(size=side.shape) for side in (source, target))
    alone = np.arange(200)  # as if each frame were an episode of its own
    assert proxy_a_distance(source, target, EPISODE, EPISODE) < 0.7
    assert proxy_a_distance(source, target, alone, alone) > 1.5


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.floats(0.01, 100), st.floats(-50, 50))
def test_the_a_distance_does_not_see_units_or_which_side_is_which(
    seed: int, scale: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(2, 60, 4))
    target = target + 0.5
    episode = np.repeat(np.arange(6), 10)
    found = proxy_a_distance(source, target, episode, episode)
    assert 0 <= found <= 2
    assert proxy_a_distance(target, source, episode, episode) == pytest.approx(found)
    moved = (scale * side + shift for side in (source, target))
    assert proxy_a_distance(*moved, episode, episode) == pytest.approx(found)


def test_the_a_distance_of_a_single_episode_is_refused() -> None:
    with pytest.raises(SimrealError, match="two each"):
        proxy_a_distance(np.ones((4, 2)), np.ones((4, 2)), np.zeros(4, int), np.arange(4))


def test_an_episode_is_held_out_whole() -> None:
    folds = episode_folds(np.repeat([7, 3, 9, 4], 5), 2)
    assert all(len(set(folds[start : start + 5])) == 1 for start in range(0, 20, 5))
    assert sorted(np.bincount(folds)) == [10, 10]


def direct_h_score(features: NDArray, classes: NDArray, covariance: NDArray, keep: float) -> float:
    means = np.zeros_like(features)
    for name in np.unique(classes):
        means[classes == name] = features[classes == name].mean(axis=0)
    return float(np.trace(np.linalg.pinv(covariance) @ (keep * np.cov(means.T, bias=True))))


def test_h_score_equals_the_formula() -> None:
    features, _ = problem(4, 60, 8)
    classes = np.random.default_rng(4).integers(0, 4, 60)
    plain = direct_h_score(features, classes, np.cov(features.T, bias=True), 1.0)
    assert h_score(features, classes, shrink=False) == pytest.approx(plain)
    fitted = LedoitWolf().fit(features)
    assert ledoit_wolf(features - features.mean(axis=0)) == pytest.approx(fitted.shrinkage_)
    shrunk = direct_h_score(features, classes, fitted.covariance_, 1 - fitted.shrinkage_)
    assert h_score(features, classes) == pytest.approx(shrunk)


@FEW
@given(SEEDS, st.floats(1e-2, 1e2))
def test_h_score_sees_classes_and_nothing_else(seed: int, scale: float) -> None:
    features, _ = problem(seed, 60, 8)
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.arange(60) % 3)
    found = h_score(features, classes)
    assert 0 <= found <= 2
    assert h_score(scale * turned(features, seed) + 5, 2 - classes) == pytest.approx(found)
    linear = features @ (rng.normal(size=(8, 8)) + 3 * np.eye(8))
    exact = h_score(features, classes, shrink=False)
    assert h_score(linear, classes, shrink=False) == pytest.approx(exact, rel=1e-4)
    apart = features + 50 * np.eye(8)[classes]
    assert h_score(apart, classes, shrink=False) > 1.9
    more = np.r_[features, features[:5] + 100], np.r_[classes, np.full(5, -1)]
    assert h_score(*more) == pytest.approx(found)


def test_shrinkage_keeps_few_frames_from_looking_perfect() -> None:
    rng = np.random.default_rng(0)
    features, classes = rng.normal(size=(40, 60)), np.arange(40) % 2  # classes that mean nothing
    assert h_score(features, classes, shrink=False) == pytest.approx(1.0)
    assert h_score(features, classes) < 0.3


def test_h_score_of_one_class_is_refused() -> None:
    with pytest.raises(SimrealError, match="needs two"):
        h_score(np.ones((4, 2)), np.array([1, 1, -1, -1]))


def test_directions_are_classes() -> None:
    actions = np.array([[1, 0.1, -0.5]] * 6 + [[-0.9, 0, 0]] * 5 + [[0, 0, 1]] * 2)
    found = action_classes(actions)
    assert len(set(found[:6])) == len(set(found[6:11])) == 1
    assert found[0] != found[6]
    assert set(found[11:]) == {-1}


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        (np.full((30, 2), 0.9), "1 directions"),
        (np.random.default_rng(0).uniform(-1, 1, (30, 6)), "in 0% of 30 frames"),
    ],
)
def test_actions_that_are_no_classes_are_refused(actions: NDArray, words: str) -> None:
    with pytest.raises(SimrealError, match=words):
        action_classes(actions)
