"""A whole deployment: open everything, run episodes, and say what became of them."""

import contextlib
import dataclasses
import select
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from envs import Domain
from envs.controller import Controller
from policies import BundleManifest
from simreal.bundles import load_bundle
from simreal.deploy.adapting import AdaptingRuntime
from simreal.deploy.adapting_process import pad
from simreal.deploy.clock import Pacer, Unpaced, be_first_in_line
from simreal.deploy.config import LoopConfig
from simreal.deploy.deployment import FINISHED, Deployment, summarize
from simreal.deploy.display import watched
from simreal.deploy.fit import check_fit, make_controller, robot_spec
from simreal.deploy.limits import Limits
from simreal.deploy.log import Episode, Log
from simreal.deploy.log_dataset import write_log_dataset
from simreal.deploy.loop import ControlLoop
from simreal.deploy.opening import SIMULATED, open_robot, open_runtime, task_of
from simreal.deploy.robot import EpisodeRobot, Mapping, Robot
from simreal.deploy.runtime import OnnxRuntime, Runtime
from simreal.deploy.safety import SafetyFilter
from simreal.deploy.scored import Scoring, run_scored
from simreal.deploy.simulated_process import Pacing
from simreal.errors import SimrealError
from simreal.evaluate import episode_seeds
from simreal.progress import say

_ENDED = "the episode has ended"


@dataclass(frozen=True)
class Session:
    """What to deploy, where, and for how long."""

    policy: Path
    """Bundle or exported model."""
    robot: str = "simulated"
    robot_config: Path | None = None
    """Topics, joints and gripper of a ROS 2 robot."""
    mapping: Path | None = None
    limits: Path | None = None
    domain: Domain | None = None
    pacing: Pacing = "real-time"
    episodes: int = 10
    seconds: float | None = None
    """One episode of this length instead of `episodes`."""
    steps: int | None = None
    """Decisions in an episode; the task's limit by default."""
    rate_hz: float | None = None
    source: Path | None = None
    override: str | None = None
    realtime: bool = False
    confirmed: bool = False
    """Do not wait for the Enter key before the policy may move a robot that is not simulated."""
    seed: int = 0
    loop: LoopConfig = LoopConfig()
    scoring: Scoring | None = None
    """Have every episode scored, and go on where the table of outcomes ends."""
    adapt: Literal["pad"] | None = None
    """Have the bundle's encoder adapt beside the loop."""


def deploy(session: Session, folder: Path) -> Deployment:
    """Run a session; its log and dataset go into `folder`.

    Raises:
        SimrealError: for anything that cannot be deployed, before anything moves.
    """
    exported = open_runtime(session.policy, folder, session.source, session.seed)
    period_s = 1 / session.rate_hz if session.rate_hz else exported.manifest.control_period_s
    controller, spec = make_controller(exported.manifest), robot_spec(exported.manifest)
    names = spec.joint_names
    mapping = Mapping.read(session.mapping, names) if session.mapping else Mapping.default(names)
    limits = Limits.read(session.limits, names) if session.limits else Limits.of_robot(spec.name, names)
    multiple = session.loop.command_multiple
    robot = open_robot(
        session.robot, exported.manifest, names, period_s, multiple, session.domain, session.pacing,
        session.robot_config,
    )  # fmt: skip
    with connected(robot), _adapting(session, exported) as runtime:
        overridden = check_fit(runtime.manifest, controller, mapping, robot, period_s, session.override)
        for objection in overridden:
            say(f"overridden ({session.override}): {objection}")
        runtime.manifest = dataclasses.replace(runtime.manifest, control_period_s=period_s)
        config = dataclasses.replace(session.loop, **_defaults(session, spec.home_rad))
        safety = SafetyFilter(limits, period_s / multiple, controller.kinematics.forward_many)
        log = Log(folder, runtime.manifest, len(names), period_s / multiple)
        try:
            loop = _loop(session, robot, mapping, runtime, controller, safety, config, log)
            if isinstance(runtime, AdaptingRuntime):
                runtime.corrections = lambda: sum(loop.steering.changed.values())
            episodes = _run(session, loop, robot, runtime.manifest, log)
        finally:
            log.close()
        adaptation = runtime.adaptation if isinstance(runtime, AdaptingRuntime) else None
    task = task_of(runtime.manifest).description
    dataset = write_log_dataset(folder, runtime.manifest, task, spec.name, mapping.camera or "main")
    return summarize(
        loop,
        episodes,
        policy=str(session.policy),
        robot=robot.name,
        domain=session.domain.label if session.domain else None,
        pacing=session.pacing,
        ticks_not_logged=log.dropped,
        override=session.override if overridden else None,
        overridden=overridden,
        dataset=dataset,
        adaptation=adaptation,
    )


