"""`adapt`: bundle + target data + method -> adapted bundle."""

import dataclasses
from pathlib import Path
from typing import Any

from policies import Policy, PolicyBundle
from simreal.bundles import git_commit, gripper_columns, source_domain
from simreal.data.episodes import Episode
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.data.source import SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.progress import progress
from simreal.transfer import Problem, SourceAccess, method


def adapt(
    bundle: PolicyBundle,
    method_id: str,
    demonstrations: LeRobotDataset | None,
    frames: LeRobotDataset | None,
    source_run: Path | None,
    seed: int,
) -> PolicyBundle:
    """Adapt a bundle to what was recorded in a target, with a method.

    Raises:
        SimrealError: if the method lacks something, or the data does not fit the bundle.
    """
    chosen = method(method_id)
    problem = Problem(
        bundle.policy,
        seed,
        None if demonstrations is None else _demonstrated(bundle, demonstrations),
        None if source_run is None else open_source(source_run, bundle),
        None if frames is None else TargetData.of_episodes(_fitting_episodes(bundle, frames)),
        gripper=gripper_columns(bundle.manifest),
    )
    with progress(f"adapt with {method_id}", problem.updates, "updates") as advance:
        policy = chosen.adapt(problem, lambda losses: advance(1))
    used: dict[str, int] = {}
    if problem.demonstrations is not None:
        used = {
            "demonstrations": problem.demonstrations.demonstrations,
            "frames": len(problem.demonstrations),
        }
    if problem.frames is not None:
        used["unlabelled_frames"] = len(problem.frames)
    seen = [str(dataset.path) for dataset in (demonstrations, frames) if dataset is not None]
    return adapted_bundle(bundle, policy, method_id, " and ".join(seen), **used)


def adapted_bundle(
    parent: PolicyBundle, policy: Policy, method_id: str, target: str, **used: Any
) -> PolicyBundle:
    """Return the bundle of an adapted policy, which names its parent, its method and what it used."""
    manifest = dataclasses.replace(
        parent.manifest,
        parent=parent.weights_sha256,
        method=method_id,
        git_commit=git_commit(),
        versions={},
        extra={**parent.manifest.extra, "target": target, "used": used},
    )
    return PolicyBundle(policy, manifest)


def open_source(run: Path, bundle: PolicyBundle) -> SourceAccess:
    """Return the source data of a pretraining run, in the domain it was made in."""
    data = SourceData.open(run / "source")
    return SourceAccess(data, source_domain(bundle))


def _demonstrated(bundle: PolicyBundle, dataset: LeRobotDataset) -> TargetData:
    episodes = _fitting_episodes(bundle, dataset)
    if not any(episode.success for episode in episodes):
        raise SimrealError(f"{dataset.path}: all {len(episodes)} demonstrations failed: nothing to imitate")
    return TargetData.of_episodes([episode for episode in episodes if episode.success])


def _fitting_episodes(bundle: PolicyBundle, dataset: LeRobotDataset) -> list[Episode]:
    episodes = list(dataset)
    _check_fit(bundle, dataset, episodes[0].images.shape[1:])
    return episodes


def _check_fit(bundle: PolicyBundle, dataset: LeRobotDataset, image: tuple[int, ...]) -> None:
    """Refuse data of another camera or robot than the bundle's.

    Raises:
        SimrealError: naming what differs.
    """
    specs = {spec.name: spec for spec in bundle.manifest.observations}
    where = f"{dataset.path}/meta/info.json"
    if "image" in specs and image != specs["image"].shape:
        raise SimrealError(f"{where}: images of {image}; the bundle reads {specs['image'].shape}")
    pairs = (
        ("observation.state", dataset.proprio_names, specs["proprio"].order),
        ("action", dataset.action_names, bundle.manifest.action.order),
    )
    for key, found, wanted in pairs:
        if found != wanted:
            raise SimrealError(f"{where}: {key}: {', '.join(found)}; the bundle has {', '.join(wanted)}")
    rate = 1 / bundle.manifest.control_period_s
    if abs(dataset.fps - rate) > 0.01 * rate:
        raise SimrealError(f"{where}: fps: {dataset.fps:g}; the bundle acts at {rate:g} Hz")
