import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simreal.check.many import sign_flip_p_values
from simreal.check.statistics import holm, sign_flip_p, t_interval, wilson_interval
from simreal.check.verdict import Comparison, compare_all, sentence, spread
from simreal.errors import SimrealError

RATES = st.lists(st.integers(0, 50).map(lambda k: k / 50), min_size=8, max_size=8)


def test_wilson_known_values() -> None:
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate(case: tuple[int, int]) -> None:
    low, high = wilson_interval(*case)
    assert 0 <= low <= case[0] / case[1] <= high <= 1


def test_t_interval_is_scipys() -> None:
    values = np.random.default_rng(0).normal(0.1, 0.2, 9)
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert t_interval(list(values)) == pytest.approx((wanted.low, wanted.high))


def test_sign_flip_is_scipys_permutation_test() -> None:
    for seed in range(5):
        values = np.random.default_rng(seed).normal(0.3, 1, 8)
        wanted = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert sign_flip_p(list(values)) == pytest.approx(wanted.pvalue)


def test_sign_flip_counts_every_pattern_up_to_sixteen_seeds() -> None:
    assert sign_flip_p([0.1] * 16) == 2 / 2**16
    wins = np.rint(np.random.default_rng(1).normal(4, 10, 16)).astype(int)
    assert sign_flip_p(list(wins / 50)) == pytest.approx(sign_flip_p_values(wins[None])[0])
    assert sign_flip_p([0.1] * 17) >= 1 / 100_001  # sampled, and the observed pattern counts


def test_sampled_sign_flip_is_close_to_the_t_test() -> None:
    values = list(np.random.default_rng(0).normal(0.4, 1, 30))
    assert sign_flip_p(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.01)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def verdict(candidate: list[float], baseline: list[float]) -> str:
    return compare_all({"a": candidate, "b": baseline}, ("a", "b"), [], episodes=50)[0].verdict


@pytest.mark.parametrize(
    ("differences", "wanted"),
    [
        ([0.3, 0.2, 0.25, 0.3, 0.35, 0.3], "positive"),
        ([-0.3, -0.2, -0.25, -0.3, -0.35, -0.3], "negative"),
        ([0.0, 0.02, -0.02, 0.0, 0.01, 0.0], "safe"),
        ([0.0] * 10, "safe"),
        ([0.4, -0.4, 0.3, -0.2, 0.1, 0.0], "inconclusive"),
        ([0.3, 0.3, 0.3, 0.3, 0.3], "inconclusive"),  # five seeds
    ],
)
def test_verdicts(differences: list[float], wanted: str) -> None:
    baseline = [0.5] * len(differences)
    assert verdict([0.5 + difference for difference in differences], baseline) == wanted


@given(RATES, RATES, st.randoms())
def test_swapping_mirrors_and_order_of_seeds_does_not_matter(first, second, random) -> None:
    one = compare_all({"a": first, "b": second}, ("a", "b"), [], 50)[0]
    other = compare_all({"a": first, "b": second}, ("b", "a"), [], 50)[0]
    assert one.difference == pytest.approx(-other.difference)
    assert one.ci_low == pytest.approx(-other.ci_high)
    assert {one.verdict, other.verdict} != {"positive"}
    order = random.sample(range(8), 8)
    again = compare_all(
        {"a": [first[i] for i in order], "b": [second[i] for i in order]}, ("a", "b"), [], 50
    )[0]
    assert again.verdict == one.verdict


@pytest.mark.parametrize("rates", [[0.5] * 5, [0.5] * 5 + [float("nan")], [0.5] * 5 + [1.2]])
def test_wrong_rates_are_refused(rates: list[float]) -> None:
    with pytest.raises(SimrealError):
        verdict([0.5] * 6, rates)


def simulated(shift: float, deviation: float) -> list[str]:
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(600):
        base, other = np.clip(0.5 + rng.normal(0, deviation, (2, 10)), 0, 1)
        rates = rng.binomial(50, [base, np.clip(other + shift, 0, 1)]) / 50
        verdicts.append(verdict(list(rates[1]), list(rates[0])))
    return verdicts


