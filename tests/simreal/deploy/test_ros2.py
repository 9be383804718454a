import multiprocessing
import multiprocessing.pool
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cyclonedds", reason="needs the extra ros2")

from simreal.deploy.robot import Mapping, Robot
from simreal.deploy.ros2 import Ros2Robot
from simreal.deploy.ros2_config import Ros2Config
from simreal.deploy.ros2_end import EndConfig, RobotEnd
from simreal.deploy.ros2_inbox import Inbox
from simreal.deploy.ros2_messages import TYPE_HASHES, Header, JointState, String
from simreal.deploy.ros2_node import Node, Received, quality, use_loopback
from simreal.errors import SimrealError

JOINTS = tuple(f"panda_joint{index}" for index in range(1, 8))
FINGERS = ("panda_finger_joint1", "panda_finger_joint2")


@given(st.permutations(JOINTS), st.integers(0, 7))
@settings(max_examples=30)
def test_joints_go_by_name(order: list[str], split: int) -> None:
    inbox = Inbox()
    for names in (order[:split], order[split:]):  # two drivers, each with its own joints
        message = JointState(Header(), list(names), [float(JOINTS.index(name)) for name in names], [], [])
        inbox.on_states(Received(message, 1.0, 0))
    assert inbox.positions(JOINTS, "joint_states")[0] == list(range(7))


def connected(config: Ros2Config | None = None, image: bool = True) -> tuple[RobotEnd, Ros2Robot]:
    """A robot end that has published once, and a robot connected to it."""
    end = RobotEnd((*reversed(JOINTS), *FINGERS), EndConfig())
    robot = Ros2Robot(config or Ros2Config(JOINTS, FINGERS, connect_s=5.0))
    thread = multiprocessing.pool.ThreadPool(1)
    done = thread.apply_async(robot.connect)
    while not done.ready():
        publish(end, 0.0, image)
        time.sleep(0.02)
    done.get()
    return end, robot


def publish(end: RobotEnd, value: float, image: bool = True, late_s: float = 0.0) -> None:
    stamp_ns = time.time_ns() - int(late_s * 1e9)
    end.publish_states(np.arange(9.0) + value, np.zeros(9), stamp_ns)
    if image:
        end.publish_image(np.full((48, 64, 3), 7, np.uint8), stamp_ns)


def close(end: RobotEnd, robot: Ros2Robot) -> None:
    robot.disconnect()
    robot.disconnect()
    end.close()


def test_observations_and_commands_go_over_the_wire(domain: int) -> None:
    end, robot = connected(Ros2Config(JOINTS, FINGERS, fingers_commanded=True))
    assert isinstance(robot, Robot)
    assert robot.is_connected
    mapping = Mapping.default(JOINTS)
    mapping.check(robot)
    before_s = time.monotonic()
    for value in range(1, 20):  # only the newest counts
        publish(end, value)
    assert robot.wait_for_newer(before_s, 2.0)
    time.sleep(0.1)
    observation = robot.get_observation()
    assert mapping.joint_positions(observation).tolist() == [25.0, 24.0, 23.0, 22.0, 21.0, 20.0, 19.0]
    assert mapping.gripper_width(observation) == 26.0 + 27.0
    assert observation["main"].shape == (48, 64, 3) == robot.observation_features["main"]
    assert before_s - 0.05 < robot.observation_time_s < time.monotonic()
    assert set(robot.stamps) == {"joints", "main"}
    assert abs(robot.stamps["main"].source_ns - time.time_ns()) < 1e9

    sent = robot.send_action(mapping.action(np.arange(7.0), 0.06))
    assert sent == mapping.action(np.arange(7.0), 0.06)
    assert end.arrived.wait(2.0)
    command = end.fetch_command()
    assert command is not None
    assert list(command.message.data) == [*range(7), 0.03, 0.03]
    assert command.sent_ns == robot.sent_ns
    assert 0 <= command.age_s < 1.0
    assert end.fetch_command() is None
    with pytest.raises(SimrealError, match=r"action has no 'panda_joint1\.pos'"):
        robot.send_action({"panda_joint2.pos": 0.0})
    close(end, robot)


def test_the_type_hash_is_sent(domain: int) -> None:
    from cyclonedds.qos import Policy

    end, robot = connected()
    reader = robot._states._reader
    (handle,) = reader.get_matched_publications()
    endpoint = reader.get_matched_publication_data(handle)
    assert endpoint.topic_name == "rt/joint_states"
    assert endpoint.type_name == "sensor_msgs::msg::dds_::JointState_"
    expected = f"typehash={TYPE_HASHES[JointState]};".encode()
    assert bytes(endpoint.qos[Policy.Userdata].data) == expected
    assert bytes(quality(String, True, 1)[Policy.Userdata].data).startswith(b"typehash=RIHS01_df66")
    close(end, robot)


