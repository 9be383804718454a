"""The robot's side of the loop: its observation made the policy's, as in simulation, and targets sent."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from envs.controller import Kinematics
from policies import BundleManifest
from simreal.deploy.robot import Mapping, Robot, Values


@dataclass(frozen=True, eq=False)
class Seen:
    """One observation."""

    joints_rad: NDArray[np.float64]
    """(n,), measured, in the policy's order."""
    width_m: float
    policy: dict[str, NDArray[Any]]
    """What the policy reads."""
    time_s: float
    """Of its oldest part, by the loop's clock."""


class LostRobotError(Exception):
    """The robot can be neither seen nor moved."""


class BadObservationError(Exception):
    """An observation that nothing may be concluded from."""


class RobotSide:
    """Reads and moves a robot in the policy's terms."""

    def __init__(
        self, robot: Robot, mapping: Mapping, manifest: BundleManifest, kinematics: Kinematics
    ) -> None:
        shapes = manifest.policy.observation_shapes
        self._image_size = shapes["image"][0] if "image" in shapes else None
        self._robot, self._mapping, self._kinematics = robot, mapping, kinematics

    def observe(self, now_s: float, oldest_s: float) -> Seen:
        """Return what the robot sees.

        Args:
            now_s: The present.
            oldest_s: Age above which an observation is stale, seconds.

        Raises:
            LostRobotError: if its driver raises, or says that it is not connected.
            BadObservationError: if the observation is stale, not finite, or lacks something.
        """
        try:
            values, connected = self._robot.get_observation(), self._robot.is_connected
        except Exception as error:  # whatever a driver raises, there is nothing to see
            raise LostRobotError(one_line(error)) from error
        if not connected:
            raise LostRobotError("it says that it is not connected")
        time_s = getattr(self._robot, "observation_time_s", None)  # None also where nobody knows
        seen = self.read(values, now_s if time_s is None else time_s)
        if now_s - seen.time_s > oldest_s:
            age_s = now_s - seen.time_s
            raise BadObservationError(f"stale observation: {age_s:.3f} s old, at most {oldest_s:g} s")
        return seen

    def read(self, values: Values, time_s: float) -> Seen:
        """Return what a robot's values say.

        Raises:
            BadObservationError: if a value is missing or not finite, or the image is none.
        """
        try:
            joints, width = self._mapping.joint_positions(values), self._mapping.gripper_width(values)
        except (KeyError, TypeError, ValueError) as error:
            raise BadObservationError(f"joint positions: {type(error).__name__}: {one_line(error)}") from None
        if not np.isfinite([*joints, width]).all():
            raise BadObservationError("a joint position that is not finite")
        position = self._kinematics.forward(joints)
        policy: dict[str, NDArray[Any]] = {"proprio": np.array([*joints, *position, width], np.float32)}
        if self._image_size is not None:
            policy["image"] = fitted(values.get(self._mapping.camera or ""), self._image_size)
        return Seen(joints, width, policy, time_s)

    def send(self, targets_rad: NDArray[np.float64], width_m: float | None) -> NDArray[np.float64]:
        """Send joint targets (n,) and return what was really sent, (n,) rad.

        Raises:
            LostRobotError: if the driver raises.
        """
        try:
            sent = self._robot.send_action(self._mapping.action(targets_rad, width_m))
        except Exception as error:  # as above
            raise LostRobotError(one_line(error)) from error
        channels = self._mapping.joints.values()
        pairs = zip(channels, targets_rad, strict=True)
        return np.array([c.to_policy(float(sent[c.key])) if c.key in sent else q for c, q in pairs])


def one_line(error: BaseException) -> str:
    """Return what an error says, in one line; its type if it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def fitted(image: Any, size: int) -> NDArray[np.uint8]:
    """Return the central square of an image uint8 (H, W, 3), as (size, size, 3).

    Each pixel is the mean of the area that it covers.

    Raises:
        BadObservationError: if it is no such image.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] != (3,):
        found = f"{image.dtype}{image.shape}" if isinstance(image, np.ndarray) else repr(image)
        raise BadObservationError(f"the camera gives {found}; wanted uint8 (height, width, 3)")
    height, width, _ = image.shape
    if (height, width) == (size, size):
        return image
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = image[top : top + edge, left : left + edge]
    return np.asarray(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
