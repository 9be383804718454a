import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.check.savings import savings
from simreal.check.transfer_metrics import (
    Curve,
    area,
    asymptote,
    compare_curves,
    jumpstart,
    reached,
    shared_budgets,
    time_to_threshold,
)

BUDGETS = np.array([0.0, 10, 20, 40])
METHOD = np.array([[0.4, 0.6, 0.8, 0.8], [0.2, 0.6, 0.6, 1.0]])
BASELINE = np.array([[0.0, 0.2, 0.4, 0.8], [0.0, 0.0, 0.4, 0.6]])
OURS, THEIRS = Curve.of(BUDGETS, METHOD), Curve.of(BUDGETS, BASELINE)
CURVES = st.lists(
    st.lists(st.integers(0, 50).map(lambda k: k / 50), min_size=4, max_size=4), min_size=3, max_size=6
).map(np.array)


def test_by_hand() -> None:
    assert jumpstart(METHOD, BASELINE) == pytest.approx([0.4, 0.2])
    assert asymptote(METHOD, BASELINE) == pytest.approx([0.0, 0.4])
    assert asymptote(METHOD, BASELINE, last=2) == pytest.approx([0.2, 0.3])
    # trapezoids: 5 + 7 + 16 = 28, 4 + 6 + 16 = 26; 1 + 3 + 12 = 16, 0 + 2 + 10 = 12; the width is 40
    assert area(BUDGETS, METHOD) == pytest.approx([28 / 40, 26 / 40])
    assert area(BUDGETS, BASELINE) == pytest.approx([16 / 40, 12 / 40])
    found = compare_curves(OURS, THEIRS, threshold=0.7)
    assert found.jumpstart.value == pytest.approx(0.3)
    assert found.area.value == pytest.approx(13 / 40)
    assert found.transfer_ratio.value == pytest.approx(27 / 14 - 1)
    assert (found.transfer_ratio.low, found.transfer_ratio.high) == pytest.approx((28 / 16 - 1, 26 / 12 - 1))
    # 0.6 to 0.8 within 10 to 20: 15; 0.6 to 1.0 within 20 to 40: 25
    assert found.method_reached.median == pytest.approx(20)
    # 0.4 to 0.8 within 20 to 40: 35; the other never
    assert found.baseline_reached.median == math.inf
    assert (found.baseline_reached.low, found.baseline_reached.censored) == (pytest.approx(35), 1)


def test_time_to_threshold_takes_the_first_crossing_and_says_who_never_gets_there() -> None:
    curve = Curve.of(BUDGETS, [[0.5, 0.1, 0.9, 0.9], [0.1, 0.5, 0.3, 0.9], [0.0, 0.1, 0.2, 0.3]])
    assert time_to_threshold(curve, 0.5).tolist() == [0, 10, math.inf]
    found = reached(time_to_threshold(curve, 0.5), curve)
    assert (found.median, found.censored, found.at_once, found.seeds) == (10, 1, 1, 3)
    assert found.high == math.inf


@settings(deadline=None, max_examples=40)
@given(CURVES, st.floats(0.05, 0.95))
def test_a_method_beside_itself_gains_nothing(curves: np.ndarray, threshold: float) -> None:
    curve = Curve.of(BUDGETS, curves)
    found = compare_curves(curve, curve, threshold)
    for estimate in (found.jumpstart, found.asymptote, found.area):
        assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)
    ratio = found.transfer_ratio.value
    assert ratio == 0 or math.isnan(ratio)
    assert found.method_reached == found.baseline_reached
    saved = savings(curve, curve, threshold, (BUDGETS, BUDGETS), 7.0)
    if not found.method_reached.censored:
        alone = saved.target_only_counts
        assert alone.at_least == alone.at_most == alone.low == alone.high == 0


@settings(deadline=None, max_examples=40)
@given(CURVES, st.floats(0.05, 0.95), st.floats(0, 0.5))
def test_a_better_curve_is_never_later(curves: np.ndarray, threshold: float, gain: float) -> None:
    better = time_to_threshold(Curve.of(BUDGETS, curves + gain), threshold)
    assert np.all(better <= time_to_threshold(Curve.of(BUDGETS, curves), threshold) + 1e-9)
    assert area(BUDGETS, curves + gain) == pytest.approx(area(BUDGETS, curves) + gain)


