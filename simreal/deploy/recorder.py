"""Teleoperated demonstrations: the control loop with a leader in the policy's place, and scores.

A recording is a folder. Each session leaves its log in `sessions/NNN`, every score is a row of `scores.csv`
as soon as it is given, and `dataset` is made anew of all sessions whenever one ends. So whatever interrupts a
session, its scored episodes are there for the next one, but for one whose last seconds were still in memory
when the process was killed; that one is named and left out.
"""

import contextlib
import dataclasses
import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from policies import BundleManifest
from simreal.bundles import load_bundle
from simreal.data.episodes import Episode
from simreal.data.lerobot_writer import DatasetNames, write_dataset
from simreal.deploy.clock import Pacer, Unpaced
from simreal.deploy.deployment import FINISHED
from simreal.deploy.fit import robot_spec
from simreal.deploy.gamepad import GAMEPAD_HELP, GamepadLeader
from simreal.deploy.judge import Judge, Person, World
from simreal.deploy.keyboard import KEYS_HELP, KeyboardLeader, Keys, terminal
from simreal.deploy.leader import Leader, LeaderRuntime, TeacherLeader, made_by
from simreal.deploy.log import Log
from simreal.deploy.log_dataset import MOST_FRAMES, decisions, episode_of
from simreal.deploy.loop import ControlLoop
from simreal.deploy.opening import task_of
from simreal.deploy.rig import Rig, open_rig, read_manifest
from simreal.deploy.safety import SafetyFilter
from simreal.deploy.session import Session
from simreal.deploy.simulated import SimulatedRobot
from simreal.deploy.trials import Course, Gate, Table, Trial, run_trials
from simreal.errors import SimrealError, nearest
from simreal.progress import say
from simreal.seeds import Purpose, seed_for

_HEAD = ("session", "episode", "trial", "seed", "verdict", "steps", "seconds", "scorer", "timestamp")
_ATTEMPTS = 5  # of a teacher, for each demonstration wanted, as `collect` has it
_LEADERS = ("keyboard", "gamepad", "teacher")


@dataclass(frozen=True)
class Recording:
    """What a recording has come to."""

    dataset: Path | None
    """None if nothing was kept yet."""
    successes: int
    failures: int
    frames: int
    lost: int
    """Scored, but not whole in the log."""
    stopped: str
    """What ended this session."""


def record(
    session: Session, folder: Path, leader: str, teacher: Path | None, scorer: str, steps: int
) -> Recording:
    """Record until `session.episodes` demonstrations succeeded or the person ends it; write the dataset.

    Args:
        session: The robot, and the policy that the demonstrations are for.
        folder: Of the recording; one that exists is gone on with.
        leader: `keyboard`, `gamepad`, `teacher`, or `module:factory` of a LeRobot teleoperator.
        teacher: Bundle that leads, for `teacher`.
        scorer: Name of the person who scores.
        steps: Decisions in an episode at most.

    Raises:
        SimrealError: if robot, leader and policy do not fit.
    """
    if not 0 < steps <= MOST_FRAMES:
        raise SimrealError(f"--steps {steps}: takes 1 to {MOST_FRAMES}")
    manifest = read_manifest(session.policy)
    scores = Table(folder / "scores.csv", _HEAD)
    with contextlib.ExitStack() as stack:
        keys = None if leader == "teacher" else stack.enter_context(terminal())
        rig = stack.enter_context(open_rig(session, manifest, "a person leads", keys is None))
        leads = _open_leader(leader, teacher, rig, keys)
        leads.connect()
        stack.callback(leads.disconnect)
        judge = World(_success_of(rig)) if keys is None else Person(keys, scorer)
        stopped = _session(session, folder, scores, rig, leads, judge, manifest, steps)
    return finish(folder, manifest, stopped)


def finish(folder: Path, manifest: BundleManifest, stopped: str = "") -> Recording:
    """Write the dataset of everything that was scored as a success or a failure."""
    scores = Table(folder / "scores.csv", _HEAD)
    counted = [row for row in scores.rows() if row["verdict"] in ("success", "failure")]
    found: list[tuple[int, bool]] = []
    dataset = folder / "dataset"
    spec = next(spec for spec in manifest.observations if spec.name == "proprio")
    task, robot = task_of(manifest).description, robot_spec(manifest).name
    scale = manifest.action.scale
    names = DatasetNames(spec.order, manifest.action.order, task, robot, action_scale=scale)
    episodes = _scored(folder, counted, 1 / manifest.control_period_s, found)
    first = next(episodes, None)
    if first is not None:
        whole = itertools.chain([first], episodes)
        write_dataset(dataset, whole, 1 / manifest.control_period_s, names, overwrite=True)
    successes = sum(success for _, success in found)
    return Recording(
        dataset if found else None,
        successes,
        len(found) - successes,
        sum(frames for frames, _ in found),
        len(counted) - len(found),
        stopped,
    )


def clear_recording(folder: Path) -> None:
    """Remove an earlier recording, and nothing else."""
    for name in ("sessions", "dataset"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "scores.csv").unlink(missing_ok=True)


