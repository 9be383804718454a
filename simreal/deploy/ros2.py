"""`Ros2Robot`: a robot behind ros2_control's topics, over DDS, without a ROS installation."""

import time
from typing import Any

from simreal.deploy.robot import Features, Values
from simreal.deploy.ros2_config import Ros2Config
from simreal.deploy.ros2_inbox import Inbox, Stamp
from simreal.deploy.ros2_messages import Float64MultiArray, Image, JointState
from simreal.deploy.ros2_node import Node, Subscription, subscribers
from simreal.encodings import rgb_of_image
from simreal.errors import SimrealError, nearest

_CLOCKS_DIFFER_S = 0.5  # no network that a robot is controlled over takes longer
_ANSWER_S = 30.0  # in lock-step; a reset of a simulated world takes part of a second


class Ros2Robot:
    """Joint states and a camera in, joint position targets out; LeRobot's shape.

    Keys: `<joint>.pos` in rad, `gripper.pos` in m, and the camera's uint8 (H, W, 3) RGB.
    """

    name = "ros2"
    is_calibrated = True

    def __init__(self, config: Ros2Config) -> None:
        self.config = config
        self._names = config.joints + config.fingers
        self.stamps: dict[str, Stamp] = {}
        """Of the last observation's parts: `joints` (the oldest of them), and the camera's key."""
        self.observation_time_s: float | None = None
        """Of its oldest part; None in lock-step, where the world has waited since."""
        self.sent_ns = 0
        """The stamp of the last command, nanoseconds since 1970 by this machine's clock."""
        self.after_ns = -1
        """In lock-step, an observation is waited for that is stamped after this."""
        self._node: Node | None = None
        self._inbox = Inbox()
        self._width_m = 0.0

    @property
    def observation_features(self) -> Features:
        """Joints, gripper and camera; the image's true shape once connected."""
        config = self.config
        features: Features = {f"{name}.pos": float for name in config.joints}
        if config.fingers:
            features["gripper.pos"] = float
        if config.images is not None:
            image = self._inbox.image
            features[config.camera] = (image[0].height, image[0].width, 3) if image else (480, 640, 3)
        return features

    @property
    def action_features(self) -> Features:
        """Joint targets, and the gripper's opening where the controller takes it."""
        gripper = {"gripper.pos": float} if self.config.fingers_commanded else {}
        return {f"{name}.pos": float for name in self.config.joints} | gripper

    @property
    def is_connected(self) -> bool:
        """Whether somebody publishes joint states and somebody hears commands."""
        return self._node is not None and self._states.publishers > 0 and subscribers(self._commands) > 0

    def connect(self, calibrate: bool = True) -> None:
        """Join the domain and wait for the robot.

        Raises:
            SimrealError: naming the topic that stays silent, the joint that is missing, or clocks that
                differ.
        """
        if self._node is not None:
            return
        config = self.config
        self._node = node = Node(config.domain)
        try:
            self._commands: Any = node.publisher(config.commands, Float64MultiArray)
            # More than one is kept: several drivers may share the topic, each with its own joints.
            self._states: Subscription[JointState] = node.subscribe(
                config.states, JointState, self._inbox.on_states, config.lock_step, depth=16
            )
            if config.images is not None:
                node.subscribe(config.images, Image, self._inbox.on_image, config.lock_step)
            self._wait_for_robot()
        except BaseException:
            self.disconnect()
            raise

    def disconnect(self) -> None:
        """Leave the domain; closing twice is harmless."""
        node, self._node = self._node, None
        if node is not None:
            node.close()
        self._inbox.clear()

    def calibrate(self) -> None:
        """Nothing to calibrate from here."""

    def configure(self) -> None:
        """Nothing to configure from here."""

    def get_observation(self) -> Values:
        """Return the newest observation, at once.

        Raises:
            SimrealError: not connected, a joint is missing, or an image cannot be read.
            ConnectionError: in lock-step no observation of the present episode comes.
        """
        self._check_connected()
        config = self.config
        if config.lock_step:
            self._wait_for_answer()
        positions, stamp = self._inbox.positions(self._names, config.states)
        arm = len(config.joints)
        values: Values = {f"{name}.pos": p for name, p in zip(config.joints, positions[:arm], strict=True)}
        self.stamps = {"joints": stamp}
        if config.fingers:
            values["gripper.pos"] = sum(positions[arm:])
        if image := self._inbox.image:
            values[config.camera] = rgb_of_image(image[0])
            self.stamps[config.camera] = image[1]
        if not config.lock_step:
            self.observation_time_s = min(s.taken_s(config.stamps_trusted) for s in self.stamps.values())
        return values

    def send_action(self, action: Values) -> Values:
        """Publish joint targets (rad) and, where the controller takes it, the gripper's opening (m).

        A `gripper.pos` that is missing repeats the last one. In lock-step, returns when its time has
        gone by.

        Raises:
            SimrealError: not connected, or a joint has no target.
            ConnectionError: no answer in lock-step.
        """
        self._check_connected()
        config = self.config
        self._width_m = float(action.get("gripper.pos", self._width_m))
        sent: Values = {}
        for key in (f"{name}.pos" for name in config.joints):
            if key not in action:
                raise SimrealError(f"action has no {key!r}; {nearest(key, action)}")
            sent[key] = float(action[key])
        data = list(sent.values())
        if config.fingers_commanded:
            sent["gripper.pos"] = self._width_m
            data += [self._width_m / len(config.fingers)] * len(config.fingers)
        self._publish(data)
        return sent

    def wait_for_newer(self, than_s: float, timeout_s: float, part: str = "joints") -> bool:
        """Wait for joint states (`joints`) or an image (the camera's key) that arrived after `than_s`.

        Times are `time.monotonic()`; False if none came within `timeout_s`.
        """
        names, image = ((), True) if part == self.config.camera else (self._names, False)

        def newer() -> bool:
            stamps = self._inbox.stamps(names, image)
            return stamps is not None and all(stamp.received_s > than_s for stamp in stamps)

        return self._inbox.wait_for(newer, timeout_s)

    def _publish(self, data: list[float]) -> None:
        stamps = self._inbox.stamps(self._names, self.config.images is not None) or []
        self.sent_ns = time.time_ns()
        self._commands.write(Float64MultiArray(data=data), self.sent_ns)
        if self.config.lock_step:
            self.after_ns = max([self.after_ns, *(stamp.source_ns for stamp in stamps)])
            self._wait_for_answer()

    def _check_connected(self) -> None:
        if self._node is None:
            raise SimrealError("robot 'ros2' is not connected: call connect() first")

    def _complete(self, after_ns: int = -1) -> bool:
        stamps = self._inbox.stamps(self._names, self.config.images is not None)
        return stamps is not None and all(stamp.source_ns > after_ns for stamp in stamps)

    def _wait_for_answer(self) -> None:
        if not self._inbox.wait_for(lambda: self._complete(self.after_ns), _ANSWER_S):
            raise ConnectionError(f"robot 'ros2' did not answer the last command within {_ANSWER_S:.0f} s")

    def _wait_for_robot(self) -> None:
        config = self.config
        deadline_s = time.monotonic() + config.connect_s
        self._inbox.wait_for(self._complete, config.connect_s)
        where = f"within {config.connect_s:g} s (DDS domain {self._node.domain if self._node else 0})"
        if not self._states.heard:
            raise SimrealError(f"nothing on topic {config.states!r} {where}")
        positions, stamp = self._inbox.positions(self._names, config.states)
        self._width_m = sum(positions[len(config.joints) :])
        if config.images is not None:
            if (image := self._inbox.image) is None:
                raise SimrealError(f"nothing on topic {config.images!r} {where}")
            rgb_of_image(image[0])  # what cannot be read is told now
        while not subscribers(self._commands):
            if time.monotonic() > deadline_s:
                raise SimrealError(f"nobody hears topic {config.commands!r} {where}")
            time.sleep(0.01)
        # In lock-step the world waits: the time since a stamp says nothing.
        if config.stamps_trusted and not config.lock_step and abs(stamp.delay_s) > _CLOCKS_DIFFER_S:
            raise SimrealError(
                f"topic {config.states!r} is stamped {stamp.delay_s:.1f} s before it arrives: synchronize"
                " the clocks, or set stamps_trusted to false"
            )
