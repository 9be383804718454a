"""The drift watch: its distance is what it says, and it fires as often as it was told to."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs import Domain
from simreal.data.source import SourceData
from simreal.deploy.drift import DriftStatistics, DriftWatch, Gaussian, calibrate, smoothed
from simreal.errors import SimrealError

FEATURES, PROPRIO = 12, 5


def episodes(
    rng: np.random.Generator, count: int, shift: float = 0.0
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Return episodes of 5 to 20 decisions; each has an offset of its own, as one appearance gives."""
    lengths = rng.integers(5, 21, count)
    mixing = np.random.default_rng(99).normal(size=(4, FEATURES))
    features = []
    for length in lengths:
        latent = rng.normal(size=(length, 4)) + rng.standard_t(5, (1, 4))
        row = latent @ mixing + 0.1 * rng.normal(size=(length, FEATURES)) + shift
        features.append(row.astype(np.float32))
    units = np.array([1.0, 1.0, 0.1, 0.1, 0.0])  # the last never moves, as an open gripper
    proprio = [(rng.normal(size=(length, PROPRIO)) * units).astype(np.float32) for length in lengths]
    return features, proprio


def statistics(rate: float = 0.02, seed: int = 0) -> DriftStatistics:
    return calibrate(*episodes(np.random.default_rng(seed), 400), false_alarms=rate)


def watched(found: DriftStatistics, features: list[Any], proprio: list[Any]) -> list[list[float]]:
    answers = []
    for rows, arm in zip(features, proprio, strict=True):
        watch = DriftWatch(found)
        answers.append([watch.update(row, joints) for row, joints in zip(rows, arm, strict=True)])
    return answers


@given(
    seed=st.integers(0, 10_000), size=st.integers(1, 9), count=st.integers(12, 60), standardize=st.booleans()
)
@settings(max_examples=40, deadline=None)
def test_the_distance_is_mahalanobis(seed: int, size: int, count: int, standardize: bool) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, size)) @ rng.normal(size=(size, size)) + rng.normal(size=size)
    found = Gaussian.fit(rows, standardize)
    basis = np.array(found.components).reshape(-1, size)
    within = basis.T @ np.diag(found.variance) @ basis
    covariance = within + found.rest * (np.eye(size) - basis.T @ basis)
    points = rng.normal(size=(5, size)) * 3
    centred = (points - np.array(found.mean)) / np.array(found.scale)
    wanted = np.einsum("ij,jk,ik->i", centred, np.linalg.inv(covariance), centred)
    assert np.allclose(found.distance(points), np.sqrt(wanted / size), rtol=1e-3, atol=1e-5)
    total = np.trace(covariance)
    assert np.isclose(total, (rows / np.array(found.scale)).var(axis=0, ddof=1).sum(), rtol=1e-3)


@given(
    direction=st.lists(st.floats(-1, 1), min_size=FEATURES, max_size=FEATURES).filter(
        lambda v: np.linalg.norm(v) > 0.1
    )
)
@settings(max_examples=40, deadline=None)
def test_further_away_is_further(direction: list[float]) -> None:
    found = STATISTICS.feature
    steps = np.arange(1, 6)[:, None] * np.array(direction)[None]
    distances = found.distance(np.array(found.mean) + steps)
    assert (np.diff(distances) > 0).all()
    assert distances[0] > 0


