"""How many threads a process computes with, and with which numbers."""

import os
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch

from simreal import workers


def threads_inside(count: int) -> tuple[int, int]:
    """Return the threads within `workers.threads` and after it, of this process."""
    with workers.threads(count):
        inside = torch.get_num_threads()
    return inside, torch.get_num_threads()


def test_more_threads_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_cores", lambda: 2)
    assert threads_inside(8) == (2, 1)
    assert threads_inside(1) == (1, 1)
    with pytest.raises(KeyboardInterrupt), workers.threads(2):
        raise KeyboardInterrupt
    assert torch.get_num_threads() == 1


def test_a_worker_has_one_thread_whatever_is_asked() -> None:
    assert workers.submit(threads_inside, 2).result() == (1, 1)


@pytest.mark.parametrize("before", [True, False])
def test_denormal_numbers_are_zero_for_a_while(before: bool) -> None:
    torch.set_flush_denormal(before)
    try:
        with workers.threads(1):
            assert float(torch.full((), 1e-39) * 1) == 0
        assert (float(torch.full((), 1e-39) * 1) == 0) == before
    finally:
        torch.set_flush_denormal(False)


def test_denormal_numbers_are_zero_in_a_worker() -> None:
    assert workers.submit(workers.flushes_denormals).result()


def test_after_a_worker_died_there_are_new_ones() -> None:
    pool = workers.Pool(1)
    with pytest.raises(BrokenProcessPool):
        pool.submit(os._exit, 1).result()
    assert pool.submit(threads_inside, 2).result() == (1, 1)
    pool.shut_down()
