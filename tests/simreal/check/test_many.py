import numpy as np
import pytest
from scipy import stats

from simreal.check.many import sequential_verdicts, sign_flip_p_values, verdicts
from simreal.check.sequential import Look, Plan, settled
from simreal.check.statistics import sign_flip_p
from simreal.check.verdict import MARGIN, compare_all


def cases(seeds: int, count: int = 40) -> np.ndarray:
    """Return wins (count, seeds), of 50 episodes, of comparisons from clearly worse to clearly better."""
    rng = np.random.default_rng(seeds)
    shift = np.linspace(-9, 9, count)[:, None]
    return np.clip(np.rint(rng.normal(shift, 6, (count, seeds))), -50, 50).astype(int)


def rates(wins: np.ndarray) -> dict[str, list[float]]:
    return {"a": list((50 + wins) / 100), "b": list((50 - wins) / 100)}


@pytest.mark.parametrize("seeds", [3, 6, 9, 12])
def test_p_values_are_those_of_counting_patterns(seeds: int) -> None:
    wins = cases(seeds)
    assert sign_flip_p_values(wins) == pytest.approx([sign_flip_p(list(row / 50)) for row in wins])


def test_p_values_beyond_counting_are_close_to_the_t_test() -> None:
    wins = cases(30)
    wanted = stats.ttest_1samp(wins, 0, axis=1).pvalue
    assert sign_flip_p_values(wins) == pytest.approx(wanted, abs=0.03)
    assert sign_flip_p_values(np.zeros((2, 7), dtype=int)).tolist() == [1, 1]


@pytest.mark.parametrize("seeds", [5, 6, 10])
def test_many_verdicts_are_those_of_one_by_one(seeds: int) -> None:
    wins = cases(seeds)
    found, low, high = verdicts(wins, 50)
    for index, row in enumerate(wins):
        (one,) = compare_all(rates(row), ("a", "b"), [], 50)
        assert (found[index], low[index], high[index]) == (
            one.verdict,
            pytest.approx(one.ci_low),
            pytest.approx(one.ci_high),
        )
    assert seeds == 5 or len(set(found)) >= 3


def test_many_sequential_verdicts_are_those_of_one_by_one() -> None:
    wins, plan = cases(12), Plan.of_budget(12)
    found, used = sequential_verdicts(wins, 50, plan)
    for index, row in enumerate(wins):
        for seeds in plan.looks:
            (one,) = compare_all(rates(row[:seeds]), ("a", "b"), [], 50, look=Look(plan, seeds))
            if settled(one.verdict, one.ci_high, MARGIN):
                break
        assert (found[index], used[index]) == (one.verdict, seeds)
    assert len(set(used)) >= 3
