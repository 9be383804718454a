"""Ctrl-C that cannot be lost."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interruption:
    """A block in which ctrl-C raises KeyboardInterrupt, at the latest at its next `check`, or one within.

    Python discards an exception that is raised while a destructor runs, KeyboardInterrupt too, so
    that a ctrl-C which meets a pipe being closed would be lost. Where something else handles
    SIGINT, or outside the main thread, nothing changes.
    """

    def __init__(self) -> None:
        self._first = self  # of nested blocks the outermost, which notes for all
        self._noted = False
        self._before: Any = None

    def __enter__(self) -> "Interruption":
        handler = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        if main and getattr(handler, "__func__", None) is Interruption._note:
            self._first = handler.__self__  # type: ignore[union-attr]
        elif main and handler is signal.default_int_handler:
            self._before = handler
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raise a KeyboardInterrupt that came and did not arrive."""
        if self._first._noted:
            self._first._noted = False
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = True
        self._before(number, frame)
