"""Another robot and other tasks, each as a stranger would write it: `envs` must have room for them."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import envs
from envs.camera import DISTRACTOR, GOAL, ROBOT
from envs.parameters import MAX_DISTRACTORS, SceneParameters
from envs.robots import PANDA, Robot, RobotSpec
from envs.simulation import Simulation
from envs.tasks import Reach, Task
from envs.tasks.table import Tabletop
from envs.world import RobotTaskEnv
from policies import Policy
from simreal.pretrain.architecture import student_config, teacher_config

XARM6 = RobotSpec(
    name="xarm6",
    urdf="xarm/xarm6_with_gripper.urdf",
    arm_joints=(1, 2, 3, 4, 5, 6),
    finger_joints=(8, 9, 10, 11, 12, 13),  # two fingers of three hinges, which close towards 0.85 rad
    gripper_link=7,
    hand_link=7,
    home_rad=(0.0, -0.149, -0.986, 0.0, 1.135, 0.0),  # points down, where the Panda's home is
    opening_m=0.088,
    finger_range=(0.85, 0.0),
    position_gain=0.1,
    joint_names=tuple(f"joint{index}" for index in range(1, 7)),
    finger_force=1.0,
    gripper_offset_m=(0.0, 0.0, 0.155),
)


class MovingCube(Task):
    """What Push and Lift share: a box with physics, and a privileged state that tells where it is."""

    half_m: ClassVar[tuple[float, float, float]]
    privileged_order = (
        *(f"{name}_m.{axis}" for name in ("goal", "cube", "gripper") for axis in "xyz"),
        "gripper_width_m",
    )

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._tabletop = Tabletop(simulation)
        self._cube = simulation.add_box(self.half_m, (0.5, 0.0, self.half_m[2]), mass=0.1)
        simulation.client.changeDynamics(self._cube, -1, lateralFriction=0.8)
        self.segments = self._tabletop.segments | {self._cube: GOAL}
        self.goal_m = np.zeros(3)

    def start_position(self, rng: np.random.Generator) -> NDArray[np.float64]:
        return rng.uniform((0.32, -0.1, 0.15), (0.42, 0.1, 0.2))

    def privileged(self, robot: Robot) -> NDArray[np.float32]:
        width = [robot.gripper_width()]
        return np.concatenate([self.goal_m, self.cube_m(), robot.gripper_state()[0], width]).astype(
            np.float32
        )

    def cube_m(self) -> NDArray[np.float64]:
        return np.array(self._simulation.client.getBasePositionAndOrientation(self._cube)[0])

    def put_cube(self, rng: np.random.Generator, scene: SceneParameters) -> NDArray[np.float64]:
        x, y = rng.uniform((0.44, -0.1), (0.5, 0.1))
        self._simulation.place(self._cube, (x, y, self.half_m[2]), rng.uniform(-0.2, 0.2))
        self._tabletop.reset(rng, scene, np.array([[x, y]]))
        return np.array([x, y, self.half_m[2]])


class Push(MovingCube):
    """Push a block to a mark 0.12 m ahead; success within 0.03 m, reward minus the distance in metres."""

    description = "push the block to the mark"
    max_steps = 60
    half_m = (0.03, 0.05, 0.03)

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        self._mark = simulation.add_box((0.03, 0.03, 0.001), (0.6, 0.0, 0.0), collides=False)
        self.segments |= {self._mark: DISTRACTOR + MAX_DISTRACTORS - 1}

    def reset(self, rng: np.random.Generator, scene: SceneParameters) -> None:
        self.goal_m = self.put_cube(rng, scene) + np.array([0.12, 0.0, 0.0])
        self._simulation.place(self._mark, (self.goal_m[0], self.goal_m[1], 0.001))

    def reward(self, robot: Robot) -> tuple[float, bool]:
        distance = float(np.linalg.norm(self.cube_m() - self.goal_m))
        return -distance, distance < 0.03


class Lift(MovingCube):
    """Lift a cube; success 0.1 m above where it stood, reward the height gained in metres."""

    description = "lift the cube"
    max_steps = 60
    uses_gripper = True
    half_m = (0.025, 0.025, 0.025)

    def reset(self, rng: np.random.Generator, scene: SceneParameters) -> None:
        self.goal_m = self.put_cube(rng, scene) + np.array([0.0, 0.0, 0.1])

    def reward(self, robot: Robot) -> tuple[float, bool]:
        missing = float(self.goal_m[2] - self.cube_m()[2])
        return 0.1 - missing, missing <= 0.0


Expert = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], float]]


def reach_expert(state: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    return state[3:6], 1.0  # Reach tells the way itself


def push_expert(state: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    _, cube, gripper = state[:9].reshape(3, 3)
    behind = cube - np.array([0.09, 0.0, 0.0], np.float32)
    if gripper[2] > 0.05 and np.linalg.norm((behind - gripper)[:2]) > 0.02:
        return behind + np.array([0.0, 0.0, 0.1], np.float32) - gripper, 1.0
    if gripper[2] > 0.05:
        return behind - gripper, 1.0
    return np.array([0.03, cube[1] - gripper[1], 0.03 - gripper[2]], np.float32), 1.0


def lift_expert(state: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    way, width = state[3:6] - state[6:9], state[9]
    if width < 0.065:  # around the cube
        return np.array([0.0, 0.0, 0.02], np.float32), -1.0
    if np.linalg.norm(way[:2]) > 0.012 and way[2] < -0.02:
        return way + np.array([0.0, 0.0, 0.08], np.float32), 1.0
    return way, 1.0 if way[2] < -0.012 else -1.0


EXPERTS: dict[type[Task], Expert] = {Reach: reach_expert, Push: push_expert, Lift: lift_expert}
COMBINATIONS = [(XARM6, Reach), (PANDA, Push), (XARM6, Push), (PANDA, Lift), (XARM6, Lift)]


@pytest.fixture(params=COMBINATIONS, ids=lambda pair: f"{pair[0].name}-{pair[1].__name__}", scope="module")
def blind(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A world without a camera image."""
    env = RobotTaskEnv(*request.param, image=False, privileged=True)
    yield env
    env.close()


