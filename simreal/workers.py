"""A warm pool of worker processes, one torch thread each, shared by every stage of one run."""

import atexit
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import cv2
import torch

_pool: ProcessPoolExecutor | None = None
_here = False


def worker_count() -> int:
    """Return how many processes the pool has: one a core."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def submit(function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
    """Run a module-level function in a worker; in a worker itself, at once and in place."""
    if _here:
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future
    return _warm_pool().submit(function, *arguments)


def set_threads(count: int) -> None:
    """Set the threads of torch and OpenCV in this process."""
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


def shut_down(cancel: bool = True) -> None:
    """Stop the workers; the next `submit` starts new ones."""
    global _pool
    if _pool is not None:
        _pool.shutdown(wait=not cancel, cancel_futures=cancel)
        _pool = None


def _warm_pool() -> ProcessPoolExecutor:
    global _pool
    if _pool is None:
        # Not fork: torch's threads do not survive it.
        context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
        if os.name == "posix":
            context.set_forkserver_preload(["torch", "envs", "policies"])
        _pool = ProcessPoolExecutor(worker_count(), mp_context=context, initializer=_start)
        atexit.register(shut_down)
    return _pool


def _start() -> None:
    import signal

    global _here
    _here = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is for the main process to handle
    set_threads(1)
