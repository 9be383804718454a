import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from simreal.check.bootstrap import draws
from simreal.check.rank_agreement import judge, kendall_tau, least_tau
from simreal.errors import SimrealError

VALUES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12)


@settings(deadline=None)
@given(VALUES)
def test_tau_equals_scipy(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array(pairs, float).T
    expected = stats.kendalltau(left, right).statistic
    assert float(kendall_tau(left, right)) == pytest.approx(np.nan_to_num(expected), abs=1e-12)


def test_tau_of_resamples_equals_scipy() -> None:
    left, right = np.random.default_rng(0).normal(size=(2, 8))
    rows = draws(8)[:50]
    weights = np.stack([np.bincount(row, minlength=8) for row in rows]).astype(float)
    expected = [stats.kendalltau(left[row], right[row]).statistic for row in rows]
    np.testing.assert_allclose(kendall_tau(left, right, weights), expected)


@given(VALUES)
def test_tau_sees_order_alone(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array(pairs, float).T
    found = float(kendall_tau(left, right))
    assert float(kendall_tau(np.exp(left), 3 * right - 7)) == pytest.approx(found)
    assert float(kendall_tau(-left, right)) == pytest.approx(-found)
    assert float(kendall_tau(right, left)) == pytest.approx(found)


GAINS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
BLIND = [0, 1, 1, 0, 0, 1, 1, 0]


def test_a_score_that_orders_is_worth_something_and_one_that_does_not_is_not() -> None:
    scores = {
        "knows": GAINS,
        "opposes": [-g for g in GAINS],
        "noise": [3, 1, 4, 2, 7, 0, 5, 6],
        "flat": [1] * 8,
    }
    found = {item.score: item for item in judge(scores, GAINS, BLIND, "gain")}
    assert {name: item.worth for name, item in found.items()} == {
        "knows": "worth something", "opposes": "ranks backwards",
        "noise": "worth nothing shown", "flat": "worth nothing shown",
    }  # fmt: skip
    assert (found["knows"].tau, found["opposes"].tau, found["flat"].tau) == (1, -1, 0)
    assert found["noise"].ci_low < found["noise"].tau < found["noise"].ci_high


def test_a_score_no_better_than_a_blind_ranking_is_worth_nothing() -> None:
    (found,) = judge({"knows": GAINS}, GAINS, GAINS, "gain")
    assert (found.tau, found.over_static, found.worth) == (1, 0, "worth nothing shown")


def test_many_scores_are_held_to_more() -> None:
    noisy = [0.1, 0.3, 0.2, 0.5, 0.4, 0.7, 0.6, 0.8]
    flat = [3.0] * 8  # as where every domain has the same severity and family
    alone = judge({"one": noisy}, GAINS, flat, "gain")[0]
    beside = judge({"one": noisy} | {str(n): BLIND for n in range(99)}, GAINS, flat, "gain")[0]
    assert alone.worth == "worth something"
    assert beside.p_value > alone.p_value
    assert beside.worth == "worth nothing shown"


def test_one_domain_has_no_order() -> None:
    with pytest.raises(SimrealError, match="at least two"):
        judge({"knows": [1.0]}, [1.0], [1.0], "gain")


def test_four_domains_show_nothing() -> None:
    (found,) = judge({"knows": GAINS[:4]}, GAINS[:4], BLIND[:4], "gain")
    assert (found.tau, found.worth) == (1, "worth nothing shown")


def test_what_so_few_domains_can_show() -> None:
    least = least_tau(8, 6)
    assert least == pytest.approx(22 / 28)  # p = 0.0055, 0.0333 after Holm; of 20/28 it would be 0.085
    assert least_tau(8, 1) == pytest.approx(18 / 28)
    assert least_tau(30, 6) < least
    assert least_tau(4, 1) is None
