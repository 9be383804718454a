import itertools

import pytest

from simreal.deploy.states import State, StateMachine, Transition

ALLOWED = {
    "idle": {"ramp", "stopped"},
    "ramp": {"armed", "hold", "stopped"},
    "armed": {"running", "ramp", "hold", "stopped"},
    "running": {"armed", "ramp", "hold", "stopped"},
    "hold": {"running", "ramp", "stopped"},
    "stopped": set(),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_every_transition_is_allowed_or_refused(before: State, after: State) -> None:
    seen: list[Transition] = []
    machine = StateMachine(lambda: 1.0, seen.append)
    machine.state = before
    if after in ALLOWED[before]:
        machine.go(after, "a cause")
        assert seen == [Transition(1.0, before, after, "a cause")] == list(machine.transitions)
        assert (machine.state, machine.cause) == (after, "a cause")
    else:
        with pytest.raises(ValueError, match=f"no way from {before} to {after}"):
            machine.go(after, "a cause")
        assert machine.state is before
        assert seen == []


def test_what_is_remembered_is_bounded() -> None:
    count = itertools.count()
    machine = StateMachine(lambda: float(next(count)), lambda change: None)
    machine.go(State.RAMP, "x")
    for _ in range(2000):
        machine.go(State.HOLD, "x")
        machine.go(State.RAMP, "x")
    assert len(machine.transitions) == 1000
