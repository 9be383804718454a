"""Time: absolute deadlines that are never stretched, and statistics of fixed size."""

import contextlib
import ctypes
import gc
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from simreal.errors import SimrealError

_LOW_S, _HIGH_S, _PER_DECADE = 1e-6, 100.0, 64
_BINS = round(math.log10(_HIGH_S / _LOW_S) * _PER_DECADE) + 2  # one below, one above
_SWITCH_S = 2e-4  # how long another thread may keep the interpreter from a tick that is due
_MCL_CURRENT, _MCL_FUTURE = 1, 2  # of sys/mman.h
FIFO_PRIORITY = 50  # above everything ordinary, below the kernel's own threads at 99


class Histogram:
    """Times in bins of equal ratio, 1 us to 100 s: a percentile is right to 3.7%, however many there are."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)
        self.count, self.maximum = 0, 0.0

    def add(self, seconds: float) -> None:
        """Count a time; one below zero counts as zero."""
        self._counts[self._bin(seconds)] += 1
        self.count += 1
        self.maximum = max(self.maximum, seconds)

    def percentile(self, share: float) -> float:
        """Return the time (s) that `share` percent are not above; 0 if there are none."""
        if self.count == 0:
            return 0.0
        wanted = max(1, math.ceil(self.count * share / 100))
        index = int(np.searchsorted(np.cumsum(self._counts), wanted))
        upper = _LOW_S * 10 ** (index / _PER_DECADE)
        return min(upper, self.maximum)

    @staticmethod
    def _bin(seconds: float) -> int:
        if seconds <= _LOW_S:
            return 0
        return min(_BINS - 1, math.ceil(math.log10(seconds / _LOW_S) * _PER_DECADE))


@dataclass
class Timing:
    """How well a loop kept time."""

    def __post_init__(self) -> None:
        self.lateness, self.jitter, self.age, self.work = (Histogram() for _ in range(4))
        self.ticks, self.late, self.missed = 0, 0, 0
        # late: ticks whose deadline had passed before the loop waited for it;
        # missed: deadlines skipped, because a whole period and more had passed.

    def figures(self) -> dict[str, float | int]:
        """Return counts and percentiles, milliseconds."""
        found: dict[str, float | int] = {"ticks": self.ticks, "late": self.late, "missed": self.missed}
        for name in ("lateness", "jitter", "age", "work"):
            histogram: Histogram = getattr(self, name)
            for label, share in (("p50", 50.0), ("p99", 99.0), ("p99_9", 99.9)):
                found[f"{name}_{label}_ms"] = round(1e3 * histogram.percentile(share), 4)
            found[f"{name}_max_ms"] = round(1e3 * histogram.maximum, 4)
        return found


class Clock(Protocol):
    """What a loop waits for."""

    timing: Timing

    def start(self) -> None:
        """Begin, or begin again after a pause that does not count."""

    def wait(self) -> float:
        """Return, at the next deadline, how late that is (s)."""

    def now(self) -> float:
        """Return the time (s)."""


class Pacer:
    """Waits for deadlines `start + k period` of the monotonic clock.

    A tick that comes late does not move the later ones. If a whole period and more has passed, the
    deadlines in between are skipped and counted as missed. `time.sleep` waits for an absolute time of the
    monotonic clock where the system has `clock_nanosleep`; the last `spin_s` are spent looking at the clock.
    """

    def __init__(
        self,
        period_s: float,
        spin_s: float = 1e-4,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.period_s, self.timing = period_s, Timing()
        self._spin_s, self._clock, self._sleep = spin_s, clock, sleep
        self._deadline, self._last = 0.0, 0.0

    def now(self) -> float:
        """Return the time (s)."""
        return self._clock()

    def start(self) -> None:
        """Begin, or begin again: the first deadline is one period from now."""
        self._deadline = self._last = self._clock()

    def wait(self) -> float:
        """Wait for the next deadline and return how late it is kept (s)."""
        self._deadline += self.period_s
        left = self._deadline - self._clock()
        if left < 0:
            self._catch_up(-left)
        elif left > self._spin_s:
            self._sleep(left - self._spin_s)
        while (now := self._clock()) < self._deadline:
            pass
        self._count(now)
        return now - self._deadline

    def _catch_up(self, behind: float) -> None:
        self.timing.late += 1
        skipped = int(behind / self.period_s)
        self.timing.missed += skipped
        self._deadline += skipped * self.period_s

    def _count(self, now: float) -> None:
        self.timing.ticks += 1
        self.timing.lateness.add(now - self._deadline)
        if self.timing.ticks > 1:
            self.timing.jitter.add(abs(now - self._last - self.period_s))
        self._last = now


class Unpaced:
    """Waits for nothing: for a robot whose time, and so this one, goes on by a period with each command."""

    def __init__(self, period_s: float) -> None:
        self.timing, self._period_s = Timing(), period_s

    def now(self) -> float:
        """Return the robot's time (s)."""
        return self.timing.ticks * self._period_s

    def start(self) -> None:
        """Begin."""

    def wait(self) -> float:
        """Return at once."""
        self.timing.ticks += 1
        return 0.0


@contextlib.contextmanager
def punctual() -> Iterator[None]:
    """Keep the interpreter's own pauses short while the block lasts."""
    before = sys.getswitchinterval()
    gc.collect()
    gc.freeze()  # what exists by now lives as long as the loop: collections need not look at it
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
        gc.unfreeze()


@contextlib.contextmanager
def first_in_line(priority: int = FIFO_PRIORITY) -> Iterator[None]:
    """Give this process the real-time scheduler SCHED_FIFO while the block lasts.

    All its threads: one that holds the interpreter must not wait behind other processes. Threads and
    processes that are started meanwhile inherit it. Memory is locked too, where that is permitted: a page
    that the system had put aside was measured to cost a tick 20 ms.

    Raises:
        SimrealError: where that is not permitted, and how it would be.
    """
    if not hasattr(os, "sched_setscheduler"):
        raise SimrealError("--realtime: this system has no SCHED_FIFO; it is Linux's")
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        _schedule(os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        raise SimrealError(
            "--realtime: this process may not use SCHED_FIFO: give it CAP_SYS_NICE, or its user "
            f"'rtprio {priority}' in /etc/security/limits.conf, or leave the option out"
        ) from None
    library = ctypes.CDLL(None)
    library.mlockall(_MCL_CURRENT | _MCL_FUTURE)
    try:
        yield
    finally:
        library.munlockall()
        _schedule(*before)


def _schedule(policy: int, parameter: Any) -> None:
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.sched_setscheduler(int(thread), policy, parameter)
