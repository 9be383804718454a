import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest

from simreal.deploy.robot import EpisodeRobot, Mapping, Robot
from simreal.deploy.simulated import SimulatedRobot
from simreal.errors import SimrealError
from simreal.targets import load_named


@pytest.fixture(scope="module")
def lock_step() -> Iterator[SimulatedRobot]:
    robot = SimulatedRobot(pacing="lock-step", command_multiple=5)
    robot.connect()
    yield robot
    robot.disconnect()


def joints(robot: SimulatedRobot) -> np.ndarray:
    seen = robot.get_observation()
    return np.array([seen[f"{name}.pos"] for name in robot.joint_names])


def send(robot: SimulatedRobot, targets: np.ndarray) -> None:
    robot.send_action({f"{name}.pos": value for name, value in zip(robot.joint_names, targets, strict=True)})


def test_it_has_the_shape_of_a_robot(lock_step: SimulatedRobot) -> None:
    assert isinstance(lock_step, Robot)
    assert isinstance(lock_step, EpisodeRobot)
    Mapping.default(lock_step.joint_names).check(lock_step)
    seen = lock_step.get_observation()
    assert set(seen) == set(lock_step.observation_features)
    assert seen["main"].shape == lock_step.observation_features["main"]
    assert seen["main"].dtype == np.uint8
    with pytest.raises(SimrealError, match=r"action has no 'panda_joint1.pos'"):
        lock_step.send_action({})


def test_a_seed_and_a_domain_make_the_episode(lock_step: SimulatedRobot) -> None:
    def first(seed: int, domain: str) -> tuple[np.ndarray, np.ndarray]:
        lock_step.reset(seed, load_named(domain))
        return joints(lock_step), lock_step.get_observation()["main"]

    pose, image = first(7, "nominal")
    assert np.array_equal(first(8, "nominal")[0], pose) is False
    again, same = first(7, "nominal")
    assert np.array_equal(again, pose)
    assert np.array_equal(same, image)
    assert not np.array_equal(first(7, "hue-shift@3")[1], image)


def test_a_command_lets_its_share_of_the_period_go_by(lock_step: SimulatedRobot) -> None:
    lock_step.reset(1, load_named("nominal"))
    start = joints(lock_step)
    for count in range(1, 11):
        send(lock_step, start + 0.1)
        periods = count // 5  # twelve physics steps of 1/240 s, over five commands
        assert lock_step.latest()["world_s"] == pytest.approx(periods * 0.05)
        assert np.array_equal(joints(lock_step), start) == (periods == 0)  # told once a control period


@pytest.mark.parametrize(("domain", "periods"), [("nominal", 0), ("action-delay@3", None)])
def test_a_command_is_as_late_as_the_domain_says(lock_step, domain: str, periods: int | None) -> None:
    lock_step.reset(2, load_named(domain))
    start = joints(lock_step)
    delay = load_named(domain).to_plain().get("sensing", {}).get("action_delay_steps", 0)
    assert periods is None or delay == periods
    assert domain == "nominal" or delay > 0
    moved = []
    for _ in range(5 * (int(delay) + 2)):
        send(lock_step, start + 0.1)
        moved.append(np.abs(joints(lock_step) - start).max() > 0.01)
    assert moved.index(True) + 1 == 5 * (int(delay) + 1)


def test_in_real_time_physics_follows_the_clock() -> None:
    robot = SimulatedRobot()
    robot.connect()
    try:
        robot.reset(0)
        began, start = time.monotonic(), joints(robot)
        send(robot, start + 0.05)
        time.sleep(0.5)
        seen = robot.get_observation()
        record = robot.latest()
        # What a busy machine made it lose is counted; what it is behind now, it may be for 0.1 s.
        assert record["world_s"] == pytest.approx(record["time_s"] - began - record["slipped_s"], abs=0.11)
        assert np.abs(joints(robot) - start - 0.05).max() < 0.03
        assert seen["panda_joint1.pos"] != start[0]
        assert robot.observation_time_s is not None
        os.kill(robot.pid or 0, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while robot.is_connected and time.monotonic() < deadline:
            time.sleep(0.001)
        for act in (robot.get_observation, lambda: send(robot, start), lambda: robot.reset(0)):
            with pytest.raises(ConnectionError, match="has died"):
                act()
    finally:
        robot.disconnect()
    with pytest.raises(ConnectionError, match="not connected"):
        robot.get_observation()
    robot.disconnect()  # twice is harmless


def test_the_process_ends_with_its_owner(lock_step: SimulatedRobot) -> None:
    robot = SimulatedRobot(pacing="lock-step")
    robot.connect()
    process = robot._process
    robot._connection.close()
    process.join(10)
    assert process.exitcode == 0


def test_an_unknown_environment() -> None:
    with pytest.raises(SimrealError, match="did you mean 'simreal/PandaReach-v0'"):
        SimulatedRobot("simreal/PandaReech-v0")
