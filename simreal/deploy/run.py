"""A whole deployment: open everything, run episodes, and say what became of them."""

import contextlib
import dataclasses
import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from policies import BundleManifest
from simreal.bundles import load_bundle
from simreal.deploy.adapting import AdaptingRuntime
from simreal.deploy.adapting_process import pad
from simreal.deploy.clock import Pacer, Unpaced, first_in_line
from simreal.deploy.deployment import FINISHED, Deployment, summarize
from simreal.deploy.display import watched
from simreal.deploy.log import Episode, Log
from simreal.deploy.log_dataset import write_log_dataset
from simreal.deploy.loop import ControlLoop
from simreal.deploy.opening import SIMULATED, open_runtime, task_of
from simreal.deploy.rig import Rig, open_rig
from simreal.deploy.robot import EpisodeRobot, Robot
from simreal.deploy.runtime import OnnxRuntime, Runtime
from simreal.deploy.safety import SafetyFilter
from simreal.deploy.scored import run_scored
from simreal.deploy.session import Session
from simreal.errors import SimrealError
from simreal.evaluate import episode_seeds

_ENDED = "the episode has ended"


def deploy(session: Session, folder: Path) -> Deployment:
    """Run a session; its log and dataset go into `folder`.

    Raises:
        SimrealError: for anything that cannot be deployed, before anything moves.
    """
    exported = open_runtime(session.policy, folder, session.source, session.seed)
    with (
        open_rig(session, exported.manifest, session.override) as rig,
        _adapting(session, exported) as runtime,
    ):
        runtime.manifest = dataclasses.replace(runtime.manifest, control_period_s=rig.period_s)
        command_period_s = rig.period_s / session.loop.command_multiple
        log = Log(folder, runtime.manifest, len(rig.spec.joint_names), command_period_s)
        try:
            loop = _loop(session, rig, runtime, command_period_s, log)
            if isinstance(runtime, AdaptingRuntime):
                runtime.corrections = lambda: sum(loop.steering.changed.values())
            with first_in_line() if session.realtime else contextlib.nullcontext():
                episodes = _run(session, loop, rig.robot, runtime.manifest, log)
        finally:
            log.close()
        adaptation = runtime.adaptation if isinstance(runtime, AdaptingRuntime) else None
    task = task_of(runtime.manifest).description
    dataset = write_log_dataset(folder, runtime.manifest, task, rig.spec.name, rig.mapping.camera or "main")
    return summarize(
        loop,
        episodes,
        policy=str(session.policy),
        robot=rig.robot.name,
        domain=session.domain.label if session.domain else None,
        pacing=session.pacing,
        ticks_not_logged=log.dropped,
        override=session.override if rig.overridden else None,
        overridden=rig.overridden,
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


def _loop(session: Session, rig: Rig, runtime: Runtime, command_period_s: float, log: Log) -> ControlLoop:
    config = dataclasses.replace(session.loop, **_defaults(session, rig.spec.home_rad))
    safety = SafetyFilter(rig.limits, command_period_s, rig.controller.kinematics.forward_many)
    clock = Pacer(command_period_s) if session.pacing == "real-time" else Unpaced(command_period_s)
    return ControlLoop(rig.robot, rig.mapping, runtime, rig.controller, safety, clock, config, log)


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
