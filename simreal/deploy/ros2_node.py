"""Topics over DDS as ROS 2 uses it: names, quality of service, type hashes; a thread hands samples over."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from simreal.deploy.ros2_messages import TYPE_HASHES  # first: it says which extra is missing
from simreal.errors import SimrealError

# isort: split
from cyclonedds.core import (
    DDSException,
    GuardCondition,
    InstanceState,
    ReadCondition,
    SampleState,
    ViewState,
    WaitSet,
)
from cyclonedds.domain import DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

Message = TypeVar("Message")
LOOPBACK = (
    '<CycloneDDS><Domain Id="any"><General><AllowMulticast>false</AllowMulticast>'
    '<Interfaces><NetworkInterface name="lo"/></Interfaces></General>'
    "<Discovery><ParticipantIndex>auto</ParticipantIndex>"
    "<MaxAutoParticipantIndex>40</MaxAutoParticipantIndex>"
    '<Peers><Peer Address="127.0.0.1"/></Peers></Discovery></Domain></CycloneDDS>'
)
"""Cyclone DDS configuration that neither sends to nor hears any other machine."""


@dataclass(frozen=True)
class Received(Generic[Message]):
    """A message with the times that belong to it."""

    message: Message
    received_s: float
    """`time.monotonic()` when it arrived."""
    sent_ns: int
    """When its sender wrote it, nanoseconds since 1970 by the sender's clock."""
    sender: int = 0
    """Tells senders apart."""

    @property
    def age_s(self) -> float:
        """Seconds since it was written, by this machine's clock against the sender's."""
        return (time.time_ns() - self.sent_ns) / 1e9


def use_loopback() -> None:
    """Stay on this machine, unless the environment already says otherwise in CYCLONEDDS_URI."""
    os.environ.setdefault("CYCLONEDDS_URI", LOOPBACK)


def domain_id(given: int | None = None) -> int:
    """Return the DDS domain: the one given, or ROS_DOMAIN_ID, or 0.

    Raises:
        SimrealError: if it is not a whole number from 0 to 232.
    """
    raw = os.environ.get("ROS_DOMAIN_ID") or "0" if given is None else str(given)
    if not (raw.isascii() and raw.isdigit() and int(raw) <= 232):
        name = "ROS_DOMAIN_ID" if given is None else "domain"
        raise SimrealError(f"{name}: takes a whole number from 0 to 232, not {raw!r}")
    return int(raw)


def quality(type_: type[Any], reliable: bool, depth: int) -> Qos:
    """Return ROS 2's quality of service, with the type hash in the user data (as rmw does, REP 2016)."""
    reliability = Policy.Reliability.Reliable(duration(milliseconds=100))
    return Qos(
        reliability if reliable else Policy.Reliability.BestEffort,
        Policy.History.KeepLast(depth),
        Policy.Durability.Volatile,
        Policy.DataRepresentation(use_cdrv0_representation=True),
        Policy.Userdata(f"typehash={TYPE_HASHES[type_]};".encode()),
    )


class Subscription(Generic[Message]):
    """Hears one topic on a thread of its own; every sample is handed over as it arrives."""

    def __init__(self, reader: Any, on_message: Callable[[Received[Message]], None], depth: int) -> None:
        self.malformed = 0
        """Samples that could not be read; they are dropped."""
        self.heard = 0
        """Samples handed over."""
        self._reader, self._on_message, self._depth = reader, on_message, depth
        self._closing = GuardCondition(reader.participant)
        self._ready = ReadCondition(reader, SampleState.Any | ViewState.Any | InstanceState.Any)
        self._waitset = WaitSet(reader.participant)
        self._waitset.attach(self._closing)
        self._waitset.attach(self._ready)
        self._thread = threading.Thread(target=self._hear, name="dds", daemon=True)
        self._thread.start()

    @property
    def publishers(self) -> int:
        """How many publishers of the topic are known now."""
        return len(self._reader.get_matched_publications())

    def close(self) -> None:
        """Stop hearing."""
        self._closing.set(True)
        self._thread.join(1.0)

    def _hear(self) -> None:
        while not self._closing.read():
            self._waitset.wait(duration(seconds=1))
            for sample in self._take():
                # A publisher that leaves is told by a sample without data.
                if sample.sample_info.valid_data:
                    self.heard += 1
                    info = sample.sample_info
                    sent_ns, sender = int(info.source_timestamp), int(info.publication_handle)
                    self._on_message(Received(sample, time.monotonic(), sent_ns, sender))

    def _take(self) -> list[Any]:
        try:
            return self._reader.take(self._depth)
        except DDSException:
            return []
        except Exception:  # whatever a library makes of bytes that another process has sent
            self.malformed += 1
            return []


class Node:
    """One DDS participant with its topics, named as in ROS: `joint_states` is `rt/joint_states` in DDS."""

    def __init__(self, domain: int | None = None) -> None:
        """Join a DDS domain.

        Raises:
            SimrealError: if the domain is no domain, or DDS does not start.
        """
        self.domain = domain_id(domain)
        try:
            self._participant = DomainParticipant(self.domain)
        except DDSException as error:
            raise SimrealError(f"DDS domain {self.domain} cannot be joined: {error.msg}") from None
        self._topics: dict[str, Any] = {}
        self._subscriptions: list[Subscription[Any]] = []

    def publisher(self, name: str, type_: type[Message], reliable: bool = True) -> "DataWriter[Message]":
        """Return a writer that keeps its last message."""
        return DataWriter(self._participant, self._topic(name, type_), quality(type_, reliable, 1))

    def subscribe(
        self,
        name: str,
        type_: type[Message],
        on_message: Callable[[Received[Message]], None],
        reliable: bool = False,
        depth: int = 1,
    ) -> Subscription[Message]:
        """Hand every message of a topic to `on_message`, on the subscription's thread.

        Best effort hears every publisher; reliable only reliable ones.
        """
        reader = DataReader(self._participant, self._topic(name, type_), quality(type_, reliable, depth))
        subscription: Subscription[Message] = Subscription(reader, on_message, depth)
        self._subscriptions.append(subscription)
        return subscription

    def close(self) -> None:
        """Leave the domain; closing twice is harmless."""
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions.clear()
        # The library frees with the last reference only; this takes readers and writers along, now.
        self._participant.__del__()

    def _topic(self, name: str, type_: type[Any]) -> Any:
        wire_name = f"rt/{name.strip('/')}"
        if wire_name not in self._topics:
            self._topics[wire_name] = Topic(self._participant, wire_name, type_)
        return self._topics[wire_name]


def subscribers(writer: Any) -> int:
    """Return how many subscribers a writer has now."""
    return len(writer.get_matched_subscriptions())
