import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simreal.deploy.deadman import DeadMan, DeadManConfig
from simreal.errors import SimrealError

TIMEOUT_S = 0.2
instants = st.floats(0.0, 2.0)
offers = st.tuples(instants, st.floats(-0.3, 0.6), st.floats(-2.0, 2.0) | st.just(math.nan))


@given(st.lists(offers, max_size=30))
@example([(1.0, 0.2, 0.0)])
def test_only_fresh_commands_are_followed(events: list[tuple[float, float, float]]) -> None:
    man = DeadMan(DeadManConfig(TIMEOUT_S), np.zeros(2), 0.0)
    followed, newest_s, position = None, -math.inf, 0.0
    for now_s, age_s, target in sorted(events):
        stamped_s = now_s - age_s
        position += 0.01
        measured = np.full(2, position)
        taken = man.offer(np.full(2, target), stamped_s, measured, now_s) is None
        man.update(measured, now_s)
        if taken:
            assert math.isfinite(target)
            assert stamped_s >= newest_s
            assert stamped_s - now_s <= 0.05
            assert now_s < stamped_s + TIMEOUT_S
            assert man.state == "follow"
            followed, newest_s = target, min(now_s, stamped_s)
        if man.state == "follow":
            assert now_s < newest_s + TIMEOUT_S
            assert man.targets.tolist() == [followed] * 2
        else:
            newest_s = -math.inf
            assert np.isfinite(man.targets).all()
            assert np.abs(man.targets - measured).max() < 0.4  # where the robot was when it began to hold


def test_it_holds_at_the_deadline_where_the_robot_is() -> None:
    man = DeadMan(DeadManConfig(TIMEOUT_S, 0.3), np.zeros(2), 0.0)
    assert (man.state, man.deadline_s) == ("hold", math.inf)
    assert man.offer(np.full(2, 0.31), 1.0, np.zeros(2), 1.0) == "too far from where the robot holds"
    assert man.offer(np.full(2, 0.29), 1.0, np.zeros(2), 1.01) is None
    assert man.offer(np.full(2, 0.9), 1.05, np.full(2, 0.1), 1.06) is None  # following, it may go far
    assert man.offer(np.full(3, 0.0), 1.06, np.zeros(2), 1.06) == "wrong number of targets"
    assert man.offer(np.full(2, 0.2), 1.04, np.full(2, 0.1), 1.07) == "older than the last one"
    assert man.offer(np.full(2, 0.2), 1.07, np.full(2, 0.1), 1.07, sender=9) == "from another sender"
    assert man.deadline_s == 1.05 + TIMEOUT_S
    assert not man.update(np.full(2, 0.2), 1.249)
    assert man.update(np.full(2, 0.2), 1.25)
    assert (man.state, man.cause, man.targets.tolist()) == ("hold", "no command for 0.2 s", [0.2, 0.2])
    assert not man.update(np.full(2, 0.3), 9.0)
    assert man.targets.tolist() == [0.2, 0.2]
    assert sum(man.refused.values()) == 4
    assert man.offer(np.full(2, 0.2), 9.0, np.full(2, 0.3), 9.0, sender=9) is None


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_a_time_that_cannot_be_is_named(value: float) -> None:
    with pytest.raises(SimrealError, match="timeout_s"):
        DeadManConfig(value)
