"""What has arrived from a robot: the newest position of every joint by name, and the newest image."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from simreal.deploy.ros2_messages import Image, JointState
from simreal.deploy.ros2_node import Received
from simreal.errors import SimrealError, nearest


@dataclass(frozen=True)
class Stamp:
    """When a part of an observation was made and when it arrived."""

    received_s: float
    """`time.monotonic()` at its arrival."""
    source_ns: int
    """The sender's stamp, nanoseconds since 1970 by the sender's clock; 0 if it does not stamp."""
    delay_s: float
    """From stamp to arrival: the way, and what the two clocks differ by; 0 without a stamp."""

    @classmethod
    def of(cls, received: "Received[JointState] | Received[Image]") -> "Stamp":
        """Return the stamp of a message that arrives now."""
        source_ns = received.message.header.stamp.ns
        return cls(received.received_s, source_ns, (time.time_ns() - source_ns) / 1e9 if source_ns else 0.0)

    def taken_s(self, trusted: bool) -> float:
        """Return when it was made, as `time.monotonic()`; untrusted, when it arrived."""
        return self.received_s - max(0.0, self.delay_s) if trusted else self.received_s


class Inbox:
    """Filled by the threads of subscriptions, read by the loop; nothing queues up."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._positions: dict[str, tuple[float, Stamp]] = {}
        self._image: tuple[Image, Stamp] | None = None

    def on_states(self, received: Received[JointState]) -> None:
        """Take joint states; each of several drivers may tell its own joints only."""
        stamp = Stamp.of(received)
        with self._changed:
            for name, position in zip(received.message.name, received.message.position, strict=False):
                self._positions[name] = (position, stamp)
            self._changed.notify_all()

    def on_image(self, received: Received[Image]) -> None:
        """Take an image."""
        with self._changed:
            self._image = (received.message, Stamp.of(received))
            self._changed.notify_all()

    @property
    def image(self) -> tuple[Image, Stamp] | None:
        """The newest image."""
        return self._image

    def positions(self, names: Iterable[str], topic: str) -> tuple[list[float], Stamp]:
        """Return the newest positions of joints in the order of `names`, and the oldest of their stamps.

        Raises:
            SimrealError: naming a joint that no message has told, and the nearest one that was told.
        """
        with self._changed:
            known = dict(self._positions)
        for name in names:
            if name not in known:
                raise SimrealError(f"topic {topic!r}: no joint {name!r}; {nearest(name, known)}")
        found = [known[name] for name in names]
        return [value for value, _ in found], min((stamp for _, stamp in found), key=lambda s: s.received_s)

    def stamps(self, names: Iterable[str], image: bool) -> list[Stamp] | None:
        """Return the stamps of joints and, if wanted, of the image; None while something is missing."""
        try:
            stamps = [self._positions[name][1] for name in names]
        except KeyError:
            return None
        if not image:
            return stamps
        return None if self._image is None else [*stamps, self._image[1]]

    def wait_for(self, predicate: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `predicate` holds; it is asked again whenever something arrives."""
        with self._changed:
            return self._changed.wait_for(predicate, timeout_s)

    def clear(self) -> None:
        """Forget everything."""
        with self._changed:
            self._positions, self._image = {}, None