def act(env: Any, state: NDArray[np.float32]) -> NDArray[np.float32]:
    way, gripper = EXPERTS[type(env.task)](state)
    motion = np.clip(way / 0.05, -1, 1).astype(np.float32)
    return np.append(motion, np.float32(gripper)) if env.task.uses_gripper else motion


def play(env: Any, seed: int, steps: int) -> tuple[list[NDArray[np.float32]], bool]:
    """Return what the privileged state and the proprioception were, and whether it was a success."""
    observation, info = env.reset(seed=seed)
    seen = [observation["privileged"], observation["proprio"]]
    for _ in range(steps):
        observation, reward, done, _, info = env.step(act(env, observation["privileged"]))
        seen += [observation["privileged"], observation["proprio"], np.float32([reward])]
        if done:
            break
    return seen, info["success"]


@pytest.mark.parametrize(
    ("robot", "task", "image"),
    [
        (XARM6, Reach, True),
        (PANDA, Push, True),
        (XARM6, Push, False),
        (PANDA, Lift, False),
        (XARM6, Lift, False),
    ],
)
def test_environment_checkers(robot: RobotSpec, task: type[Task], image: bool) -> None:
    env = RobotTaskEnv(robot, task, image=image, privileged=not image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env, skip_render_check=True)
        sb3_check_env(env)
    env.close()


def test_spaces_are_sized_by_robot_and_task(blind: Any) -> None:
    joints = len(blind.robot.spec.arm_joints)
    assert set(blind.observation_space.spaces) == {"proprio", "privileged"}
    assert blind.observation_space["proprio"].shape == (joints + 4,) == (len(blind.proprio_order),)
    assert blind.observation_space["privileged"].shape == (len(blind.task.privileged_order),)
    assert blind.action_space.shape == (3 + blind.task.uses_gripper,)
    assert len(blind.action_order) == len(blind.action_scale) == blind.action_space.shape[0]


