"""The tests that scripts/compare_rollout_tests.py compares are what they are called."""

import numpy as np
import pytest
from rollout_tests import barnard, better_a_posteriori, decisions, regions, worst_case

from simreal.check import binary


@pytest.mark.parametrize(("first", "second", "n"), [(7, 12, 15), (3, 9, 20), (0, 4, 10), (6, 1, 8)])
def test_barnard_is_that_of_scipy(first: int, second: int, n: int) -> None:
    exact = binary.barnard_p([(first, n), (second, n)])
    assert barnard(n)[first, second] == pytest.approx(exact, abs=2e-4)


def test_the_posterior_is_that_of_samples() -> None:
    rng = np.random.default_rng(0)
    share = (rng.beta(8, 4, 200_000) > rng.beta(4, 8, 200_000)).mean()
    found = better_a_posteriori(10)
    assert found[7, 3] == pytest.approx(share, abs=3e-3)
    assert found + found.T == pytest.approx(np.ones((11, 11)), abs=1e-6)


def test_only_those_that_stand_looking_hold_their_error() -> None:
    rng = np.random.default_rng(0)
    found = decisions(rng.random((2, 1000, 20)) < 0.5)
    alarms = {name: (signs != 0).mean() for name, (signs, _) in found.items()}
    assert max(alarms[name] for name in ("STEP", "e-process", "Barnard, one look")) < 0.07
    assert min(alarms[name] for name in ("Barnard, every look", "posterior, every look")) > 0.1
    assert all((after[signs == 0] == 20).all() for signs, after in found.values())


def test_an_adversary_gets_more_than_steady_rates_give() -> None:
    found = {name: worst_case(region) for name, region in regions(20).items()}
    assert 0.05 < found["STEP"] < 0.12
    assert found["STEP"] < found["Barnard, one look"] < found["Barnard, every look"]
