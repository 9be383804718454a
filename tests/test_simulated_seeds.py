import numpy as np
import pytest
from simulated_seeds import CENTERS, EPISODES, betting_verdicts, pocock, simulate, theoretical_power

from simreal.check.sequential import nominal_levels
from simreal.check.statistics import seeds_needed


@pytest.mark.parametrize("world", CENTERS)
@pytest.mark.parametrize("shift", [0.0, -0.05, 0.1, -0.3])
def test_the_difference_is_what_was_asked_for(world: str, shift: float) -> None:
    wins = simulate(world, 0.1, shift, (20_000, 10), np.random.default_rng(0))
    assert wins.mean() / EPISODES == pytest.approx(shift, abs=0.002)


def test_theoretical_power_agrees_with_the_seeds_that_a_check_asks_for() -> None:
    deviation = np.std(simulate("even", 0.1, 0.1, (50_000, 10), np.random.default_rng(0))) / EPISODES
    seeds = seeds_needed(0.1, float(deviation))
    assert seeds is not None
    assert theoretical_power(0.1, 0.1, seeds) == pytest.approx(0.8, abs=0.02)


def test_betting_is_hardly_ever_wrong_and_finds_what_is_large() -> None:
    rng = np.random.default_rng(0)
    same, _ = betting_verdicts(simulate("odd successes", 0.15, 0.0, (2000, 20), rng))
    assert np.mean(np.isin(same, ("negative", "positive"))) < 0.01
    better, used = betting_verdicts(simulate("even", 0.02, 0.5, (200, 20), rng))
    assert set(better) == {"positive"}
    # 1.5 to the power of the seeds passes 40 at the tenth
    assert 9 <= used.mean() <= 11


def test_pocock_spends_as_tables_say() -> None:
    """Five equal looks, two-sided 5%: 2.438, 2.427, 2.410, 2.397, 2.386."""
    levels = nominal_levels((1, 2, 3, 4, 5), 0.05, 5, pocock)
    assert np.array(levels) == pytest.approx([0.0148, 0.0152, 0.0160, 0.0165, 0.0170], abs=2e-4)
