"""`SimulatedRos2Robot`: the loop's end of a robot server, with the side channel that evaluation needs."""

import itertools
import json
import os
import queue
from typing import Any

from envs import Domain
from simreal.deploy.robot import EpisodeRobot
from simreal.deploy.robot_server import REPLIES, REQUESTS
from simreal.deploy.ros2 import Ros2Robot
from simreal.deploy.ros2_config import Ros2Config
from simreal.deploy.ros2_messages import String
from simreal.deploy.ros2_node import Node, Received
from simreal.errors import SimrealError

_ANSWER_S = 30.0  # a first reset loads textures
_ASK_AGAIN_S = 0.5  # discovery may still be under way


class SimulatedRos2Robot(Ros2Robot, EpisodeRobot):
    """A `Ros2Robot` whose other side is `scripts/robot_server.py`: episodes can be started and judged."""

    def __init__(self, config: Ros2Config) -> None:
        super().__init__(config)
        self._episodes: Node | None = None
        self._ids = itertools.count(os.getpid() << 32)  # no two clients' requests are taken for one
        self._replies: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def connect(self, calibrate: bool = True) -> None:
        """Connect the robot and its side channel."""
        super().connect(calibrate)
        if self._episodes is None:
            self._episodes = node = Node(self.config.domain)
            self._requests: Any = node.publisher(REQUESTS, String)
            node.subscribe(REPLIES, String, self._on_reply, reliable=True, depth=8)

    def disconnect(self) -> None:
        """Close both; closing twice is harmless."""
        episodes, self._episodes = self._episodes, None
        if episodes is not None:
            episodes.close()
        super().disconnect()

    @property
    def success(self) -> bool:
        """Tell whether the task is done now."""
        return bool(self._ask({"do": "tell"})["success"])

    def reset(self, seed: int, domain: Domain | None = None) -> None:
        """Start an episode with a seed, in a domain from now on.

        Raises:
            SimrealError: if the server refuses.
            ConnectionError: if it does not answer.
        """
        plain = None if domain is None else domain.to_plain()
        reply = self._ask({"do": "reset", "seed": seed, "domain": plain})
        self.after_ns = int(reply["stamp_ns"]) - 1  # what was seen before belongs to another episode

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._episodes is None:
            raise SimrealError("robot 'ros2' is not connected: call connect() first")
        number = next(self._ids)
        for _ in range(round(_ANSWER_S / _ASK_AGAIN_S)):
            self._requests.write(String(json.dumps(request | {"id": number})))
            reply = self._reply(number)
            if reply is None:
                continue
            if reply["error"] is not None:
                raise SimrealError(f"robot server: {reply['error']}")
            return reply
        raise ConnectionError(f"no robot server answers on topic {REQUESTS!r} within {_ANSWER_S:.0f} s")

    def _reply(self, number: int) -> dict[str, Any] | None:
        try:
            while (reply := self._replies.get(timeout=_ASK_AGAIN_S))["id"] != number:
                pass
        except queue.Empty:
            return None
        return reply

    def _on_reply(self, received: Received[String]) -> None:
        self._replies.put(json.loads(received.message.data))