def test_joint_displacement_of_six_joints_and_a_gripper() -> None:
    env = RobotTaskEnv(XARM6, Lift, image=False, control="joint displacement")
    assert env.action_space.shape == (7,)
    before, _ = env.reset(seed=0)
    after, *_ = env.step(np.array([0, 0, 0, 0, 0, 1, 1], np.float32))
    moved = after["proprio"][:6] - before["proprio"][:6]
    assert moved[5] > 0.03
    assert np.abs(moved[:5]).max() < 0.01
    env.close()


def test_the_expert_moves_the_cube_to_success_and_idling_does_not(blind: Any) -> None:
    for seed in range(4):
        seen, success = play(blind, seed, blind.task.max_steps)
        assert success, seed
        if isinstance(blind.task, MovingCube):
            goal, start = seen[0][:3], seen[0][3:6]
            assert np.linalg.norm(goal - start) > 0.09
            assert np.linalg.norm(goal - blind.task.cube_m()) < 0.04
    blind.reset(seed=0)
    idle = np.zeros(blind.action_space.shape, np.float32)
    assert not any(blind.step(idle)[4]["success"] for _ in range(20))


def test_same_seed_same_episode_whatever_was_touched_before(blind: Any) -> None:
    first, _ = play(blind, 2, 30)
    for steps in (8, 13, 17):  # leaves off beside, around and above the cube, as people do with ctrl-C
        play(blind, 2, steps)
        second, _ = play(blind, 2, 30)
        assert len(first) == len(second)
        assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("robot", [PANDA, XARM6])
def test_the_gripper_opens_and_closes_on_command(robot: RobotSpec) -> None:
    env = RobotTaskEnv(robot, Lift, image=False)
    env.reset(seed=0)
    for action, width in ((1.0, robot.opening_m), (-1.0, 0.0), (0.0, robot.opening_m / 2)):
        for _ in range(15):
            observation, *_ = env.step(np.array([0, 0, 0, action], np.float32))
        assert observation["proprio"][-1] == pytest.approx(width, abs=0.003)
    env.close()


@pytest.mark.parametrize("robot", [PANDA, XARM6])
def test_the_velocity_is_that_of_the_point_between_the_finger_tips(robot: RobotSpec) -> None:
    env = RobotTaskEnv(robot, Reach, image=False, control="joint displacement")
    env.reset(seed=0)
    env.step(np.ones(env.action_space.shape, np.float32))
    before, _ = env.robot.gripper_state()
    env.simulation.step(1)
    after, velocity = env.robot.gripper_state()
    assert np.linalg.norm(velocity) > 0.2
    assert np.allclose((after - before) * 240, velocity, atol=0.02)
    env.close()


def test_every_domain_of_the_suite_applies_to_six_joints() -> None:
    env = RobotTaskEnv(XARM6, Push)
    for domain in envs.suite(5):
        env.reset(seed=0, options={"domain": domain})
        observation, *_ = env.step(np.zeros(3, np.float32))
        assert env.observation_space.contains(observation), domain.label
    nominal, biased = (
        env.reset(seed=0, options={"domain": name})[0]["proprio"] for name in ("nominal", "proprio-bias@5")
    )
    assert np.all(nominal[:6] != biased[:6])
    env.close()


def test_the_camera_sees_the_robot_the_block_and_the_mark() -> None:
    env = RobotTaskEnv(XARM6, Push)
    env.reset(seed=0)
    segments = env.render_layers().segment
    for segment in (ROBOT, GOAL, DISTRACTOR + MAX_DISTRACTORS - 1):
        assert np.count_nonzero(segments == segment) > 10
    env.close()


@pytest.mark.parametrize(("robot", "proprio"), [(XARM6, 10), (PANDA, 11)])
def test_architectures_are_sized_by_the_environment(robot: RobotSpec, proprio: int) -> None:
    env = RobotTaskEnv(robot, Lift, privileged=True)
    student = student_config(env)
    assert student.encoder.vectors == (("proprio", proprio),)
    assert student.encoder.image_shape == (64, 64, 3)
    policy = Policy(student)
    observation = {
        name: torch.from_numpy(value)[None]
        for name, value in env.reset(seed=0)[0].items()
        if name != "privileged"
    }
    assert policy(observation).shape == (1, 4)
    assert teacher_config(env).encoder.vectors == (("privileged", 10),)
    env.close()
