"""`OpenCvCamera`: any `cv2.VideoCapture` source, grabbed by a thread of its own; and a robot that has one."""

import math
import os
import threading
import time
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from simreal.deploy.robot import Features, Robot, Values
from simreal.errors import SimrealError

_RETRY_S = 0.25  # between two tries to open a source that is gone
_NETWORK_MS = 2000  # FFmpeg's own limits are half a minute


@dataclass(frozen=True, eq=False)
class Frame:
    """One image and when it was grabbed."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    time_s: float
    """`time.monotonic()` when the driver gave it."""
    index: int
    """Frames grabbed before it."""

    @property
    def age_s(self) -> float:
        """Seconds since it was grabbed."""
        return time.monotonic() - self.time_s


@dataclass(frozen=True)
class CameraConfig:
    """Which source, and what is asked of it."""

    source: str
    """Number of a device, file, or URL; a file plays at its own rate, again and again."""
    width: int | None = None
    """Pixels; None takes what the source gives."""
    height: int | None = None
    rate_hz: float | None = None
    open_s: float = 10.0
    """How long `connect` waits for the first frame, seconds."""

    def __post_init__(self) -> None:
        if not self.source:
            raise SimrealError("source: takes the number of a device, a file or a URL, not ''")
        for name in ("width", "height", "rate_hz", "open_s"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise SimrealError(f"{name}: takes a number above 0, not {value!r}")


class OpenCvCamera:
    """Keeps the newest frame; a source that goes away is opened again until it is back."""

    def __init__(self, config: CameraConfig) -> None:
        self.config = config
        self.losses = 0
        """How often the source went away."""
        self._newest: tuple[NDArray[np.uint8], float, int] | None = None
        self._arrived = threading.Condition()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._opened = False

    @property
    def is_connected(self) -> bool:
        """Whether frames come; false while a source that went away is not back."""
        return self._thread is not None and self._opened

    def connect(self) -> None:
        """Start grabbing and wait for the first frame.

        Raises:
            SimrealError: if none comes, naming the source.
        """
        if self._thread is not None:
            return
        # A source that is away would be told on the terminal at every try; its age says it too.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._closing = threading.Event()  # its own for each thread: one that hung must not come to life
        self._thread = threading.Thread(target=self._grab, args=(self._closing,), name="camera", daemon=True)
        self._thread.start()
        with self._arrived:
            came = self._arrived.wait_for(lambda: self._newest is not None, self.config.open_s)
        if not came:
            what = "opens but gives no frame" if self._opened else "does not open"
            self.disconnect()
            raise SimrealError(f"camera {self.config.source!r} {what} within {self.config.open_s:g} s")

    def disconnect(self) -> None:
        """Stop grabbing and free the source; closing twice is harmless."""
        thread, self._thread = self._thread, None
        self._closing.set()
        if thread is not None:
            thread.join(1.0)  # a driver that hangs keeps its thread, not the program
        self._newest, self._opened = None, False

    def read(self) -> Frame:
        """Return the newest frame, however old, at once.

        Raises:
            SimrealError: if the camera is not connected.
        """
        newest = self._newest
        if self._thread is None or newest is None:
            raise SimrealError(f"camera {self.config.source!r} is not connected: call connect() first")
        image, time_s, index = newest
        return Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False), time_s, index)

    def wait_for_newer(self, than_s: float, timeout_s: float) -> bool:
        """Wait for a frame that was grabbed after `than_s` (`time.monotonic()`)."""

        def newer() -> bool:
            return self._newest is not None and self._newest[1] > than_s

        with self._arrived:
            return self._arrived.wait_for(newer, timeout_s)

    def _grab(self, closing: threading.Event) -> None:
        index = 0
        while not closing.is_set():
            capture = self._open()
            had = index
            if not closing.is_set():
                self._opened = capture.isOpened()
                index = self._grab_until_lost(capture, index, closing)
            capture.release()
            if not closing.is_set():
                self.losses += int(index > had)
                self._opened = False
            # One that played to its end starts again at once; one that is gone is tried now and then.
            closing.wait(_RETRY_S if index == had else 0.0)

    def _grab_until_lost(self, capture: Any, index: int, closing: threading.Event) -> int:
        period_s = _file_period_s(capture)
        due_s = time.monotonic()
        while capture.grab():
            now_s = time.monotonic()
            read, image = capture.retrieve()
            if not read or closing.is_set():
                break
            with self._arrived:
                self._newest = (image, now_s, index)
                self._arrived.notify_all()
            index += 1
            if period_s:
                due_s = max(due_s + period_s, now_s)
                closing.wait(due_s - now_s)
        return index

    def _open(self) -> Any:
        config = self.config
        if config.source.isascii() and config.source.isdigit():
            capture = cv2.VideoCapture(int(config.source))
        elif "://" not in config.source:
            capture = cv2.VideoCapture(config.source)
        else:
            limits = [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                _NETWORK_MS,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                _NETWORK_MS,
            ]
            capture = cv2.VideoCapture(config.source, cv2.CAP_FFMPEG, limits)
        wanted = {
            cv2.CAP_PROP_FRAME_WIDTH: config.width,
            cv2.CAP_PROP_FRAME_HEIGHT: config.height,
            cv2.CAP_PROP_FPS: config.rate_hz,
        }
        for key, value in wanted.items():
            if value is not None:
                capture.set(key, value)
        return capture


class RobotWithCamera:
    """A robot and a camera as one robot, for robots whose camera is not on their own wire."""

    def __init__(self, robot: Robot, camera: OpenCvCamera, key: str = "main") -> None:
        """Add the camera's image to the robot's observations under `key`."""
        self.robot, self.camera, self.key = robot, camera, key
        self.name = robot.name
        self.observation_time_s = -math.inf
        self._shape: tuple[int, ...] = (480, 640, 3)

    @property
    def observation_features(self) -> Features:
        """The robot's, and the image; its true shape once connected."""
        return self.robot.observation_features | {self.key: self._shape}

    @property
    def action_features(self) -> Features:
        """The robot's."""
        return self.robot.action_features

    @property
    def is_connected(self) -> bool:
        """Whether both are."""
        return self.robot.is_connected and self.camera.is_connected

    def connect(self, calibrate: bool = True) -> None:
        """Connect the camera, then the robot."""
        self.camera.connect()
        try:
            self._shape = self.camera.read().image.shape
            self.robot.connect(calibrate)
        except BaseException:
            self.camera.disconnect()
            raise

    def disconnect(self) -> None:
        """Disconnect both."""
        try:
            self.robot.disconnect()
        finally:
            self.camera.disconnect()

    def get_observation(self) -> Values:
        """Return the robot's observation with the newest frame."""
        asked_s = time.monotonic()
        observation = self.robot.get_observation()
        frame = self.camera.read()
        robot_s = getattr(self.robot, "observation_time_s", None)
        self.observation_time_s = min(asked_s if robot_s is None else robot_s, frame.time_s)
        return observation | {self.key: frame.image}

    def send_action(self, action: Values) -> Values:
        """Pass the action to the robot."""
        return self.robot.send_action(action)


def _file_period_s(capture: Any) -> float:
    """Return seconds a frame of a file, which would be read at once; 0 for a live source."""
    if not capture.isOpened() or capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0:
        return 0.0
    rate_hz = capture.get(cv2.CAP_PROP_FPS)
    return 1.0 / rate_hz if rate_hz > 0 else 1 / 30
