import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.deploy.clock import Histogram, Pacer, first_in_line
from simreal.errors import SimrealError


class Machine:
    """A clock whose sleeps last a little too long, as a real one's."""

    def __init__(self, oversleep: float) -> None:
        self.now_s, self._oversleep = 100.0, oversleep

    def time(self) -> float:
        self.now_s += 1e-6  # looking takes time as well
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds + self._oversleep


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 0.09), min_size=1, max_size=60), st.floats(0, 0.002))
def test_deadlines_are_never_stretched(works: list[float], oversleep: float) -> None:
    machine, period = Machine(oversleep), 0.02
    pacer = Pacer(period, clock=machine.time, sleep=machine.sleep)
    pacer.start()
    began = machine.now_s
    for work in works:
        lateness = pacer.wait()
        # A tick is at a deadline of the grid that was laid at the start, or late for one by less than ...
        deadlines = (machine.now_s - lateness - began) / period
        assert deadlines == pytest.approx(round(deadlines), abs=1e-3)
        assert 0 <= lateness < period + oversleep + 1e-4  # ... a period: others are skipped, and counted
        machine.now_s += work
    assert pacer.timing.ticks == len(works)
    assert pacer.timing.ticks + pacer.timing.missed == round(deadlines)


def test_missed_deadlines_are_counted() -> None:
    machine = Machine(0.0)
    pacer = Pacer(0.02, clock=machine.time, sleep=machine.sleep)
    pacer.start()
    pacer.wait()
    machine.now_s += 0.07  # the next deadline, and two more, pass
    pacer.wait()
    assert (pacer.timing.ticks, pacer.timing.late, pacer.timing.missed) == (2, 1, 2)
    pacer.wait()
    assert (pacer.timing.late, pacer.timing.missed) == (1, 2)


def test_real_ticks_keep_the_rate() -> None:
    pacer, period, count = Pacer(0.005), 0.005, 100
    pacer.start()
    began = time.monotonic()
    latenesses = [pacer.wait() for _ in range(count)]
    took = time.monotonic() - began
    periods = count + pacer.timing.missed
    assert took == pytest.approx(periods * period + latenesses[-1], abs=1e-3)
    assert min(latenesses) >= 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-6, 50), min_size=1, max_size=300), st.floats(1, 100))
def test_a_percentile_is_right_to_a_bin(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = float(np.percentile(values, share, method="inverted_cdf"))
    assert exact * (1 - 1e-9) <= histogram.percentile(share) <= exact * 1.04
    assert histogram.maximum == max(values)


def test_a_histogram_does_not_grow() -> None:
    histogram = Histogram()
    size = histogram._counts.nbytes
    for value in (0.0, -1.0, 1e-9, 1e-3, 1e9):
        for _ in range(1000):
            histogram.add(value)
    assert histogram.count == 5000
    assert histogram._counts.nbytes == size
    assert histogram.percentile(50) == 1e-6  # the smallest it tells apart
    assert Histogram().percentile(99) == 0.0


def test_without_permission_the_real_time_scheduler_says_how() -> None:
    code = """
import os, resource
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
from simreal.errors import SimrealError
from simreal.deploy.clock import first_in_line
if os.getuid() == 0:
    os.setuid(65534)
try:
    with first_in_line():
        pass
except SimrealError as error:
    print(error)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert "CAP_SYS_NICE" in done.stdout, done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.skipif(not hasattr(os, "SCHED_FIFO"), reason="Linux's")
def test_the_real_time_scheduler_is_for_all_threads_and_ends_with_the_loop() -> None:
    before, done, found = os.sched_getscheduler(0), threading.Event(), list[int]()

    def note() -> None:
        done.wait(10)
        found.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=note)
    thread.start()
    try:
        with first_in_line():
            assert os.sched_getscheduler(0) == os.SCHED_FIFO
            done.set()
            thread.join()
    except SimrealError as error:
        pytest.skip(str(error))
    finally:
        done.set()
    assert found == [os.SCHED_FIFO]
    assert os.sched_getscheduler(0) == before