@given(seed=st.integers(0, 10_000), window=st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_the_watch_averages_as_calibration_did(seed: int, window: int) -> None:
    rng = np.random.default_rng(seed)
    features, proprio = episodes(rng, 3)
    found = calibrate(*episodes(rng, 40), false_alarms=0.1, window=window)
    for answers, rows, arm in zip(watched(found, features, proprio), features, proprio, strict=True):
        assert np.allclose(answers, smoothed(found.distances(rows, arm), window).max(axis=1))
        assert len(answers) == len(rows)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_false_alarms_are_as_many_as_stated(rate: float) -> None:
    """On fresh episodes, averaged over calibrations: the conformal guarantee is on that average."""
    shares, per_episode, stated = [], [], []
    for seed in range(8):
        found = statistics(rate, seed)
        answers = watched(found, *episodes(np.random.default_rng(1000 + seed), 100))
        shares.append(np.mean(np.concatenate(answers) > DriftWatch.threshold))
        per_episode.append(np.mean([max(answer) > DriftWatch.threshold for answer in answers]))
        stated.append(found.false_alarms_per_episode)
    # Each part fires at half of the rate; they are independent here, so hardly ever together.
    assert np.mean(shares) == pytest.approx(rate, rel=0.4)
    assert np.mean(per_episode) == pytest.approx(np.mean(stated), rel=0.5)


@pytest.mark.parametrize("part", ["feature", "proprio"])
def test_a_planted_shift_of_either_part_fires(part: str) -> None:
    features, proprio = episodes(np.random.default_rng(5), 30)
    if part == "feature":  # across what features do, not far in any one element
        across = np.linalg.svd(np.random.default_rng(99).normal(size=(4, FEATURES)))[2][-1]
        features = [rows + across for rows in features]
    else:
        proprio = [rows + np.array([0, 0, 0.6, 0, 0]) for rows in proprio]
    answers = watched(STATISTICS, features, proprio)
    watch = DriftWatch(STATISTICS)
    watch.update(features[0][0], proprio[0][0])
    assert watch.farther == part
    assert np.mean([max(answer) > DriftWatch.threshold for answer in answers]) > 0.9


def test_broken_numbers_are_far() -> None:
    watch = DriftWatch(STATISTICS)
    feature, arm = np.array(STATISTICS.feature.mean), np.array(STATISTICS.proprio.mean)
    assert watch.update(feature, arm) < 0.1
    assert watch.update(np.full(FEATURES, np.nan), arm) > 1e8
    watch.reset()
    assert watch.update(feature, arm) < 0.1
    assert watch.update(feature, np.full(PROPRIO, np.inf)) > 1e8


def test_statistics_survive_a_file() -> None:
    back = DriftStatistics.from_plain(json.loads(json.dumps(STATISTICS.to_plain())), "x.onnx")
    assert back == STATISTICS
    features, proprio = episodes(np.random.default_rng(3), 2)
    assert np.array_equal(
        back.distances(features[0], proprio[0]), STATISTICS.distances(features[0], proprio[0])
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"window": 0}, "not above 0"),
        ({"feature_limit": "far"}, "no float"),
        ({"extra": 1}, "unknown entry extra"),
        ({"feature": None}, "no dict"),
        (
            {"proprio": {"mean": [0.0], "scale": [0.0], "components": [], "variance": [], "rest": 1.0}},
            "scale",
        ),
        ({"proprio": {"mean": [0.0], "scale": [], "components": [], "variance": [], "rest": 1.0}}, "lengths"),
    ],
)
def test_damaged_statistics_are_named(change: dict[str, Any], word: str) -> None:
    with pytest.raises(SimrealError, match=word) as error:
        DriftStatistics.from_plain(STATISTICS.to_plain() | change, "x.onnx")
    assert "x.onnx: not the statistics of a drift watch" in str(error.value)


@pytest.mark.parametrize(
    ("count", "rate", "word"),
    [(3, 0.1, "at least 4"), (8, 0.001, "it takes 2000"), (8, 0.0, "between 0 and 1"), (8, 1.0, "between")],
)
def test_rates_that_cannot_be_told_are_refused(count: int, rate: float, word: str) -> None:
    with pytest.raises(SimrealError, match=word):
        calibrate(*episodes(np.random.default_rng(0), count), false_alarms=rate)


def test_episodes_of_source_data(smoke_run: Path) -> None:
    data = SourceData.open(smoke_run / "source")
    found = data.episodes()
    assert np.array_equal(np.concatenate(found), np.arange(data.count))
    assert max(map(len, found)) <= 50  # the task's step limit
    moved = np.abs(np.diff(data._arrays["proprio"][: data.count], axis=0)).max(axis=1)
    inside = np.concatenate([episode[:-1] for episode in found if len(episode) > 1])
    between = np.array([episode[-1] for episode in found[:-1]])
    # Within an episode the arm moves on; at a reset it jumps.
    assert np.median(moved[inside]) < 0.5 * np.median(moved[between])


def test_frames_of_an_episode_share_one_appearance(smoke_run: Path) -> None:
    data = SourceData.open(smoke_run / "source")
    domain = Domain.from_plain(
        {"name": "x", "severity": 0, "appearance": {"table_rgb": {"uniform": [[0.0] * 3, [1.0] * 3]}}}
    )
    same = np.zeros(6, np.int64)
    batch = data.compose(same, domain, np.random.default_rng(0), np.array([0, 0, 1, 1, 1, 2]))
    image = batch.observation["image"].numpy()
    assert np.array_equal(image[0], image[1])
    assert np.array_equal(image[2], image[4])
    assert not np.array_equal(image[1], image[2])
    assert not np.array_equal(image[4], image[5])


STATISTICS = statistics()
