"""Replay mode: the policy is asked about everything in a log, and nothing moves.

Of a LeRobot dataset, what was done at an observation is its action, and what that is in joints is for the
controller to say. Of a control loop's log it is what the policy of then decided, and in joints what was sent.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from envs.controller import Controller
from policies import BundleManifest
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.deploy.comparison import Comparison, Did
from simreal.deploy.config import LoopConfig
from simreal.deploy.deciding import Decider, PolicyError
from simreal.deploy.fit import make_controller, robot_spec
from simreal.deploy.log_dataset import decisions, rgb, tick_files
from simreal.deploy.opening import open_runtime
from simreal.deploy.robot_side import BadObservationError, Seen, fitted
from simreal.deploy.session import Session
from simreal.deploy.shadow import TABLE
from simreal.errors import SimrealError

_Recorded = Iterator[tuple[int, Seen, Did]]


def replay(session: Session, log: Path, folder: Path) -> dict[str, Any]:
    """Ask the policy of a session about a log; every observation goes into `folder`.

    Args:
        session: Which policy.
        log: A LeRobot dataset, or the folder of a control loop's log.
        folder: For `comparison.parquet`.

    Returns:
        What `Comparison.summary` says.

    Raises:
        SimrealError: if it is no log, or one of another robot, action or rate than the policy's.
    """
    runtime = open_runtime(session.policy, folder, session.source, session.seed)
    controller = make_controller(runtime.manifest)
    decider = Decider(runtime, controller, LoopConfig(on_drift="ignore"))
    comparison = Comparison(runtime.manifest, robot_spec(runtime.manifest).joint_names)
    last = None
    try:
        for episode, seen, did in _recorded(log, runtime.manifest, controller):
            if episode != last:
                decider.new_episode()
            comparison.add(episode, seen, decider.decide(seen), did)
            last = episode
    except (BadObservationError, PolicyError) as error:
        raise SimrealError(f"{log}: episode {last}: {error}") from None
    comparison.write(folder / TABLE)
    return comparison.summary()


def _recorded(log: Path, manifest: BundleManifest, controller: Controller) -> _Recorded:
    if tick_files(log):
        return _of_log(log, manifest)
    inner = log / "dataset"
    path = inner if not (log / "meta").exists() and inner.is_dir() else log
    return _of_dataset(LeRobotDataset(path), manifest, controller)


def _of_dataset(dataset: LeRobotDataset, manifest: BundleManifest, controller: Controller) -> _Recorded:
    _check(dataset, manifest)
    for index, episode in enumerate(dataset):
        for image, proprio, action, time_s in zip(
            episode.images, episode.proprio, episode.actions, episode.timestamps, strict=True
        ):
            seen = _seen(proprio, image, float(time_s), manifest)
            done = action.astype(np.float64)
            targets = controller.joint_targets(seen.joints_rad, done[: controller.dimensions])
            yield index, seen, Did(done, targets - seen.joints_rad)


def _of_log(log: Path, manifest: BundleManifest) -> _Recorded:
    size = len(manifest.action.order)
    for row in decisions(log, ("time_s", "observed_rad", "sent_rad")):
        if len(row["action"]) != size:
            raise SimrealError(f"{log}: actions of {len(row['action'])} elements; the policy's have {size}")
        image = None if row["image"] is None else rgb(row["image"])
        seen = _seen(np.array(row["proprio"], np.float32), image, row["time_s"], manifest)
        sent = np.array(row["sent_rad"]) - np.array(row["observed_rad"])
        yield row["episode"], seen, Did(np.array(row["action"]), sent)


def _seen(proprio: Any, image: Any, time_s: float, manifest: BundleManifest) -> Seen:
    shapes = manifest.policy.observation_shapes
    policy = {"proprio": proprio}
    if "image" in shapes:
        policy["image"] = fitted(image, shapes["image"][0])
    joints = proprio[: len(robot_spec(manifest).joint_names)].astype(np.float64)
    return Seen(joints, float(proprio[-1]), policy, time_s)


def _check(dataset: LeRobotDataset, manifest: BundleManifest) -> None:
    where = f"{dataset.path}/meta/info.json"
    order = next(spec.order for spec in manifest.observations if spec.name == "proprio")
    pairs = (
        ("observation.state", dataset.proprio_names, order),
        ("action", dataset.action_names, manifest.action.order),
    )
    for key, found, wanted in pairs:
        if found != wanted:
            raise SimrealError(f"{where}: {key}: {', '.join(found)}; the policy has {', '.join(wanted)}")
    rate = 1 / manifest.control_period_s
    if abs(dataset.fps - rate) > 0.01 * rate:
        raise SimrealError(f"{where}: fps: {dataset.fps:g}; the policy acts at {rate:g} Hz")
