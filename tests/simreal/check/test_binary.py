"""The test of two success rates holds under looking, and finds what is there."""

import numpy as np
import pytest

from simreal.check import binary

GRID = np.linspace(0, 1, 41)


def cells_of(candidate: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """Count cells after every block, shape (..., blocks, 4), from successes of shape (..., blocks)."""
    cells = (candidate & baseline, candidate & ~baseline, ~candidate & baseline, ~candidate & ~baseline)
    return np.stack(cells, axis=-1).cumsum(axis=-2)


def ever_rejected(first: float, second: float, blocks: int = 100, times: int = 1000) -> float:
    rng = np.random.default_rng(0)
    drawn = rng.random((2, times, blocks)) < np.array([first, second])[:, None, None]
    return float((binary.p_value(cells_of(*drawn)) <= 0.05).any(axis=1).mean())


@pytest.mark.parametrize("difference", [-0.5, -0.05, 0.0, 0.3])
@pytest.mark.parametrize("above", [True, False])
def test_no_block_gains_evidence_within_the_hypothesis(difference: float, above: bool) -> None:
    """The mean of an e-variable is at most 1, whatever the rates within the hypothesis are."""
    first, second = (rates.ravel() for rates in np.meshgrid(GRID, GRID))
    within = first - second <= difference + 1e-12 if above else first - second >= difference - 1e-12
    first, second = first[within], second[within]
    chances = [first * second, first * (1 - second), (1 - first) * second, (1 - first) * (1 - second)]
    means = np.stack(chances, axis=-1) @ np.exp(binary.log_factors(difference, above)[0]).T
    assert means.max() <= 1 + 1e-9


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98])
def test_false_alarms_when_looking_after_every_block(rate: float) -> None:
    assert ever_rejected(rate, rate) <= 0.05


def test_the_references_would_not_hold_under_looking() -> None:
    """Newcombe's interval, looked at after 10, 20, ... 50 rollouts of each, is too often wrong."""
    rng = np.random.default_rng(0)
    totals = (rng.random((80, 2, 50)) < 0.5).cumsum(axis=2)[:, :, 9::10]

    def alarm(run: np.ndarray) -> bool:
        looks = zip(*run, range(10, 51, 10), strict=True)
        ends = [binary.newcombe_interval([(first, n), (second, n)]) for first, second, n in looks]
        return any(low > 0 or high < 0 for low, high in ends)

    assert np.mean([alarm(run) for run in totals]) > 0.05


def test_power() -> None:
    assert ever_rejected(0.9, 0.3, blocks=20) >= 0.8
    assert ever_rejected(0.8, 0.4, blocks=50) >= 0.8
    assert ever_rejected(0.7, 0.6, blocks=20) <= 0.1  # ten points are not found in 20 rollouts


def test_four_blocks_of_all_against_nothing_settle_it() -> None:
    assert binary.interval([0, 3, 0, 0])[0] < 0 < binary.interval([0, 4, 0, 0])[0]
    assert binary.interval([0, 0, 4, 0])[1] < 0


def test_safe_takes_hundreds() -> None:
    assert not binary.settled([90, 5, 5, 0], margin=0.05)
    assert binary.interval([450, 10, 10, 30])[0] > -0.05


def test_coverage_at_the_end_of_a_day() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.random((2, 150, 40)) < np.array([0.7, 0.5])[:, None, None]
    ends = np.array([binary.interval(counts) for counts in cells_of(*drawn)[:, -1]])
    covered = (ends[:, 0] < 0.2) & (ends[:, 1] > 0.2)
    assert covered.mean() >= 0.95


def test_interval_p_value_and_sides_agree() -> None:
    rng = np.random.default_rng(1)
    differences = np.linspace(-0.98, 0.98, 50)
    for _ in range(60):
        counts = rng.multinomial(rng.integers(1, 60), rng.dirichlet([0.5] * 4))
        low, high = binary.interval(counts)
        assert -1 <= low <= high <= 1
        assert (low > 0 or high < 0) == (float(binary.p_value(counts)) <= 0.05)
        swapped = binary.interval(counts[[0, 2, 1, 3]])
        assert swapped == pytest.approx((-high, -low), abs=1e-6)
        evidence = [float(binary.log_evidence(counts, d, True)) for d in differences]
        rejected = np.array(evidence) >= np.log(40)
        assert not (np.diff(rejected.astype(int)) > 0).any()  # what lies further out is rejected too


def test_newcombe_of_the_paper() -> None:
    """Newcombe 1998, table II, method 10, (a): 56/70 - 48/80."""
    assert binary.newcombe_interval([(56, 70), (48, 80)]) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_barnard() -> None:
    assert binary.barnard_p([(7, 15), (12, 15)]) == pytest.approx(
        0.0681, abs=2e-3
    )  # Mehta & Senchaudhuri 2003
    assert binary.barnard_p([(0, 5), (0, 5)]) == 1.0
    assert binary.barnard_p([(100, 201), (50, 201)]) is None


def test_how_many_more() -> None:
    few = binary.more_blocks([1, 6, 1, 2], 0.05)
    assert few is not None
    assert few < 30
    assert few == binary.more_blocks([1, 6, 1, 2], 0.05)
    assert binary.more_blocks([5, 5, 5, 5], 0.05) is None
