"""PyBullet prints build times and arguments to standard output, which belongs to results."""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def silenced_stdout() -> Iterator[None]:
    """Send what C code writes to standard output nowhere, for as long as the block lasts."""
    sys.stdout.flush()
    saved = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(nowhere)


with silenced_stdout():
    import pybullet as pybullet
