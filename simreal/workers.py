"""Where jobs are computed: on this machine, by a warm pool of processes shared by every stage of one run."""

import atexit
import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

import cv2
import torch

_here = False


class Executor(Protocol):
    """Where jobs are computed: by processes of this machine, or of a cluster."""

    def worker_count(self) -> int:
        """Return how many jobs are computed at a time."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Compute a job, one torch thread, in a worker.

        Raises:
            BrokenExecutor: if no job can be computed any more; the future has it too. A future's
                `BrokenProcessPool` says less: a worker died, of this job or of one beside it.
        """

    def shut_down(self) -> None:
        """Stop the workers."""


class Pool:
    """Processes of this machine, started at the first job, one torch thread each."""

    def __init__(self, processes: int | None = None) -> None:
        """Have one process a core, or so many."""
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None

    def worker_count(self) -> int:
        """Return how many processes the pool has."""
        return self._processes or _cores()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Run a module-level function in a worker; in a worker itself, at once and in place."""
        if _here:
            future: Future[Any] = Future()
            future.set_result(function(*arguments))
            return future
        try:
            return self._warm().submit(function, *arguments)
        except BrokenProcessPool:  # a worker died of an earlier job
            self.shut_down()
            return self._warm().submit(function, *arguments)

    def shut_down(self, cancel: bool = True) -> None:
        """Stop the workers; the next `submit` starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(wait=not cancel, cancel_futures=cancel)
            self._pool = None

    def _warm(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not fork: torch's threads do not survive it.
            context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
            if os.name == "posix":
                context.set_forkserver_preload(["torch", "envs", "policies"])
            self._pool = ProcessPoolExecutor(self.worker_count(), mp_context=context, initializer=_start)
            atexit.register(self.shut_down)
        return self._pool


SHARED = Pool()
worker_count, submit, shut_down = SHARED.worker_count, SHARED.submit, SHARED.shut_down


def set_threads(count: int) -> None:
    """Set the threads of torch and OpenCV in this process."""
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


def flushes_denormals() -> bool:
    """Tell whether this thread takes denormal numbers for zero, which torch cannot be asked."""
    return float(torch.tensor(1e-39) * 1) == 0


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with so many threads in the meantime, if there are so many cores; in a worker with one.

    Denormal numbers are zero. A spatial softmax gives most pixels a chance below 1e-38, with which a
    processor computes many times as slowly: updates take up to two thirds longer, and come to the same but
    for a rounding.
    """
    before, before_opencv, flushed = torch.get_num_threads(), cv2.getNumThreads(), flushes_denormals()
    torch.set_flush_denormal(True)  # first: new threads take it over from the one that starts them
    set_threads(1 if _here else min(count, _cores()))
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(before)
        cv2.setNumThreads(before_opencv)


def begin() -> None:
    """Make this process a worker: as in `threads`, for good, and what it submits itself is done in place."""
    global _here
    _here = True
    torch.set_flush_denormal(True)
    set_threads(1)


def _start() -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is for the main process to handle
    begin()


def _cores() -> int:
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
