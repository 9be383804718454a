import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from simreal.check.bootstrap import (
    bca_interval,
    improvement_interval,
    interquartile_mean,
    mean,
    probability_of_improvement,
    robust,
)
from simreal.check.statistics import seeds_to_reach, smallest_p
from simreal.check.verdict import compare_all, reach, sentence

RATES = st.lists(st.integers(0, 50).map(lambda k: k / 50), min_size=8, max_size=8)


def test_interquartile_mean_by_hand() -> None:
    assert interquartile_mean(np.array([9.0, 1, 2, 3, 4, -7])) == 2.5  # one of six at either end
    assert interquartile_mean(np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 90])) == 4.5  # two of ten
    assert interquartile_mean(np.array([1.0, 2, 6])) == 3  # none of three


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20))
def test_interquartile_mean_is_the_trimmed_mean(values: list[float]) -> None:
    assert interquartile_mean(np.array(values)) == pytest.approx(stats.trim_mean(values, 0.25), abs=1e-12)


def test_probability_of_improvement_by_hand() -> None:
    # 0.5 beats 0.1 and 0.4 and ties with 0.5; 0.3 beats 0.1; 0.9 beats all: (2.5 + 1 + 3) of 9
    assert probability_of_improvement([0.5, 0.3, 0.9], [0.1, 0.4, 0.5]) == pytest.approx(6.5 / 9)
    assert probability_of_improvement([1.0] * 6, [0.0] * 6) == 1
    assert improvement_interval([1.0] * 6, [0.0] * 6) == (1, 1)


@given(RATES, RATES)
def test_probability_of_improvement_is_mann_whitneys(first: list[float], second: list[float]) -> None:
    found = probability_of_improvement(first, second)
    assert found == pytest.approx(stats.mannwhitneyu(first, second).statistic / 64)
    assert found + probability_of_improvement(second, first) == pytest.approx(1)


@settings(deadline=None, max_examples=30)
@given(RATES, RATES, st.randoms())
def test_the_order_of_seeds_does_not_matter(first: list[float], second: list[float], random) -> None:
    order = random.sample(range(8), 8)
    again = robust([first[i] for i in order], [second[i] for i in order])
    found = robust(first, second)
    assert vars(again) == pytest.approx(vars(found))
    assert found.bca_low <= found.bca_high
    assert found.iqm_low - 1e-12 <= found.iqm <= found.iqm_high + 1e-12
    assert 0 <= found.improvement_low <= found.improvement_high <= 1


@pytest.mark.parametrize("count", [6, 10, 20])
@pytest.mark.parametrize("statistic", [mean, interquartile_mean])
def test_bca_is_scipys(count: int, statistic) -> None:
    values = np.random.default_rng(count).gamma(1, 0.1, count)
    wanted = stats.bootstrap(
        (values,), lambda x, axis: statistic(np.moveaxis(x, axis, -1)), n_resamples=20_000, rng=0
    ).confidence_interval
    found = bca_interval(values, statistic, resamples=20_000)
    assert found == pytest.approx((wanted.low, wanted.high), abs=0.04 * (wanted.high - wanted.low))


def test_bca_takes_many_samples_and_no_spread() -> None:
    values = np.random.default_rng(0).normal(0, 1, (3, 7))
    values[1] = 0.2
    low, high = bca_interval(values)
    assert low.shape == high.shape == (3,)
    assert (low[1], high[1]) == pytest.approx((0.2, 0.2))
    assert (low[2], high[2]) == pytest.approx(tuple(map(float, bca_interval(values[2]))))


@given(RATES, st.floats(-2, 2), st.floats(0.1, 3))
@settings(deadline=None, max_examples=20)
def test_bca_moves_and_scales_with_the_values(rates: list[float], shift: float, scale: float) -> None:
    low, high = bca_interval(np.array(rates))
    moved = bca_interval(scale * np.array(rates) + shift)
    assert moved == pytest.approx((scale * low + shift, scale * high + shift), abs=1e-6)


def test_the_smallest_p_is_what_holm_leaves_of_equal_signs() -> None:
    rates = {"a": [0.9] * 6, "b": [0.1] * 6, "c": [0.2] * 6}
    secondary = [("a", "b"), ("a", "c"), ("c", "b")]
    found = compare_all(rates, ("a", "b"), secondary, 50)
    assert [item.p_value for item in found] == pytest.approx([smallest_p(6), *[smallest_p(6, 3)] * 3])
    assert found[0].verdict == "positive"
    assert {item.verdict for item in found[1:]} == {"safe"}


def test_a_sentence_says_when_the_seeds_cannot_reach_significance() -> None:
    assert "7 seeds are enough" in str(reach(6, 3))  # 3 x 2/64 = 0.094; 3 x 2/128 = 0.047
    assert reach(7, 3) is None
    assert reach(6, 1) is None
    for comparisons in range(1, 30):
        seeds = seeds_to_reach(comparisons)
        assert smallest_p(seeds, comparisons) <= 0.05 < smallest_p(seeds - 1, comparisons)


def test_the_sentence_shows_what_stands_beside_the_mean() -> None:
    rates = {"a": [0.5, 0.6, 0.7, 0.8, 0.6, 0.9], "b": [0.1] * 6}
    (found,) = compare_all(rates, ("a", "b"), [], 50)
    assert found.robust is not None
    assert math.isclose(found.robust.iqm, 0.575)  # of 0.4 0.5 0.5 0.6 0.7 0.8 the middle four
    text = sentence(found, 6)
    assert "interquartile mean +57" in text or "interquartile mean +58" in text
    assert "probability of improvement 1.00 (1.00 to 1.00)" in text
    (single,) = compare_all({"a": [0.5], "b": [0.1]}, ("a", "b"), [], 50)
    assert single.robust is None