def test_what_the_network_held_back_is_old(domain: int) -> None:
    end, robot = connected(image=True)
    publish(end, 0.0, late_s=0.4)
    time.sleep(0.1)
    robot.get_observation()
    assert 0.4 < time.monotonic() - robot.observation_time_s < 0.8
    close(end, robot)


def test_a_publisher_that_leaves(domain: int) -> None:
    end, robot = connected()
    last = robot.get_observation()
    end.close()
    end_s = time.monotonic() + 5.0
    while robot.is_connected and time.monotonic() < end_s:
        time.sleep(0.01)
    assert not robot.is_connected
    again = robot.get_observation()  # its last words are no observation, and what was heard stays old
    assert again["panda_joint1.pos"] == last["panda_joint1.pos"]
    assert robot._states.malformed == 0
    close(end, robot)


def test_what_is_missing_is_named(domain: int) -> None:
    silent = Ros2Robot(Ros2Config(JOINTS, connect_s=0.2))
    with pytest.raises(SimrealError, match=rf"nothing on topic 'joint_states' within 0\.2 s.*{domain}"):
        silent.connect()
    with pytest.raises(SimrealError, match="not connected"):
        silent.get_observation()
    with pytest.raises(SimrealError, match=r"no joint 'panda_joint9'; .*panda_joint"):
        connected(Ros2Config(("panda_joint9",), connect_s=0.5))
    with pytest.raises(SimrealError, match="nothing on topic 'camera/image_raw'"):
        connected(Ros2Config(JOINTS, connect_s=0.5), image=False)
    with pytest.raises(SimrealError, match="'a' is named twice"):
        Ros2Config(("a", "b", "a"))


def test_clocks_that_differ_are_named(domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    true_ns = time.time_ns
    with monkeypatch.context() as patch:
        end = RobotEnd(JOINTS, EndConfig())
        patch.setattr(time, "time_ns", lambda: true_ns() - 5_000_000_000)
        ahead = threading_publish(end, true_ns)
        with pytest.raises(SimrealError, match=r"stamped -5\.0 s before"):
            Ros2Robot(Ros2Config(JOINTS, images=None, connect_s=2.0)).connect()
        trusting = Ros2Robot(Ros2Config(JOINTS, images=None, stamps_trusted=False, connect_s=2.0))
        trusting.connect()
        trusting.disconnect()
        ahead.set()
    end.close()


def threading_publish(end: RobotEnd, clock_ns: Any) -> Any:
    import threading

    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            end.publish_states(np.zeros(7), np.zeros(7), clock_ns())

    threading.Thread(target=work, daemon=True).start()
    return stop


@pytest.mark.parametrize("value", ["-1", "233", "seven", "²"])
def test_a_wrong_domain_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", value)
    with pytest.raises(SimrealError, match=f"ROS_DOMAIN_ID.*'{value}'"):
        Node()


def test_without_the_extra_its_name_is_said() -> None:
    code = "import sys; sys.modules['cyclonedds'] = None\nimport simreal.deploy.{}"
    for module in ("ros2", "ros2_node", "ros2_end"):
        done = subprocess.run([sys.executable, "-c", code.format(module)], capture_output=True, text=True)
        assert "SimrealError: ROS 2 needs the extra ros2: pip install 'simreal[ros2]'" in done.stderr


def _camera(count: int) -> None:
    use_loopback()
    end = RobotEnd(JOINTS, EndConfig())
    frame, next_s = np.zeros((480, 640, 3), np.uint8), time.monotonic()
    end_s = next_s + 10.0
    while not (len(end._images.get_matched_subscriptions()) or time.monotonic() > end_s):
        time.sleep(0.01)
    time.sleep(0.2)
    for index in range(count):
        frame[0, 0] = index
        end.publish_states(np.zeros(7), np.zeros(7), time.time_ns())
        end.publish_image(frame, time.time_ns())
        next_s = max(next_s + 1 / 30, time.monotonic())
        time.sleep(max(0.0, next_s - time.monotonic()))
    time.sleep(0.5)
    end.close()


def test_vga_images_at_30_hz_all_arrive(domain: int) -> None:
    count = 45
    process = multiprocessing.get_context("spawn").Process(target=_camera, args=(count,))
    process.start()
    robot = Ros2Robot(Ros2Config(JOINTS, connect_s=15.0))
    robot.connect()
    seen, spent_s, newest_s = set(), 0.0, 0.0
    while robot.wait_for_newer(newest_s, 1.0, "main"):
        started_s = time.thread_time()
        observation = robot.get_observation()
        spent_s += time.thread_time() - started_s
        newest_s = robot.stamps["main"].received_s
        seen.add(int(observation["main"][0, 0, 0]))
    process.join(10)
    robot.disconnect()
    # None is lost on a quiet machine; the benchmark tells the rate.
    assert len(seen) >= 0.8 * count
    assert spent_s / len(seen) < 0.01  # element by element it takes 0.04 s