@settings(deadline=None, max_examples=40)
@given(CURVES, CURVES.filter(lambda c: len(c) >= 3), st.floats(0.05, 0.95), st.floats(0, 100))
def test_bounds_of_savings_hold_what_is_known(first, second, threshold: float, source: float) -> None:
    count = min(len(first), len(second))
    first, second = Curve.of(BUDGETS, first[:count]), Curve.of(BUDGETS, second[:count])
    saved = savings(first, second, threshold, (2 * BUDGETS, 3 * BUDGETS), source)
    alone, paid = saved.target_only_counts, saved.source_counts
    assert alone.low <= alone.at_least <= alone.at_most <= alone.high
    assert paid.at_least == pytest.approx(alone.at_least - source)
    ours, theirs = (time_to_threshold(curve, threshold) for curve in (first, second))
    if np.isfinite(ours).all() and np.isfinite(theirs).all():
        assert alone.at_least == pytest.approx(np.median(3 * theirs - 2 * ours), abs=1e-9)
        assert alone.exact == count


def test_savings_by_hand() -> None:
    # 15 and 25 against 35 and never; 100 steps a unit: at least 3500 - 1500 and 4000 - 2500
    found = savings(OURS, THEIRS, 0.7, (100 * BUDGETS, 100 * BUDGETS), 9000)
    assert found.target_only_counts.exact == 1
    assert found.target_only_counts.at_least == pytest.approx((2000 + 1500) / 2)
    assert found.target_only_counts.at_most == math.inf
    assert found.source_counts.at_least == pytest.approx(1750 - 9000)
    assert found.targets_to_pay == pytest.approx(9000 / 1750)
    nothing = savings(THEIRS, OURS, 0.7, (100 * BUDGETS, 100 * BUDGETS), 9000)
    assert nothing.targets_to_pay == math.inf
    unknown = savings(OURS, THEIRS, 0.7, (100 * BUDGETS, 100 * BUDGETS), None)
    assert unknown.target_only_counts == found.target_only_counts
    assert unknown.source_counts is None
    assert unknown.targets_to_pay is None


def test_savings_at_one_budget_are_bounds_unless_both_get_there() -> None:
    def once(*rates: float) -> Curve:
        return Curve.of([10], [[rate] for rate in rates])

    costs = [[3.0], [3.0]], [[5.0], [7.0]]  # of each seed
    both, ours, theirs, none = (
        savings(*curves, 0.75, costs, None).target_only_counts
        for curves in (
            (once(0.8, 0.9), once(0.75, 1)),
            (once(0.8, 0.9), once(0.1, 0.2)),
            (once(0.1, 0.2), once(0.8, 0.9)),
            (once(0.1, 0.2), once(0.1, 0.2)),
        )
    )
    assert (both.at_least, both.at_most, both.exact) == (3, 3, 2)
    assert (ours.at_least, ours.at_most, ours.exact) == (3, math.inf, 0)
    assert (theirs.at_least, theirs.at_most) == (-math.inf, 3)
    assert (none.at_least, none.at_most) == (-math.inf, math.inf)


def test_budgets_of_their_own_are_compared_along_what_both_cover() -> None:
    ours = Curve.of([1, 3, 10, 30], [[0.5, 0.6, 0.8, 0.9], [0.6, 0.7, 0.8, 0.9]])
    theirs = Curve.of([10, 30, 100], [[0.0, 0.2, 0.8], [0.0, 0.2, 0.6]])
    assert shared_budgets(ours, theirs).tolist() == [10, 30]
    found = compare_curves(ours, theirs)
    assert found.jumpstart.value == pytest.approx(0.8)
    assert found.asymptote.value == pytest.approx(0.7)
    assert found.area.value == pytest.approx(0.85 - 0.1)
    assert found.transfer_ratio.value == pytest.approx(7.5)
    # each by itself: 3 + 7 * 0.75 and 3 + 7 * 0.5; 30 + 70 * 0.55 / 0.6 and never
    assert found.method_reached.median == pytest.approx((8.25 + 6.5) / 2)
    assert (found.baseline_reached.median, found.baseline_reached.censored) == (math.inf, 1)
    assert found.baseline_reached.low == pytest.approx(30 + 70 * 0.55 / 0.6)
    apart = compare_curves(Curve.of([1, 3], ours.success[:, :2]), theirs)
    assert math.isnan(apart.jumpstart.value)
    assert apart.method_reached.censored == 2


@pytest.mark.parametrize(
    ("budgets", "curve", "words"),
    [
        ([0, 0, 1, 2], METHOD, "ascending"),
        ([], METHOD[:, :0], "at least one"),
        ([0, 1, 2], METHOD, "shape"),
        (BUDGETS, METHOD[:1], "shape"),
        (BUDGETS, METHOD * np.nan, "finite"),
    ],
)
def test_curves_that_do_not_fit_are_refused(budgets, curve, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Curve.of(budgets, curve)


def test_curves_of_other_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="row i of both is one seed"):
        compare_curves(OURS, Curve.of(BUDGETS, [*BASELINE, BASELINE[0]]))


def test_costs_that_fall_are_refused() -> None:
    with pytest.raises(ValueError, match="none less than the one before"):
        savings(OURS, THEIRS, 0.5, (-BUDGETS, BUDGETS), 0)
