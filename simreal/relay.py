"""The process that speaks with a Ray cluster for `simreal.cluster`; Ray may end it at any time.

In: `(number, job)`, or None, which ends it as does the end of the pipe. Out: `("workers", count)` first and
then from time to time, `("done", outcome, number)` or `("failed", why, number)` of a job, and
`("lost", why)` of the cluster.
"""

import contextlib
import functools
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

import ray

_RETRIES = 3  # of a job whose node or worker died: one that kills its worker every time must end
_COUNT_EVERY_S = 2.0
_PATIENCE_S = 60.0  # without any CPU: nodes may come back, or be started by an autoscaler


def _perform(job: bytes) -> bytes:
    from simreal.cluster import perform  # of the worker: this process needs no torch

    return perform(job)


class _Relay:
    """Both ends: the pipe and the cluster."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._lock = pipe, threading.Lock()
        self._remote = ray.remote(num_cpus=1, max_retries=_RETRIES)(_perform)

    def tell(self, *message: Any) -> None:
        """Send a message; nobody may be there any more."""
        with self._lock, contextlib.suppress(OSError):
            self._pipe.send(message)

    def serve(self) -> None:
        """Pass on jobs until there are no more."""
        self.tell("workers", _cpus())
        threading.Thread(target=self._count, daemon=True).start()
        with contextlib.suppress(EOFError, OSError):
            while (message := self._pipe.recv()) is not None:
                number, job = message
                future = self._remote.remote(job).future()
                future.add_done_callback(functools.partial(self._pass_on, number))

    def _pass_on(self, number: int, future: Any) -> None:
        error = future.exception()
        if error is None:
            self.tell("done", future.result(), number)
        elif isinstance(error, ray.exceptions.LocalRayletDiedError):
            self.tell("lost", "the node that it was reached by died")
        else:
            cause = getattr(error, "cause", None) or error  # Ray's own tells a whole traceback
            self.tell("failed", f"{type(cause).__name__}: {' '.join(str(cause).split())}", number)

    def _count(self) -> None:
        empty_since = time.monotonic()
        while True:
            time.sleep(_COUNT_EVERY_S)
            count = _cpus()
            self.tell("workers", count)
            if count:
                empty_since = time.monotonic()
            elif time.monotonic() - empty_since > _PATIENCE_S:
                self.tell("lost", f"no node with a CPU for {_PATIENCE_S:.0f} s")


def _cpus() -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def main() -> None:
    """Connect and serve: arguments are the number of the pipe, and the address or nothing."""
    relay = _Relay(Connection(int(sys.argv[1])))
    try:
        ray.init(address=sys.argv[2] or None, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # of many kinds: what it says is passed on
        relay.tell("lost", f"it cannot be reached: {' '.join(str(error).split())}")
        return
    relay.serve()
    ray.shutdown()


if __name__ == "__main__":
    main()
