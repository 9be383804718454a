"""Each thing that can go wrong is made to happen, and the time until the stated state is measured."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401  registers the ids
from policies import Policy
from simreal.bundles import describe
from simreal.deploy.clock import Pacer, Unpaced
from simreal.deploy.config import LoopConfig
from simreal.deploy.drift import DriftStatistics, calibrate
from simreal.deploy.fit import make_controller
from simreal.deploy.limits import JointLimits, Limits
from simreal.deploy.loop import ControlLoop
from simreal.deploy.robot import Mapping, Values
from simreal.deploy.runtime import Decision, TorchRuntime
from simreal.deploy.safety import SafetyFilter
from simreal.deploy.simulated import SimulatedRobot
from simreal.deploy.states import State, Transition
from simreal.evaluate import episode_seeds
from simreal.pretrain.architecture import student_config
from simreal.rollout import rollout

PERIOD_S = 0.05
MAX_AGE_S = 0.2
STEPS = 36
SLACK_S = 0.03  # of the machine: Python, the scheduler, the other process
Hook = Callable[[Values], Values]


@pytest.fixture(scope="module")
def bundle():
    env = gymnasium.make("simreal/PandaReach-v0")
    yield describe(Policy(student_config(env)).eval(), env, "simreal/PandaReach-v0", "source", 0, {})
    env.close()


@pytest.fixture(scope="module")
def controller(bundle):
    return make_controller(bundle.manifest)


@pytest.fixture(scope="module")
def simulation() -> Iterator[SimulatedRobot]:
    robot = SimulatedRobot()
    robot.connect()
    yield robot
    robot.disconnect()


@pytest.fixture
def world(simulation: SimulatedRobot) -> SimulatedRobot:
    simulation.reset(3)  # in the middle of the workspace
    return simulation


class Sideways:
    """A policy in mid-motion: full speed to one side, and back after half a second."""

    drift: Any = None

    def __init__(self, manifest, fault: Callable[[], None] = lambda: None) -> None:
        self.manifest, self.fault, self.count, self.feature = manifest, fault, 0, 0.0

    def decide(self, observation) -> Decision:
        self.fault()
        self.count += 1
        way = 0.05 if (self.count // 10) % 2 else -0.05
        return Decision(np.array([0, way, 0], np.float32), np.full(4, self.feature, np.float32))


class Faulty:
    """A real simulated robot whose driver can be made to err."""

    def __init__(self, inner: SimulatedRobot) -> None:
        self.inner, self.name = inner, inner.name
        self.seen: Hook = lambda values: values
        self.sent: list[Values] = []
        self.frozen_s: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def observation_time_s(self) -> float:
        return self.inner.observation_time_s if self.frozen_s is None else self.frozen_s

    def get_observation(self) -> Values:
        return self.seen(self.inner.get_observation())

    def send_action(self, action: Values) -> Values:
        self.sent.append(action)
        return self.inner.send_action(action)


def make_loop(robot, runtime, controller, clock=None, **config: Any) -> ControlLoop:
    names = controller.kinematics.joint_names
    config = {"max_age_s": MAX_AGE_S, "recover_s": 0.1, "hold_s": 0.6} | config
    settings = LoopConfig(**config)
    period_s = PERIOD_S / settings.command_multiple
    safety = SafetyFilter(Limits.of_robot("panda", names), period_s, controller.kinematics.forward_many)
    return ControlLoop(
        robot, Mapping.default(names), runtime, controller, safety, clock or Pacer(period_s), settings
    )


class Trial:
    """A loop in motion, something that happens to it after 0.4 s, and what it did then."""

    def __init__(self, loop: ControlLoop, happen: Callable[[], Any]) -> None:
        self.loop, self.happened_s = loop, 0.0

        def act() -> None:
            self.happened_s = time.monotonic()
            happen()

        timer = threading.Timer(0.4, act)
        with loop:
            loop.start()
            timer.start()
            self.episode = loop.run(STEPS)
            loop.stop("finished")
        timer.join()

    def seconds_to(self, state: State) -> tuple[float, str]:
        """Return how long after the event a state was reached, and its cause; less what the machine lost."""
        change = next(t for t in self.changes if t.after is state and t.time_s >= self.happened_s)
        timing = self.loop.clock.timing
        lost_s = timing.lateness.maximum + timing.work.maximum
        return change.time_s - self.happened_s - lost_s, change.cause

    @property
    def changes(self) -> list[Transition]:
        return list(self.loop.supervisor.machine.transitions)

    @property
    def braking_s(self) -> float:
        return self.loop.safety.braking.seconds


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_a_signal_holds_and_stops(world, bundle, controller, number, name) -> None:
    robot = Faulty(world)
    trial = Trial(
        make_loop(robot, Sideways(bundle.manifest), controller), lambda: os.kill(os.getpid(), number)
    )
    seconds, cause = trial.seconds_to(State.HOLD)
    assert (seconds < PERIOD_S + SLACK_S, cause) == (True, name)
    seconds, cause = trial.seconds_to(State.STOPPED)
    assert seconds < PERIOD_S + trial.braking_s + PERIOD_S + SLACK_S
    assert cause == f"at rest after: {name}"
    # It braked: what was sent last stands still.
    last, before = (np.array(list(values.values())) for values in (robot.sent[-1], robot.sent[-2]))
    assert np.abs(last - before).max() < 1e-6
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # given back


def test_a_second_signal_does_not_wait_for_rest(world, bundle, controller) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.005)  # the first has been noted by then
        os.kill(os.getpid(), signal.SIGTERM)

    trial = Trial(make_loop(world, Sideways(bundle.manifest), controller), twice)
    seconds, cause = trial.seconds_to(State.STOPPED)
    assert (seconds < 2 * PERIOD_S + SLACK_S, cause) == (True, "second SIGTERM")


def test_a_policy_that_raises(world, bundle, controller) -> None:
    broken = threading.Event()

    def fault() -> None:
        if broken.is_set():
            raise RuntimeError("no such layer")

    trial = Trial(make_loop(world, Sideways(bundle.manifest, fault), controller), broken.set)
    seconds, cause = trial.seconds_to(State.HOLD)
    assert (seconds < PERIOD_S + SLACK_S, cause) == (True, "the policy raised RuntimeError: no such layer")
    seconds, cause = trial.seconds_to(State.STOPPED)
    assert seconds < PERIOD_S + trial.braking_s + PERIOD_S + SLACK_S
    assert trial.episode.ended == f"stopped: {cause}"


def test_a_policy_s_nan_is_never_sent(world, bundle, controller) -> None:
    robot, policy, broken = Faulty(world), Sideways(bundle.manifest), threading.Event()
    decide = policy.decide

    def spoiled(observation) -> Decision:
        found = decide(observation)
        return Decision(found.action * np.float32(np.nan), None) if broken.is_set() else found

    policy.decide = spoiled  # type: ignore[method-assign]
    trial = Trial(make_loop(robot, policy, controller), broken.set)
    seconds, cause = trial.seconds_to(State.HOLD)
    assert (seconds < PERIOD_S + SLACK_S, cause) == (True, "the policy's action is not finite")
    assert all(np.isfinite(list(values.values())).all() for values in robot.sent)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_joint_that_is_not_finite(world, bundle, controller, value: float) -> None:
    robot = Faulty(world)
    spoiled: Hook = lambda values: values | {"panda_joint3.pos": value}  # noqa: E731
    trial = Trial(
        make_loop(robot, Sideways(bundle.manifest), controller), lambda: setattr(robot, "seen", spoiled)
    )
    seconds, cause = trial.seconds_to(State.HOLD)
    assert (seconds < PERIOD_S + SLACK_S, cause) == (True, "a joint position that is not finite")
    assert all(np.isfinite(list(values.values())).all() for values in robot.sent)
    seconds, cause = trial.seconds_to(State.STOPPED)  # it does not get better
    assert seconds + 0.2 > 0.6 - SLACK_S
    assert seconds < PERIOD_S + 0.6 + PERIOD_S + SLACK_S
    assert cause.startswith("held for 0.6 s")


def test_a_camera_that_gives_no_image_and_comes_back(world, bundle, controller) -> None:
    robot = Faulty(world)
    good: Hook = lambda values: values  # noqa: E731

    def unplug() -> None:
        robot.seen = lambda values: values | {"main": None}
        time.sleep(0.3)
        robot.seen = good

    trial = Trial(make_loop(robot, Sideways(bundle.manifest), controller), unplug)
    seconds, cause = trial.seconds_to(State.HOLD)
    assert seconds < PERIOD_S + SLACK_S
    assert cause.startswith("the camera gives None")
    seconds, cause = trial.seconds_to(State.RUNNING)
    assert seconds < 0.3 + 0.1 + 2 * PERIOD_S + SLACK_S
    assert cause == "good observations for 0.1 s"
    assert trial.episode.steps == STEPS


def test_a_simulator_that_stands_still_is_stale(bundle, controller, world) -> None:
    """The process is stopped by the system, so that really nothing new arrives."""
    trial = Trial(
        make_loop(world, Sideways(bundle.manifest), controller, hold_s=5.0),
        lambda: (os.kill(world.pid, signal.SIGSTOP), time.sleep(0.6), os.kill(world.pid, signal.SIGCONT)),
    )
    seconds, cause = trial.seconds_to(State.HOLD)
    assert seconds < MAX_AGE_S + PERIOD_S + SLACK_S
    assert cause.startswith("stale observation")
    assert trial.seconds_to(State.RUNNING)[0] < 0.6 + 0.1 + 3 * PERIOD_S + SLACK_S


def test_a_robot_that_is_killed_is_lost(bundle, controller) -> None:
    robot = SimulatedRobot()
    robot.connect()
    try:
        trial = Trial(
            make_loop(robot, Sideways(bundle.manifest), controller),
            lambda: os.kill(robot.pid, signal.SIGKILL),
        )
    finally:
        robot.disconnect()
    seconds, cause = trial.seconds_to(State.STOPPED)
    assert seconds < PERIOD_S + 0.1 + SLACK_S  # the system takes a moment to take a process apart
    assert cause == "lost robot: robot 'simulated' has died"
    assert trial.changes[-1].before is State.RUNNING


def test_a_driver_that_raises_is_a_lost_robot(world, bundle, controller) -> None:
    robot = Faulty(world)

    def broken(values: Values) -> Values:
        raise OSError("no answer\non the bus")

    trial = Trial(
        make_loop(robot, Sideways(bundle.manifest), controller), lambda: setattr(robot, "seen", broken)
    )
    seconds, cause = trial.seconds_to(State.STOPPED)
    assert (seconds < PERIOD_S + SLACK_S, cause) == (True, "lost robot: no answer on the bus")


def home_statistics() -> DriftStatistics:
    """Return the statistics of a policy that saw features around zero, and arms all over the place."""
    rng = np.random.default_rng(0)
    features = [rng.normal(0, 1, (50, 4)) for _ in range(20)]
    proprio = [rng.normal(0, 3, (50, 11)) for _ in range(20)]
    return calibrate(features, proprio, 0.01, window=1)


@pytest.mark.parametrize("answer", ["slow", "hold", "stop", "ignore"])
def test_drift_is_answered_as_configured(world, bundle, controller, answer) -> None:
    robot, policy = Faulty(world), Sideways(bundle.manifest)
    policy.drift = home_statistics()
    trial = Trial(
        make_loop(robot, policy, controller, on_drift=answer), lambda: setattr(policy, "feature", 100.0)
    )
    causes = {change.after: change.cause for change in trial.changes}
    if answer in ("slow", "ignore"):
        assert trial.episode.ended == "step limit"
        targets = np.array([list(values.values()) for values in robot.sent])
        fast, slow = (np.abs(np.diff(part, axis=0)).mean() for part in (targets[:9], targets[-26:-8]))
        assert (slow < 0.6 * fast) == (answer == "slow")
        return
    seconds, cause = trial.seconds_to(State.HOLD)
    assert seconds < PERIOD_S + SLACK_S
    assert cause.endswith("of the feature: outside what was trained on")
    assert causes[State.STOPPED].startswith("held for" if answer == "hold" else "at rest after: drift")


def test_an_arm_that_does_not_arrive(world, bundle, controller) -> None:
    robot = Faulty(world)
    stuck = world.get_observation()
    robot.seen = lambda values: values | {"panda_joint1.pos": stuck["panda_joint1.pos"]}
    clock = Unpaced(PERIOD_S)  # 7 s at once
    joints = np.array([stuck[f"{name}.pos"] for name in controller.kinematics.joint_names])
    pose = tuple(joints + 0.3 * np.eye(7)[0])
    loop = make_loop(robot, Sideways(bundle.manifest), controller, clock, start_pose_rad=pose)
    with loop:
        loop.start()
        episode = loop.run(steps=10)
    assert episode.ended == "stopped: at rest after: the arm did not arrive at the start pose"
    assert State.ARMED not in {change.after for change in loop.supervisor.machine.transitions}
    assert clock.now() < 0.3 / 0.3 + 5 + 1


def test_it_ramps_slowly_waits_for_the_go_and_interpolates(world, bundle, controller) -> None:
    robot, go = Faulty(world), threading.Event()
    before = world.get_observation()
    names = controller.kinematics.joint_names
    here = np.array([before[f"{name}.pos"] for name in names])
    pose = tuple(here + 0.1 * np.eye(7)[6])
    loop = make_loop(
        robot, Sideways(bundle.manifest), controller,
        command_multiple=4, start_pose_rad=pose, ramp_speed_rad_s=0.3, ready=go.is_set,
    )  # fmt: skip
    with loop:
        loop.start()
        threading.Timer(0.9, go.set).start()
        loop.run(steps=5)
    changes = list(loop.supervisor.machine.transitions)
    assert [change.after for change in changes[:3]] == [State.RAMP, State.ARMED, State.RUNNING]
    assert 0.1 / 0.3 < changes[1].time_s - changes[0].time_s < 0.8
    assert changes[2].time_s - changes[0].time_s >= 0.9 - SLACK_S
    sent = np.array([[values[f"{name}.pos"] for name in names] for values in robot.sent])
    ramped = sent[: round(0.3 / (PERIOD_S / 4))]
    assert np.abs(np.diff(ramped, axis=0)).max() <= 1.2 * 0.3 * PERIOD_S / 4  # it catches up what it lost
    moving = np.abs(np.diff(sent[-40:], axis=0)).max(axis=1)
    assert (moving > 0).sum() > 20  # commands between decisions differ as well


def test_with_wide_limits_an_episode_is_the_environment_s(bundle) -> None:
    """Step for step: the deployed path adds nothing of its own."""
    controller = make_controller(bundle.manifest)  # new, as the environment's: the solver keeps some history
    runtime, names = TorchRuntime(bundle), controller.kinematics.joint_names
    limits = Limits(dict.fromkeys(names, JointLimits(-9, 9, 1e3, 1e6, 1e9)), None, 1e-3, 10.0)
    robot = Faulty(SimulatedRobot(pacing="lock-step"))
    robot.connect()
    env = gymnasium.make("simreal/PandaReach-v0")
    expected: list[np.ndarray] = []
    found: list[list[float]] = []

    def note(values: Values) -> Values:
        found.append([values[f"{name}.pos"] for name in names])
        return values

    robot.seen = note
    try:
        for seed in episode_seeds(1, 2):
            expected.clear()
            summary = rollout(
                env, bundle.policy.act, seed, before=lambda seen: expected.append(seen["proprio"][:7])
            )
            robot.reset(seed)
            safety, clock = SafetyFilter(limits, PERIOD_S), Unpaced(PERIOD_S)
            with ControlLoop(robot, Mapping.default(names), runtime, controller, safety, clock) as loop:
                loop.start()
                found.clear()
                episode = loop.run(summary.steps, lambda: robot.success)
            assert (episode.steps, robot.success) == (summary.steps, summary.success)
            assert np.abs(np.array(found[: len(expected)]) - expected).max() < 1e-5
    finally:
        env.close()
        robot.disconnect()
