"""The rule of the guard, on outcomes whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from simreal.errors import SimrealError
from simreal.transfer.guard import FEWEST, elect, race, stages

NAMES = ("adapted", "zero-shot", "target-only")
outcomes = st.integers(2, 3).flatmap(lambda count: arrays(bool, (count, 40)))


def run(success: np.ndarray, rollouts: int, seed: int = 0) -> tuple[str, list[tuple[str, int]]]:
    """Return whom a race chooses, and the order in which it ran."""
    order: list[tuple[str, int]] = []
    names = NAMES[: len(success)]

    def one(name: str, episode: int) -> bool:
        order.append((name, episode))
        return bool(success[names.index(name), episode])

    found = race(names, rollouts, one, np.random.default_rng(seed))
    assert found.rollouts == len(order)
    for index, name in enumerate(names):
        assert found.outcomes[name] == success[index, : len(found.outcomes[name])].tolist()
    return found.chosen, order


@given(st.integers(2, 3), st.integers(0, 500))
def test_rollouts_are_spent_all_but_one_at_most(count: int, more: int) -> None:
    rollouts = FEWEST * count + more
    plan = stages(rollouts, NAMES[:count])
    assert len(plan) == count - 1
    assert plan[0] >= FEWEST
    stretches = np.diff(plan, prepend=0)
    used = sum((count - index) * stretch for index, stretch in enumerate(stretches))
    assert rollouts - 1 <= used <= rollouts


@settings(max_examples=40, deadline=None)
@given(outcomes, st.integers(6, 80), st.integers(0, 9))
def test_a_race_chooses_as_the_rule_does(success: np.ndarray, rollouts: int, seed: int) -> None:
    names = NAMES[: len(success)]
    plan = stages(rollouts, names)
    chosen, order = run(success, rollouts, seed)
    assert chosen == names[int(elect(success, plan))]
    # Blocks: an episode is over for all that are left before the next begins, and no one runs it twice.
    episodes = [episode for _, episode in order]
    assert episodes == sorted(episodes)
    assert len(set(order)) == len(order)
    together = np.stack([success, success[:, ::-1]])
    assert elect(together, plan).tolist() == [int(elect(each, plan)) for each in together]


@settings(max_examples=40, deadline=None)
@given(outcomes, st.integers(6, 80), st.data())
def test_one_more_success_never_costs_a_candidate_its_place(success: np.ndarray, rollouts: int, data) -> None:
    plan = stages(rollouts, NAMES[: len(success)])
    chosen = int(elect(success, plan))
    better = success.copy()
    better[chosen, data.draw(st.integers(0, 39))] = True
    assert int(elect(better, plan)) == chosen


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 3), arrays(bool, 40), st.integers(6, 80))
def test_equals_leave_the_adapted_policy_in_its_place(count: int, row: np.ndarray, rollouts: int) -> None:
    assert run(np.stack([row] * count), rollouts)[0] == "adapted"


@pytest.mark.parametrize("good", [0, 1, 2])
@pytest.mark.parametrize("rollouts", [6, 10, 30])
def test_what_alone_succeeds_is_returned(good: int, rollouts: int) -> None:
    success = np.zeros((3, 40), bool)
    success[good] = True
    chosen, order = run(success, rollouts)
    assert chosen == NAMES[good]
    shares = [sum(name == each for name, _ in order) for each in NAMES]
    assert max(shares) == shares[good]  # rollouts go where it is close, and never to what dropped out


def test_who_runs_first_is_drawn() -> None:
    _, order = run(np.ones((3, 40), bool), 60)
    firsts = [name for place, (name, _) in enumerate(order[:36]) if place % 3 == 0]
    assert set(firsts) == set(NAMES)


@pytest.mark.parametrize(("rollouts", "count"), [(0, 3), (-4, 2), (5, 3), (3, 2)])
def test_too_few_rollouts_are_one_clear_error(rollouts: int, count: int) -> None:
    with pytest.raises(SimrealError, match=rf"--guard {rollouts}: .* at least {2 * count} scored rollouts"):
        stages(rollouts, NAMES[:count])
