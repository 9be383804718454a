import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from simreal.deploy.camera import CameraConfig, OpenCvCamera, RobotWithCamera
from simreal.errors import SimrealError


class Stream(http.server.ThreadingHTTPServer):
    """A network camera on the loopback: MJPEG, its frames ever brighter."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Sender)
        self.plugged, self.frozen = True, False
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def unplug(self) -> None:
        self.plugged = False
        self.shutdown()
        self.server_close()


class Sender(http.server.BaseHTTPRequestHandler):
    server: Stream

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for index in range(600):
            while self.server.frozen and self.server.plugged:
                time.sleep(0.01)
            if not self.server.plugged:
                return
            image = np.zeros((48, 64, 3), np.uint8)
            image[..., 2] = min(255, 50 + index)  # BGR: red
            jpeg = cv2.imencode(".jpg", image)[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")
            time.sleep(1 / 30)


@pytest.fixture
def stream() -> Iterator[Stream]:
    server = Stream()
    yield server
    if server.plugged:
        server.unplug()


def url(stream: Stream) -> str:
    return f"http://127.0.0.1:{stream.server_port}/camera.mjpg"


def test_the_newest_frame_with_time_and_age(stream: Stream) -> None:
    camera = OpenCvCamera(CameraConfig(url(stream)))
    started_s = time.monotonic()
    camera.connect()
    time.sleep(0.5)  # nobody reads, and yet no frame is old
    frame = camera.read()
    assert frame.image.shape == (48, 64, 3)
    assert frame.image[..., 0].mean() > 45 > 10 > frame.image[..., 1:].mean()  # RGB
    assert started_s < frame.time_s < time.monotonic()
    assert frame.age_s < 0.2
    assert frame.index >= 5
    assert camera.wait_for_newer(frame.time_s, 1.0)
    assert camera.read().index > frame.index
    camera.disconnect()
    camera.disconnect()
    with pytest.raises(SimrealError, match="not connected"):
        camera.read()


def test_unplugged_and_plugged_again_it_recovers(stream: Stream) -> None:
    camera = OpenCvCamera(CameraConfig(url(stream)))
    camera.connect()
    assert camera.is_connected
    port = stream.server_port
    stream.unplug()
    wait_until(lambda: not camera.is_connected)
    time.sleep(0.3)
    frame = camera.read()  # the last one, and it says how old it is
    assert frame.age_s > 0.25
    assert camera.losses == 1
    again = Stream(port)
    assert camera.wait_for_newer(time.monotonic(), 5.0)
    assert camera.is_connected
    assert camera.read().age_s < 0.2
    assert camera.read().index > frame.index
    camera.disconnect()
    again.unplug()


def test_a_camera_that_freezes_grows_old_and_recovers(stream: Stream) -> None:
    camera = OpenCvCamera(CameraConfig(url(stream)))
    camera.connect()
    stream.frozen = True
    time.sleep(0.4)
    assert camera.read().age_s > 0.25
    stream.frozen = False
    assert camera.wait_for_newer(time.monotonic(), 5.0)
    camera.disconnect()


def test_a_camera_that_hangs_does_not_hang_the_program(stream: Stream) -> None:
    camera = OpenCvCamera(CameraConfig(url(stream)))
    camera.connect()
    stream.frozen = True
    time.sleep(0.1)
    started_s = time.monotonic()
    camera.disconnect()
    assert time.monotonic() - started_s < 1.5


@pytest.fixture
def video(tmp_path: Path) -> str:
    path = str(tmp_path / "video.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 50, (64, 48))
    for index in range(10):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    return path


def test_a_file_plays_at_its_own_rate_and_again(video: str) -> None:
    camera = OpenCvCamera(CameraConfig(video))
    camera.connect()
    first = camera.read()
    time.sleep(0.5)
    last = camera.read()
    rate_hz = (last.index - first.index) / (last.time_s - first.time_s)
    assert 25 < rate_hz < 55
    assert camera.losses >= 1  # it has ended, and begun again
    camera.disconnect()


@pytest.mark.parametrize("source", ["77", "/nowhere/video.mp4", "http://127.0.0.1:9/camera"])
def test_a_source_that_never_opens_is_named(source: str) -> None:
    camera = OpenCvCamera(CameraConfig(source, open_s=0.5))
    with pytest.raises(SimrealError, match=rf"camera '{source}' does not open within 0\.5 s"):
        camera.connect()
    assert not camera.is_connected
    assert not [t for t in threading.enumerate() if t.name == "camera"]


def test_a_configuration_that_cannot_be() -> None:
    with pytest.raises(SimrealError, match="source"):
        CameraConfig("")
    with pytest.raises(SimrealError, match=r"width.*-1"):
        CameraConfig("0", width=-1)


class Arm:
    """A robot without a camera."""

    name = "arm"
    observation_features = action_features = {"a.pos": float}
    is_connected = False

    def connect(self, calibrate: bool = True) -> None:
        self.is_connected = True

    def disconnect(self) -> None:
        self.is_connected = False

    def get_observation(self) -> dict[str, Any]:
        return {"a.pos": 0.5}

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        return action


def test_a_robot_with_a_camera(video: str) -> None:
    robot = RobotWithCamera(Arm(), OpenCvCamera(CameraConfig(video)), "front")
    robot.connect()
    assert robot.is_connected
    assert robot.observation_features == {"a.pos": float, "front": (48, 64, 3)}
    before_s = time.monotonic()
    observation = robot.get_observation()
    assert observation["a.pos"] == 0.5
    assert observation["front"].shape == (48, 64, 3)
    assert before_s - 1.0 < robot.observation_time_s < before_s + 0.1  # the frame's, which is older
    assert robot.observation_time_s == pytest.approx(robot.camera.read().time_s, abs=0.1)
    robot.disconnect()
    assert not robot.is_connected


def wait_until(condition: Any, timeout_s: float = 5.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)