@contextlib.contextmanager
def _adapting(session: Session, runtime: OnnxRuntime) -> Iterator[OnnxRuntime | AdaptingRuntime]:
    """Have the policy adapt beside the loop, if that is wanted."""
    if session.adapt is None:
        yield runtime
        return
    if session.policy.suffix == ".onnx":
        raise SimrealError(f"--adapt {session.adapt}: {session.policy} cannot learn: give its bundle")
    factory = pad(session.policy, session.source, session.seed)
    with AdaptingRuntime(runtime, load_bundle(session.policy), factory) as adapting:
        yield adapting


def _loop(
    session: Session,
    robot: Robot,
    mapping: Mapping,
    runtime: Runtime,
    controller: Controller,
    safety: SafetyFilter,
    config: LoopConfig,
    log: Log,
) -> ControlLoop:
    paced = session.pacing == "real-time"
    clock = Pacer(safety.period_s) if paced else Unpaced(safety.period_s)
    return ControlLoop(robot, mapping, runtime, controller, safety, clock, config, log)


def _run(
    session: Session, loop: ControlLoop, robot: Robot, manifest: BundleManifest, log: Log
) -> list[Episode]:
    """Run every episode and stop."""
    place, done = _side_channel(session, robot, loop)
    seeds: list[int | None] = [*episode_seeds(session.seed, session.episodes)]
    steps = session.steps or task_of(manifest).max_steps
    if session.seconds is not None:
        seeds, steps, done = seeds[:1], round(session.seconds / manifest.control_period_s), lambda: False
    if session.scoring is not None:
        given = episode_seeds(session.seed, session.episodes)
        return run_scored(session.scoring, loop, robot, given, place, steps, log)
    episodes = []
    with loop, watched(loop):
        if session.realtime:
            be_first_in_line()
        for index, seed in enumerate(seeds):
            placed = place(seed)
            loop.restart(_ENDED, placed) if index else loop.start()
            episode = loop.run(steps, done)
            if placed:
                episode = dataclasses.replace(episode, seed=seed, success=_succeeded(robot))
            log.episode(episode)
            episodes.append(episode)
            if loop.supervisor.stopped:
                break
        loop.stop(FINISHED)
    return episodes


def _side_channel(
    session: Session, robot: Robot, loop: ControlLoop
) -> tuple[Callable[[int | None], bool], Callable[[], bool]]:
    """Return what places a simulated robot for an episode, and what tells success; both idle for others."""
    if not isinstance(robot, EpisodeRobot):
        return (lambda seed: False), (lambda: False)

    def place(seed: int | None) -> bool:
        try:
            robot.reset(0 if seed is None else seed, session.domain)
        except ConnectionError as error:
            loop.lose(error)
        return True

    return place, lambda: robot.success


def _succeeded(robot: Robot) -> bool:
    return isinstance(robot, EpisodeRobot) and robot.success


@contextlib.contextmanager
def connected(robot: Robot) -> Iterator[None]:
    """Connect a robot while the block lasts."""
    try:
        robot.connect()
    except SimrealError:
        raise
    except Exception as error:  # a driver raises what it likes
        raise SimrealError(f"robot {robot.name!r}: {' '.join(str(error).split())}") from None
    try:
        yield
    finally:
        robot.disconnect()


def _defaults(session: Session, home_rad: tuple[float, ...]) -> dict[str, Any]:
    """Return what a robot that is not simulated needs: a start pose, and a person's go."""
    if session.robot in SIMULATED:
        return {}
    pose = session.loop.start_pose_rad or home_rad
    waits = not session.confirmed and sys.stdin.isatty()
    return {"start_pose_rad": pose} | ({"ready": _enter_pressed} if waits else {})


def _enter_pressed() -> bool:
    if not select.select([sys.stdin], [], [], 0)[0]:
        return False
    sys.stdin.readline()
    return True
