"""A progress bar heeds ctrl-C wherever it arrives."""

import io
import os
import signal
from collections.abc import Iterator

import pytest
from rich.console import Console

import simreal.progress as progress_module
from simreal.interruption import Interruption
from simreal.progress import progress


class Closing:
    """Ctrl-C arrives while this is destroyed, where Python discards it."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(1000))  # the handler runs between two instructions


@pytest.fixture(autouse=True)
def python_handles_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def lose_one() -> None:
    closing = Closing()
    del closing


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_in_a_destructor_is_raised_at_the_next_step() -> None:
    steps = 0
    with pytest.raises(KeyboardInterrupt), progress("work", 3, "steps") as outer:  # noqa: PT012
        with progress("part", 3, "steps") as advance:
            advance(1)
            lose_one()
            steps += 1
            advance(1)
            steps += 1
        outer(1)
    assert steps == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_between_two_bars_it_is_raised_in_the_next() -> None:
    steps = 0
    with pytest.raises(KeyboardInterrupt), Interruption():  # noqa: PT012
        with progress("first", 1, "steps") as advance:
            advance(1)
        lose_one()
        with progress("second", 2, "steps") as advance:
            advance(1)
            steps += 1
    assert steps == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_after_the_last_step_too() -> None:
    with pytest.raises(KeyboardInterrupt), Interruption():
        lose_one()


def test_handlers_of_others_stay() -> None:
    noted = []
    signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    with Interruption():
        os.kill(os.getpid(), signal.SIGINT)
    assert noted == [signal.SIGINT]


def test_a_bar_tells_no_end_once_there_is_more_than_was_thought(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(progress_module, "console", Console(file=shown, force_terminal=True, width=100))
    with progress_module.progress("adapt", 2, "updates") as advance:
        advance(2)
        assert not any("/?" in line for line in shown.getvalue().splitlines())
        advance(2)
    assert "4/?" in shown.getvalue()