def test_error_rates_are_calibrated() -> None:
    slack = 0.05 + 2 * np.sqrt(0.05 * 0.95 / 600)
    for deviation in (0.02, 0.1):
        nothing = simulated(0.0, deviation)
        assert nothing.count("negative") / 600 <= slack
        assert nothing.count("positive") / 600 <= slack
        worse = simulated(-0.05, deviation)
        assert (worse.count("safe") + worse.count("positive")) / 600 <= slack


def test_equal_numbers_have_equal_verdicts() -> None:
    """Tied p-values are the rule with six seeds: the order of the candidates must decide nothing."""
    baseline, rates = [0.5, 0.52, 0.48, 0.5, 0.54, 0.46], [0.3, 0.38, 0.33, 0.36, 0.3, 0.32]
    success = {"first": baseline, "base": baseline} | dict.fromkeys("abcd", rates)
    found = compare_all(success, ("first", "base"), [(name, "base") for name in "abcd"], 50)[1:]
    assert len({(item.verdict, item.ci_low, item.ci_high, item.p_value) for item in found}) == 1
    assert {item.confidence for item in found} == {1 - 0.05 / 4}
    assert "simultaneous 95% interval" in sentence(found[0], 6)


def test_of_ten_candidates_that_lose_the_margin_none_is_safe() -> None:
    """In nineteen checks of twenty; each by itself would be in one check of five."""
    rng, wrong, checks = np.random.default_rng(0), 0, 150
    names = [f"m{index}" for index in range(10)]
    for _ in range(checks):
        rates = {name: 0.45 + rng.normal(0, 0.06, 10) for name in names} | {"base": np.full(10, 0.5)}
        success = {name: list(np.clip(own, 0, 1)) for name, own in rates.items()} | {"first": [0.5] * 10}
        found = compare_all(success, ("first", "base"), [(name, "base") for name in names], 50)[1:]
        wrong += any(item.verdict in ("safe", "positive") for item in found)
    assert wrong / checks <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / checks)


def test_more_seeds_are_asked_for_than_there_were() -> None:
    success = {"a": [0.48] * 6, "b": [0.5] * 6}
    (item,) = compare_all(success, ("a", "b"), [], 10)
    assert item.verdict == "inconclusive"
    told = sentence(item, 6, spread(success, ("a", "b"), 10))
    ((needed, verdict),) = re.findall(
        r"About (\d+) seeds would settle a difference like this, as (\w+)", told
    )
    # Of ten episodes a seed, two points are a fifth of a success; from the margin they are three away.
    assert 80 < int(needed) < 100
    assert verdict == "safe"


@pytest.mark.parametrize(
    ("difference", "deviation", "said"),
    [
        (0.0, 0.1, r"About 3\d seeds would settle a difference like this, as safe"),
        (-0.05, 0.1, r"About 3\d seeds would settle a difference like this, as negative"),
        (0.2, 0.4, r"About 2\d seeds would settle a difference like this, as safe"),
        (0.004, 0.9, "More than 1,000 seeds would be needed"),
        (-0.0499, 1.0, "More than 1,000 seeds would be needed"),
    ],
)
def test_every_inconclusive_verdict_says_how_many_seeds_it_lacks(
    difference: float, deviation: float, said: str
) -> None:
    item = Comparison("a", "b", True, "inconclusive", difference, -1.0, 1.0, 0.5)
    assert re.search(said, sentence(item, 8, deviation))
    sure = dataclasses.replace(item, verdict="safe")
    assert "seeds would" not in sentence(sure, 8, deviation)


def test_what_is_incomplete_still_counts() -> None:
    rates = [0.6, 0.7, 0.65, 0.62, 0.68, 0.66, 0.64]
    success = {"a": rates, "b": [0.3] * 7, "base": [0.5] * 7}
    pairs = [("a", "base"), ("b", "base")]
    found = compare_all(success, None, pairs, 50, declared=4)
    whole = compare_all(success, pairs[0], [*pairs, *pairs], 50)[1:3]
    assert [(item.ci_low, item.confidence) for item in found] == [(w.ci_low, w.confidence) for w in whole]
    assert [item.p_value for item in found] == [4 / 64] * 2
    assert not any(item.primary for item in found)
    assert compare_all(success, pairs[0], pairs[1:], 50, declared=1) == compare_all(
        success, pairs[0], pairs[1:], 50
    )
