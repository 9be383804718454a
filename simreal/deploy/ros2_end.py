"""The robot's own end of the wire: joint states, images and a status out, position commands in."""

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simreal.deploy.ros2_messages import (
    Float64MultiArray,
    Header,
    Image,
    JointState,
    String,
    Time,
    image_of_rgb,
)
from simreal.deploy.ros2_node import Node, Received


@dataclass(frozen=True)
class EndConfig:
    """Which topics; the names are `Ros2Config`'s."""

    states: str = "joint_states"
    commands: str = "forward_position_controller/commands"
    images: str = "camera/image_raw"
    status: str = "simreal/status"
    """Text: what the robot does, and why."""
    domain: int | None = None
    """DDS domain; None takes ROS_DOMAIN_ID, or 0."""


class RobotEnd:
    """Publishes what a robot measures and keeps the newest command until it is fetched."""

    def __init__(
        self, names: tuple[str, ...], config: EndConfig, reliable_images: bool = False, remembered: int = 0
    ) -> None:
        """Join the domain.

        Args:
            names: Of the joints, as `publish_states` gets them.
            config: Which topics.
            reliable_images: Send an image again until it has arrived, which may block the sender; a
                sensor does not.
            remembered: How many arrivals to remember.
        """
        self.names = names
        self.node = node = Node(config.domain)
        self._states = node.publisher(config.states, JointState)
        self._images = node.publisher(config.images, Image, reliable_images)
        self._status = node.publisher(config.status, String)
        self._lock = threading.Lock()
        self._command: Received[Float64MultiArray] | None = None
        self.arrivals: deque[tuple[int, float]] = deque(maxlen=remembered)
        """Of the last commands: stamp, nanoseconds since 1970, and `time.monotonic()` at arrival."""
        self.arrived = threading.Event()
        """Set when a command has arrived that is not fetched yet."""
        self._subscription = node.subscribe(
            config.commands, Float64MultiArray, self._on_command, reliable=True
        )

    def publish_states(
        self, positions: NDArray[np.float64], velocities: NDArray[np.float64], stamp_ns: int
    ) -> None:
        """Publish positions and velocities (n,) in the order of `names`; nanoseconds since 1970."""
        header = Header(Time.of_ns(stamp_ns), "base")
        message = JointState(header, list(self.names), positions.tolist(), velocities.tolist(), [])
        self._states.write(message)

    def publish_image(self, rgb: NDArray[np.uint8], stamp_ns: int) -> None:
        """Publish an image, uint8 (H, W, 3) RGB; nanoseconds since 1970."""
        self._images.write(image_of_rgb(rgb, stamp_ns))

    def publish_status(self, text: str) -> None:
        """Say what the robot does."""
        self._status.write(String(text))

    def fetch_command(self) -> Received[Float64MultiArray] | None:
        """Return the newest command, once."""
        with self._lock:
            command, self._command = self._command, None
            self.arrived.clear()
        return command

    def close(self) -> None:
        """Leave the domain."""
        self.node.close()

    def _on_command(self, received: Received[Float64MultiArray]) -> None:
        with self._lock:
            self._command = received
            self.arrivals.append((received.sent_ns, received.received_s))
            self.arrived.set()
