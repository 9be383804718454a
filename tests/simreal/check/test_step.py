"""STEP holds its error under looking at every common rate, and needs fewer rollouts than the e-process."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.check import binary, step

RATES = np.linspace(0.001, 0.999, 333)  # five for each at which the risk is held


def sizes(flags: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how often the candidate is called better, exactly, with rates first and second, (rates,)."""
    mass, found = np.ones((len(first), 1, 1)), np.zeros(len(first))
    p, q = first[:, None, None], second[:, None, None]
    for n in range(1, len(flags)):
        padded = [np.pad(mass, ((0, 0), (i, 1 - i), (j, 1 - j))) for i, j in ((1, 1), (1, 0), (0, 1), (0, 0))]
        chances = (p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q))
        mass = sum(chance * part for chance, part in zip(chances, padded, strict=True))
        better = flags[n, : n + 1, : n + 1]
        found += mass[:, better].sum(axis=1)
        mass[:, better | better.T] = 0.0
    return found


@pytest.mark.parametrize("blocks", [1, 3, 5, 12, 30])
@pytest.mark.parametrize("level", [0.025, 0.0125])
def test_the_error_is_held_at_every_rate(blocks: int, level: float) -> None:
    assert sizes(step.rejections(blocks, level), RATES, RATES).max() <= level


def test_little_of_the_error_is_left_unused_and_a_state_too_many_would_show() -> None:
    flags = step.rejections(30, 0.025)
    assert sizes(flags, RATES, RATES)[100:233].min() > 0.022
    planted = flags.copy()
    planted[20, 15, 10] = True
    assert sizes(planted, RATES, RATES).max() > 0.026


def test_the_less_different_are_called_different_less() -> None:
    flags = step.rejections(30, 0.025)
    for second in (0.3, 0.6, 0.9):
        worse = second - np.linspace(0.0, 0.25, 6)
        assert (np.diff(sizes(flags, worse, np.full(6, second))) <= 0).all()  # the border is the worst case


@pytest.mark.parametrize("blocks", [5, 20, 30])
def test_shape_of_the_rejected_states(blocks: int) -> None:
    flags = step.rejections(blocks, 0.025)
    for n in range(1, blocks + 1):
        here = flags[n, : n + 1, : n + 1]
        assert not (here & ~np.tri(n + 1, k=-1, dtype=bool)).any()  # better is more successes
        assert (here == here[::-1, ::-1].T).all()  # failures are mirrored successes
        above = np.tri(n + 1, k=-1, dtype=bool)
        assert not (here[:-1] & ~here[1:] & above[1:]).any()  # a success more takes nothing back
        assert not (here[:, 1:] & ~here[:, :-1]).any()


def test_equal_policies_are_called_different_on_five_days_of_a_hundred() -> None:
    days = np.random.default_rng(0).random((4000, 20, 2)) < 0.5
    found = [step.decide(day, 20) for day in days]
    better, worse = (sum(each is not None and each.better == way for each in found) for way in (True, False))
    assert 0.019 < better / len(days) < 0.031  # 2.5% on each side, and three deviations
    assert 0.019 < worse / len(days) < 0.031


def test_it_finds_more_than_the_e_process() -> None:
    rng = np.random.default_rng(0)
    days = np.moveaxis(rng.random((2, 200, 30)) < np.array([0.8, 0.4])[:, None, None], 0, -1)
    found = np.array([step.decide(day, 30) is not None for day in days])
    cells = 2 * ~days[..., 0] + ~days[..., 1]
    counts = (cells[..., None] == np.arange(4)).cumsum(axis=1)
    assert found.mean() > (binary.p_value(counts) <= 0.05).any(axis=1).mean() + 0.15


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_the_mirror(day: list[tuple[bool, bool]]) -> None:
    run = np.array(day)
    one, other, failures = step.decide(run, 20), step.decide(run[:, ::-1], 20), step.decide(~run, 20)
    assert (one is None) == (other is None) == (failures is None)
    if one is not None and other is not None and failures is not None:
        assert one.after == other.after == failures.after
        assert one.better != other.better
        assert one.better != failures.better


def test_several_share_the_error() -> None:
    run = np.array([[True, False]] * 20)
    alone, none = step.decide(run, 20), step.decide(np.array([[True, True]] * 20), 20)
    assert alone is not None
    assert none is None
    found = step.decide_all([run, run[::-1], np.array([[True, True]] * 20)], 20)
    assert found[2] is None
    assert found[0] is not None
    assert found[0].after >= alone.after
    shared = step.decide_all([run, *[run[:, [1, 1]]] * 9], 20)[0]
    assert shared is not None
    assert shared.after > alone.after
    assert step.decide_all([run], 20) == [alone]
    assert step.decide_all([], 20) == []


def test_what_remains_is_foreseen() -> None:
    clear, equal = np.array([[True, False], [True, True]] * 3), np.array([[True, True], [False, False]] * 3)
    chance, more = step.foresee(clear, 30)
    assert chance > 0.9
    assert more is not None
    assert 1 <= more <= 15
    assert step.foresee(clear, 30) == (chance, more)
    assert step.foresee(equal, 30) == (0.0, None)  # no cell favours either
    assert step.foresee(clear, 6) == (0.0, None)