def _session(
    session: Session, folder: Path, scores: Table, rig: Rig, leader: Leader, judge: Judge,
    manifest: BundleManifest, steps: int,
) -> str:  # fmt: skip
    """Run one session; return what ended it."""
    number = len(list((folder / "sessions").glob("*"))) if (folder / "sessions").is_dir() else 0
    names, gate = rig.spec.joint_names, Gate()
    period_s = manifest.control_period_s / session.loop.command_multiple
    log = Log(folder / "sessions" / f"{number:03d}", manifest, len(names), period_s)
    try:
        runtime = LeaderRuntime(leader, manifest, rig.controller, rig.mapping)
        pose = None if isinstance(rig.robot, SimulatedRobot) else rig.spec.home_rad
        config = dataclasses.replace(
            session.loop, ready=gate.open, start_pose_rad=session.loop.start_pose_rad or pose
        )
        safety = SafetyFilter(rig.limits, period_s, rig.controller.kinematics.forward_many)
        unpaced = isinstance(judge, World) and session.pacing == "lock-step"
        clock = Unpaced(period_s) if unpaced else Pacer(period_s)
        loop = ControlLoop(rig.robot, rig.mapping, runtime, rig.controller, safety, clock, config, log)
        course = Course(
            _next(scores, session, isinstance(judge, World)),
            _placer(rig, session, loop),
            judge,
            gate,
            steps,
            "episode",
        )
        with loop:
            for trial in run_trials(loop, course):
                log.flush()
                _note(scores, number, trial)
            loop.stop(FINISHED)
        return loop.supervisor.doomed or loop.supervisor.machine.cause
    finally:
        log.close()


def _note(scores: Table, session: int, trial: Trial) -> None:
    verdict = "unscored" if trial.score is None else trial.score.verdict
    scores.add({
        "session": session, "episode": trial.episode.index, "trial": trial.number, "seed": trial.seed,
        "verdict": verdict, "steps": trial.episode.steps, "seconds": trial.seconds,
        "scorer": trial.scorer, "timestamp": trial.timestamp,
    })  # fmt: skip
    say(f"episode {trial.number}: {verdict}, {trial.episode.steps} steps")


def _next(scores: Table, session: Session, leads_itself: bool) -> Callable[[], tuple[int, int] | None]:
    """Return what tells the next trial; one to be done again keeps its number and its seed."""

    def following() -> tuple[int, int] | None:
        rows = scores.rows()
        won = sum(row["verdict"] == "success" for row in rows)
        if won >= session.episodes:
            return None
        number = len({row["trial"] for row in rows})
        if leads_itself and number >= _ATTEMPTS * session.episodes:
            raise SimrealError(f"the teacher failed in {number - won} of {number} episodes: recording ends")
        if rows and rows[-1]["verdict"] in ("redo", "unscored"):
            number = int(rows[-1]["trial"])
        return number, seed_for(Purpose.DEMONSTRATION, session.seed, number)

    return following


def _scored(
    folder: Path, counted: list[dict[str, str]], fps: float, found: list[tuple[int, bool]]
) -> Iterator[Episode]:
    """Yield the episodes that count, one in memory at a time; note length and success of each."""
    for path in sorted((folder / "sessions").glob("*")):
        rows = {int(r["episode"]): r for r in counted if int(r["session"]) == int(path.name)}
        acted = (tick for tick in decisions(path, ("state",)) if tick["state"] == "running")
        for index, ticks in itertools.groupby(acted, key=lambda tick: tick["episode"]):
            if index not in rows:
                continue
            frames, row = list(ticks), rows[index]
            if len(frames) < int(row["steps"]):
                say(f"{path}: episode {row['trial']} is not whole in the log: left out")
                continue
            found.append((len(frames), row["verdict"] == "success"))
            yield episode_of(frames, fps, row["verdict"] == "success")


def _placer(rig: Rig, session: Session, loop: ControlLoop) -> Callable[[int], bool]:
    robot = rig.robot
    if not isinstance(robot, SimulatedRobot):
        return lambda seed: False

    def place(seed: int) -> bool:
        try:
            robot.reset(seed, session.domain)
        except ConnectionError as error:
            loop.lose(error)
        return True

    return place


def _success_of(rig: Rig) -> Callable[[], bool]:
    robot = rig.robot
    return lambda: isinstance(robot, SimulatedRobot) and robot.success


def _open_leader(name: str, teacher: Path | None, rig: Rig, keys: Keys | None) -> Leader:
    if name == "keyboard" and keys is not None:
        say(f"keys: {KEYS_HELP}")
        return KeyboardLeader(keys)
    if name == "gamepad":
        say(f"gamepad: {GAMEPAD_HELP}")
        return GamepadLeader()
    if name == "teacher":
        if teacher is None or not isinstance(rig.robot, SimulatedRobot):
            raise SimrealError("--leader teacher needs --teacher BUNDLE, and leads a simulated robot only")
        return TeacherLeader(load_bundle(teacher), rig.robot)
    if ":" in name:
        return made_by(name)
    raise SimrealError(f"--leader {name!r}: {nearest(name, _LEADERS)}, or module:factory")
