"""Whatever comes in, what is sent satisfies every limit; a planted fault shows that the test would fire."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.controller import Kinematics
from envs.robots import PANDA
from simreal.deploy.braking import Braking, Motion
from simreal.deploy.limits import JointLimits, Limits
from simreal.deploy.safety import SafetyFilter
from simreal.errors import SimrealError

PERIODS = (0.05, 0.02, 0.01)
HOME = np.array(PANDA.home_rad)
LIMITS = Limits.of_robot("panda", PANDA.joint_names)
KINDS = ("nan", "infinite", "alternation", "jumps", "far", "walk", "still", "one bad")


@pytest.fixture(scope="module")
def kinematics() -> Iterator[Kinematics]:
    found = Kinematics(PANDA)
    yield found
    found.close()


def violations(limits: Limits, period_s: float, sent: list[np.ndarray], kinematics=None) -> set[str]:
    """Return the limits that a sequence of commands (T, n) breaks, from its differences alone.

    The gripper is checked with PyBullet's own kinematics.
    """
    positions, joints = np.array(sent), list(limits.joints.values())
    if not np.isfinite(positions).all():
        return {"not finite"}
    found = set()
    low, high = (np.array([getattr(joint, name) for joint in joints]) for name in ("lower_rad", "upper_rad"))
    if (positions < low).any() or (positions > high).any():
        found.add("position")
    rates = positions
    for name in ("velocity_rad_s", "acceleration_rad_s2", "jerk_rad_s3"):
        rates = (
            np.diff(rates, axis=0, prepend=rates[:1] if name == "velocity_rad_s" else 0 * rates[:1])
            / period_s
        )
        if (np.abs(rates) > [getattr(joint, name) for joint in joints]).any():
            found.add(name.split("_")[0])
    if kinematics is not None and limits.gripper is not None:
        tips = np.array([kinematics.forward(row) for row in positions])
        if (tips < limits.gripper.low_m).any() or (tips > limits.gripper.high_m).any():
            found.add("workspace")
        if (tips[:, 2] < limits.gripper.table_m).any():
            found.add("table")
        steps = np.linalg.norm(np.diff(tips, axis=0), axis=1)
        if len(steps) and steps.max() > limits.gripper.speed_m_s * period_s:
            found.add("gripper step")
    return found


def targets(kind: str, rng: np.random.Generator, sent: np.ndarray, tick: int) -> np.ndarray:
    size = len(sent)
    if kind == "nan":
        return np.full(size, np.nan)
    if kind == "infinite":
        return np.where(rng.random(size) < 0.5, np.inf, -np.inf)
    if kind == "alternation":
        return np.full(size, 1e9 if tick % 2 else -1e9)
    if kind == "jumps":
        return rng.uniform(-4, 4, size)
    if kind == "far":
        return np.where(np.arange(size) % 2, 10.0, -10.0)
    if kind == "walk":
        return sent + rng.normal(0, 0.2, size)
    if kind == "one bad":
        return np.where(np.arange(size) == tick % size, np.nan, sent)
    return sent


def drive(safety: SafetyFilter, start: np.ndarray, segments: list[tuple[str, int]], seed: int) -> list:
    """Feed segments of nonsense to a filter and return what was sent, the start first."""
    rng, sent = np.random.default_rng(seed), [start]
    safety.reset(start)
    for kind, length in segments:
        for tick in range(length):
            measured = sent[-1] + rng.normal(0, 0.02, len(start))
            if rng.random() < 0.05:
                measured = np.full(len(start), np.nan)
            sent.append(safety.filter(targets(kind, rng, sent[-1], tick), measured).sent)
    return sent


PARTS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 40)), min_size=1, max_size=4)


@st.composite
def joint_limits(draw) -> JointLimits:
    number = lambda low, high: draw(st.floats(low, high))  # noqa: E731
    return JointLimits(
        number(-3, -0.3), number(0.3, 3), number(0.2, 4), number(0.5, 30),
        10 ** draw(st.floats(1.0, 4.0)),  # at the lower end the jerk limit binds at every step
    )  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(joint_limits(), min_size=1, max_size=3), st.sampled_from(PERIODS), PARTS, st.integers(0, 99))
def test_every_command_is_within_the_joint_limits(joints, period_s, parts, seed) -> None:
    limits = Limits({str(index): joint for index, joint in enumerate(joints)}, None)
    start = np.random.default_rng(seed).uniform([j.lower_rad for j in joints], [j.upper_rad for j in joints])
    start = np.clip(start, -0.29, 0.29) if seed % 2 else start  # at a limit, or well inside
    safety = SafetyFilter(limits, period_s)
    start = np.clip(start, safety.lower, safety.upper)
    assert violations(limits, period_s, drive(safety, start, parts, seed)) == set()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(PERIODS), PARTS, st.integers(0, 99))
def test_every_command_is_within_the_panda_s_limits(kinematics, period_s, parts, seed) -> None:
    rng = np.random.default_rng(seed)
    gripper = rng.uniform((0.3, -0.4, 0.03), (0.6, 0.4, 0.6))
    start = HOME
    for _ in range(5):
        start = kinematics.inverse(start, gripper)
    safety = SafetyFilter(LIMITS, period_s, kinematics.forward_many)
    try:
        safety.reset(start)
    except SimrealError:
        start = HOME
    assert violations(LIMITS, period_s, drive(safety, start, parts, seed), kinematics) == set()


class Greedy(SafetyFilter):
    """A filter with a fault: it keeps to the rates, but does not think of braking."""

    def _safe(self, wish, reasons):
        low, high = self.braking.window(self._now)
        return self._now.next(np.clip(wish, low, high), self.period_s)

    def _towards(self, goal, reasons):
        motion = self._now
        low, high = self.braking.window(motion)
        velocity = (goal - motion.position) / self.period_s
        return np.clip((velocity - motion.velocity) / self.period_s, low, high)


def test_a_planted_fault_is_found(kinematics) -> None:
    found = set()
    for seed in range(4):
        safety = Greedy(LIMITS, 0.05, kinematics.forward_many)
        sent = drive(safety, HOME, [("jumps", 60), ("alternation", 60), ("far", 40)], seed)
        found |= violations(LIMITS, 0.05, sent, kinematics)
    assert found >= {"position", "workspace", "gripper step"}


@pytest.mark.parametrize(
    ("name", "move"),
    [
        ("not finite", [0, np.nan]),
        ("position", [*np.linspace(0, 3, 2000)]),
        ("velocity", [0, 0.2]),
        ("acceleration", [0, 0.05]),
        ("jerk", [0, 0.01, 0, 0.01]),
        ("table", [*np.linspace(0, 0.6, 400)]),
        ("workspace", [*np.linspace(0, 1.5, 400)]),
    ],
)
def test_the_check_sees_each_limit(kinematics, name, move) -> None:
    joint = 1 if name == "table" else 0
    sent = [HOME + value * np.eye(7)[joint] for value in move]
    period_s = 0.001 if name == "jerk" else 0.05
    assert name in violations(LIMITS, period_s, sent, kinematics)


@pytest.mark.parametrize("period_s", PERIODS)
def test_it_arrives_at_what_may_be_reached(period_s: float) -> None:
    rng = np.random.default_rng(1)
    safety = SafetyFilter(LIMITS, period_s)
    safety.reset(HOME)
    for _ in range(3):
        goal = rng.uniform(safety.lower + 0.11, safety.upper - 0.11)
        for _ in range(round(8 / period_s)):
            filtered = safety.filter(goal, safety.sent)
        assert np.abs(filtered.sent - goal).max() < 1e-6
        assert filtered.changed == ()


def test_it_slides_along_the_table(kinematics: Kinematics) -> None:
    safety = SafetyFilter(LIMITS, 0.05, kinematics.forward_many)
    safety.reset(HOME)
    for _ in range(150):
        aim = kinematics.forward(safety.sent) + np.array([0.0, 0.02, -0.05])  # into the table, and along it
        filtered = safety.filter(kinematics.inverse(safety.sent, aim), safety.sent)
    _, y, z = kinematics.forward(safety.sent)
    assert "table" in filtered.changed
    assert LIMITS.gripper is not None
    assert z == pytest.approx(LIMITS.gripper.table_m, abs=2e-3)
    assert y > 0.1  # it goes on, at the pace that braking before the table leaves it


def test_what_may_be_sent_is_sent_unchanged() -> None:
    safety = SafetyFilter(LIMITS, 0.05)
    safety.reset(HOME)
    aim = HOME + 1e-3
    filtered = safety.filter(aim, HOME)
    assert filtered.changed == ()
    assert np.abs(filtered.sent - aim).max() < 1e-9


def test_what_was_changed_is_said() -> None:
    safety = SafetyFilter(LIMITS, 0.05)
    safety.reset(HOME)
    assert {"lead", "velocity", "acceleration"} <= set(safety.filter(HOME + 9, HOME).changed)
    assert "position" in safety.filter(HOME + 9, HOME + 9).changed
    assert safety.filter(np.full(7, np.nan), HOME).changed == ("not finite",)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PERIODS), st.floats(1, 4), st.integers(0, 999))
def test_braking_ends_in_time_and_its_rest_is_its_own(period_s: float, jerk: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    velocity, acceleration = rng.uniform(0.2, 3, 4), rng.uniform(1, 20, 4)
    braking = Braking(velocity, acceleration, np.full(4, 10**jerk), period_s)
    motion = Motion(np.zeros(4), rng.uniform(-velocity, velocity), rng.uniform(-acceleration, acceleration))
    path = braking.path(motion)
    assert (len(path.positions) - 1) * period_s <= braking.seconds + period_s
    tail = braking.path(motion.next(braking.acceleration(motion), period_s))
    rest = path.positions[1:]
    assert np.abs(tail.positions[: len(rest)] - rest).max(initial=0) < 1e-12
    # Harder braking stops earlier, softer later: what the search for a stopping point rests on.
    low, high = braking.window(motion)
    tried = low + np.linspace(0, 1, 9)[:, None] * (high - low)
    stops = braking.path(motion.next(tried, period_s))
    assert (np.diff(stops.positions[-1], axis=0)[stops.within.all(axis=0)[None].repeat(8, 0)] > -1e-9).all()


@pytest.mark.parametrize(("joint", "value"), [(0, 3.2), (3, 0.1), (1, 1.7)])
def test_it_does_not_start_outside(kinematics: Kinematics, joint: int, value: float) -> None:
    start = HOME.copy()
    start[joint] = value
    safety = SafetyFilter(LIMITS, 0.05, kinematics.forward_many)
    with pytest.raises(SimrealError, match=r"outside its (limits|workspace)"):
        safety.reset(start)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("velocity_rad_s: 2.175, acceleration_rad_s2: 15.0", "velocity: 2.175"),
            "did you mean 'velocity_rad_s'",
        ),
        (("panda_joint7", "panda_joint8"), "did you mean 'panda_joint7'"),
        (("jerk_rad_s3: 3750.0", "jerk_rad_s3: .inf"), "takes a number"),
        (("[-1.7628, 1.7628]", "[1.7628, -1.7628]"), "is no range"),
        (("soft_zone_rad: 0.1", "soft_zone_rad: 0"), "above 0"),
    ],
)
def test_a_limits_file_is_checked(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    import simreal.deploy.limits as module

    text = (Path(module.__file__).parent / "limits" / "panda.yaml").read_text()
    assert change[0] in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(*change))
    with pytest.raises(SimrealError, match=words) as caught:
        Limits.read(path, PANDA.joint_names)
    assert str(path) in str(caught.value)
