"""ctrl-C and SIGTERM, noted for the loop to act on at its next tick."""

import signal
from types import FrameType
from typing import Any

NAMES = {signal.SIGINT: "ctrl-C", signal.SIGTERM: "SIGTERM"}


class Signals:
    """While installed, SIGINT and SIGTERM are counted instead of ending the process."""

    def __init__(self) -> None:
        self.count, self.name = 0, ""
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Take over; outside the main thread, where Python allows no handlers, nothing happens."""
        try:
            for number in NAMES:
                self._before[number] = signal.signal(number, self._note)
        except ValueError:
            self._before = {}

    def restore(self) -> None:
        """Give back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count, self.name = self.count + 1, NAMES[signal.Signals(number)]
