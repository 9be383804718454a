"""`RobotTaskEnv`: composes robot, task, camera and domain; owns the random generator."""

import dataclasses
from typing import Any, Literal, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.appearance import Appearance, compose, noise_offsets
from envs.camera import BACKGROUND, ROBOT, Camera, CameraSpec, Layers
from envs.controller import Controller, ControlMode
from envs.domain import Domain, load_domain
from envs.parameters import NOMINAL, SceneParameters, SensingParameters, WorldParameters
from envs.physics import CONTROL_PERIOD_S, Physics, substeps
from envs.robots.base import Robot, RobotSpec
from envs.sensing import Observation, Sensing
from envs.simulation import Simulation
from envs.tasks.base import Task

RENDER_SIZE = 480
FRONT_CAMERA = CameraSpec((1.15, 0.35, 0.72), (0.46, 0.0, 0.06), 42.0)
SPECTATOR_CAMERA = CameraSpec((1.5, -0.95, 0.85), (0.36, 0.02, 0.2), 40.0)


class RobotTaskEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """A robot, a task and a camera in one simulated world, drawn anew from a domain at every reset.

    Observation: `image` uint8 (image_size, image_size, 3) RGB, and `proprio` float32 (n + 4,): the
    arm's joint positions (rad), the gripper's position (m, base frame, from those joint positions)
    and the opening of the gripper (m). `privileged`, float32, only when asked for.
    Action: float32 in [-1, 1]: displacement of the gripper in the base frame (1 is 0.05 m) or of
    the joints (1 is 0.15 rad), and for a task that uses it the gripper (+1 open, -1 closed).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / CONTROL_PERIOD_S)}  # noqa: RUF012

    def __init__(
        self,
        robot: RobotSpec,
        task: type[Task],
        *,
        domain: str | Domain = "nominal",
        image: bool = True,
        privileged: bool = False,
        image_size: int = 64,
        control: ControlMode = "end-effector displacement",
        control_period_s: float = CONTROL_PERIOD_S,
        appearance_every: Literal["episode", "step"] = "episode",
        ends_at_success: bool = True,
        camera: CameraSpec = FRONT_CAMERA,
        render_mode: str | None = None,
    ) -> None:
        """Build the world; nothing is random until `reset`.

        Args:
            robot: Which manipulator.
            task: Which task.
            domain: A domain, its name, or a YAML file.
            image: Whether the observation has an image; without one nothing is rendered.
            privileged: Whether the observation has the teacher's true state.
            image_size: Width and height of the image, pixels.
            control: What an action displaces.
            control_period_s: Nominal time between two actions, seconds.
            appearance_every: Draw the appearance once an episode, or anew at every step.
            ends_at_success: False goes on to the step limit: to learn to stay at the goal.
            camera: The nominal camera.
            render_mode: `rgb_array` or None.
        """
        self.domain = load_domain(domain)
        self.render_mode = render_mode
        self.control_period_s = control_period_s
        self.world: WorldParameters = NOMINAL
        self._image, self._privileged, self._image_size = image, privileged, image_size
        self._appearance_every, self._ends_at_success = appearance_every, ends_at_success
        self.simulation = Simulation()
        self.robot = Robot(self.simulation, robot)
        self.task = task(self.simulation)
        self.controller = Controller(robot, control)
        self.physics = Physics(self.simulation, self.robot)
        self.camera = Camera(self.simulation.client, camera, self._segments())
        self._spectator = Camera(self.simulation.client, SPECTATOR_CAMERA, self._segments())
        self.action_space = self._make_action_space()
        self.observation_space = self._make_observation_space()

    @property
    def proprio_order(self) -> tuple[str, ...]:
        """Meaning of each element of `proprio`, with its unit after the last underscore."""
        joints = (f"{name}_rad" for name in self.robot.spec.joint_names)
        return (*joints, "gripper_x_m", "gripper_y_m", "gripper_z_m", "gripper_width_m")

    @property
    def action_order(self) -> tuple[str, ...]:
        """Meaning of each element of the action."""
        if self.controller.dimensions == 3:
            motion: tuple[str, ...] = ("x_m", "y_m", "z_m")
        else:
            motion = tuple(f"{name}_rad" for name in self.robot.spec.joint_names)
        return (*motion, "gripper_opening") if self.task.uses_gripper else motion

    @property
    def action_scale(self) -> tuple[float, ...]:
        """What an action of 1 is, in the unit that `action_order` names."""
        motion = (self.controller.scale,) * self.controller.dimensions
        return (*motion, 1.0) if self.task.uses_gripper else motion

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a world from the domain and start an episode.

        Args:
            seed: The same seed gives the same episode, bit for bit.
            options: `world`: a `WorldParameters` to replay instead of drawing one;
                `domain`: a domain to use from now on.
        """
        super().reset(seed=seed)
        options = options or {}
        if "domain" in options:
            self.domain = load_domain(options["domain"])
        # Apart, so that the same seed places the same objects in every domain.
        task_rng, world_rng, sensing_rng = self.np_random.spawn(3)
        self.world = options.get("world") or self.domain.sample(world_rng)
        self._world_rng = world_rng
        self.simulation.rewind()
        self.task.reset(task_rng, self.world.scene)
        self._start_robot(self.task.start_position(task_rng))
        self.camera.place(self.world.scene)
        self.physics.apply(self.world.dynamics)
        self.sensing = Sensing(self.world.sensing, sensing_rng)
        self._last_image: NDArray[np.uint8] | None = None
        self._layers: Layers | None = None  # rendered once a step, at most
        return self.observe(), {"success": False}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Act for one control period; terminated at success."""
        applied = self.sensing.delayed_action(np.clip(action, -1.0, 1.0).astype(np.float64))
        motion = applied[: self.controller.dimensions].copy()
        if self.controller.dimensions == 3:
            motion *= self.world.dynamics.action_gain
        targets = self.controller.joint_targets(self.measured_rad, motion)
        self.robot.command(targets, self._width(applied))
        self.advance(substeps(self.world.dynamics, self.control_period_s))
        if self._appearance_every == "step":
            self._redraw_appearance()
        reward, success = self.task.reward(self.robot)
        return self.observe(), reward, success and self._ends_at_success, False, {"success": success}

    def advance(self, count: int) -> None:
        """Let the physics go on by `count` steps, as the servos were last commanded."""
        self.simulation.step(count)
        self._layers = None

    def observe(self) -> Observation:
        """Return what the sensors give now, and let their delays move on by one step.

        `measured_rad` (n,) is what the encoders say, before any delay.
        """
        observation: Observation = {}
        if self._image:
            observation["image"] = self._frame()
        self.measured_rad = self.sensing.joint_positions(self.robot.joint_positions())
        position = self.controller.kinematics.forward(self.measured_rad)
        proprio = [*self.measured_rad, *position, self.robot.gripper_width()]
        observation["proprio"] = np.asarray(proprio, dtype=np.float32)
        delayed = dict(self.sensing.delayed_observation(observation))
        if self._privileged:
            delayed["privileged"] = self.task.privileged(self.robot)
        return delayed

    def render_layers(self, size: int | None = None) -> Layers:
        """Return the layers of the present moment, before any colour, delay or dropped frame."""
        if size not in (None, self._image_size):
            return self.camera.render(size)
        if self._layers is None:
            self._layers = self.camera.render(self._image_size)
        return self._layers

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override]
        """Return the scene for people, from further away, in the domain's colours and light.

        uint8 (480, 480, 3) RGB, without blur and noise: those are the policy's camera's.
        """
        scene = self.world.scene
        lamp = SceneParameters(
            light_azimuth_deg=scene.light_azimuth_deg, light_elevation_deg=scene.light_elevation_deg
        )
        self._spectator.place(lamp)
        world = dataclasses.replace(self.world, scene=lamp, sensing=SensingParameters())
        return compose(self._spectator.render(RENDER_SIZE), Appearance.of_world(world, 0))

    def close(self) -> None:
        """Free the simulation."""
        self.simulation.close()
        self.controller.kinematics.close()

    def _frame(self) -> NDArray[np.uint8]:
        """Return a new frame, or the last one again when it is dropped."""
        dropped = self.sensing.frame_dropped()
        if self._last_image is None or not dropped:
            offset = int(noise_offsets(self.sensing.rng, 1)[0])
            appearance = Appearance.of_world(self.world, offset)
            self._last_image = compose(self.render_layers(), appearance)
        return self._last_image

    def _redraw_appearance(self) -> None:
        fresh = self.domain.sample(self._world_rng)
        self.world = WorldParameters(
            self.world.scene, self.world.dynamics, fresh.appearance, self.world.sensing
        )

    def _start_robot(self, position: NDArray[np.float64]) -> None:
        home = np.asarray(self.robot.spec.home_rad)
        # Inverse kinematics takes a few rounds from far away.
        joints = home
        for _ in range(5):
            joints = self.controller.kinematics.inverse(joints, position)
        self.robot.reset(joints)

    def _width(self, applied: NDArray[np.float64]) -> float:
        open_m = self.robot.spec.opening_m
        return open_m * (applied[-1] + 1) / 2 if self.task.uses_gripper else open_m

    def _segments(self) -> NDArray[np.uint8]:
        segments = np.full(self.simulation.client.getNumBodies(), BACKGROUND, dtype=np.uint8)
        segments[self.robot.body] = ROBOT
        for body, segment in self.task.segments.items():
            segments[body] = segment
        return segments

    def _make_action_space(self) -> Any:
        size = self.controller.dimensions + int(self.task.uses_gripper)
        return spaces.Box(-1.0, 1.0, (size,), np.float32)

    def _make_observation_space(self) -> Any:
        proprio = len(self.robot.spec.arm_joints) + 4
        members: dict[str, spaces.Space[Any]] = {
            "proprio": spaces.Box(-np.inf, np.inf, (proprio,), np.float32)
        }
        if self._image:
            shape = (self._image_size, self._image_size, 3)
            members["image"] = spaces.Box(0, 255, shape, np.uint8)
        if self._privileged:
            size = len(self.task.privileged_order)
            members["privileged"] = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        return spaces.Dict(members)
