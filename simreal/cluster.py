"""Jobs on a Ray cluster.

Ray ends the process whose cluster it lost, without an exception, and prints what it likes. So it has a
process of its own (`simreal.relay`), which passes on jobs and outcomes as bytes: when it ends, the jobs that
were not done yet have one clear error, and what was done is kept.
"""

import contextlib
import itertools
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from simreal import workers
from simreal.errors import SimrealError

_KNOCKING_S, _ENDING_S = 10.0, 10.0  # to find the cluster, and to leave it


class RayCluster:
    """The CPUs of a Ray cluster, one job each; an `Executor`."""

    def __init__(self, address: str | None = None) -> None:
        """Connect.

        Args:
            address: Of the head node, `HOST:PORT`; None takes what `RAY_ADDRESS` says, or the cluster that
                was started on this machine, or starts one here that ends with this.

        Raises:
            SimrealError: if no cluster answers, or Ray is not installed.
        """
        if find_spec("ray") is None:
            raise SimrealError("Ray is not installed: it needs the extra ray: pip install 'simreal[ray]'")
        if address is not None:
            _knock(address)
        self._name = "the Ray cluster" if address is None else f"the Ray cluster at {address}"
        self._numbers = itertools.count()
        self._pending: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._workers, self._lost = 0, ""
        self._relay, self._pipe = _start_relay(address)
        try:
            self._heed(*self._pipe.recv())
        except (EOFError, OSError):
            self._lost = "no cluster answers there"
        if self._lost:
            self.shut_down()
            raise SimrealError(f"{self._name}: {self._lost}")
        threading.Thread(target=self._listen, daemon=True).start()

    def worker_count(self) -> int:
        """Return how many CPUs the cluster has now, at least 1."""
        return max(1, self._workers)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Compute a job on a node; if the node is lost, on another one.

        Raises:
            BrokenExecutor: if the cluster is lost.
        """
        future: Future[Any] = Future()
        job = cloudpickle.dumps((function, arguments))
        with self._lock:
            if self._lost:
                raise self._error()
            number = next(self._numbers)
            self._pending[number] = future
        with contextlib.suppress(OSError):  # then `_listen` has noticed as well
            self._pipe.send((number, job))
        return future

    def shut_down(self) -> None:
        """Leave the cluster; jobs that were not done are forgotten there."""
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        try:
            self._relay.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self._relay.kill()
            self._relay.wait()

    def _listen(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while not self._lost:
                self._heed(*self._pipe.recv())
        with self._lock:
            self._lost = self._lost or "it cannot be reached any more"
            pending, self._pending = list(self._pending.values()), {}
        for future in pending:
            future.set_exception(self._error())

    def _heed(self, kind: str, what: Any, number: int = -1) -> None:
        """Act on a message of the relay."""
        if kind == "workers":
            self._workers = what
        elif kind == "lost":
            self._lost = what
        else:
            with self._lock:
                future = self._pending.pop(number)
            if kind == "failed":
                future.set_exception(RuntimeError(what))
                return
            ok, outcome = pickle.loads(what)
            future.set_result(outcome) if ok else future.set_exception(outcome)

    def _error(self) -> BrokenExecutor:
        return BrokenExecutor(f"{self._name} is lost: {self._lost}")


def perform(job: bytes) -> bytes:
    """Compute a job in a worker, and return its outcome: whether it succeeded, and what it gave."""
    workers.begin()
    function, arguments = pickle.loads(job)
    try:
        outcome = True, function(*arguments)
    except Exception as error:
        outcome = False, error
    return cloudpickle.dumps(outcome)


def _knock(address: str) -> None:
    """Make sure that somebody is there: Ray would try for minutes.

    Raises:
        SimrealError: if nobody is.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise SimrealError(f"--address {address}: takes HOST:PORT of the head node, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), _KNOCKING_S).close()
    except (OSError, OverflowError) as error:
        raise SimrealError(f"--address {address}: no Ray cluster answers there: {error}") from None


def _start_relay(address: str | None) -> tuple["subprocess.Popen[bytes]", Connection]:
    """Start the relay, in a session of its own: ctrl-C is for this process to handle."""
    ours, theirs = socket.socketpair()
    number = theirs.fileno()
    command = [sys.executable, "-m", "simreal.relay", str(number), address or ""]
    # Ray gives this path to its workers, where what it lacks does no harm.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    relay = subprocess.Popen(
        command,
        env=environment,
        pass_fds=[number],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    theirs.close()
    return relay, Connection(ours.detach())
