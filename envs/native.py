"""PyBullet prints build times and arguments to standard output and error, which are for results."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

_STREAMS = (1, 2)


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Send what C code prints nowhere, for as long as the block lasts."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(stream) for stream in _STREAMS]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in _STREAMS:
            os.dup2(nowhere, stream)
        yield
    finally:
        if os.name == "posix":
            ctypes.CDLL(None).fflush(None)  # what C has buffered would come out later, at the end
        for stream, original in zip(_STREAMS, saved, strict=True):
            os.dup2(original, stream)
            os.close(original)
        os.close(nowhere)


with silenced():
    import pybullet as pybullet
