"""`adapt`: bundle + target data + method -> adapted bundle."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from policies import Policy, PolicyBundle
from simreal import workers
from simreal.bundles import git_commit, gripper_columns, source_domain
from simreal.check.verdict import Comparison
from simreal.data.episodes import Episode
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.data.quality import Quality
from simreal.data.source import SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.progress import progress
from simreal.results import to_plain
from simreal.transfer import UPDATES, EncoderMode, Problem, RewardedSteps, SourceAccess, method

_THREADS = 2  # a number that most machines have: sums, and so the last bits, depend on it


@dataclass(frozen=True)
class Given:
    """What a method is given of the target, and of the source."""

    demonstrations: LeRobotDataset | None = None
    frames: LeRobotDataset | None = None
    """Unlabelled ones."""
    source: Path | None = None
    """The pretraining run whose source data may be used."""
    rewarded: RewardedSteps | None = None
    encoder: EncoderMode = "frozen"
    """How reinforcement treats the encoder."""
    updates: int = UPDATES
    """Gradient updates."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """Of the method where they are not its own."""

    def problem(self, bundle: PolicyBundle, seed: int) -> Problem:
        """Return the problem of adapting a bundle to what is given.

        Raises:
            SimrealError: if the data does not fit the bundle.
        """
        demonstrations, frames = self.demonstrations, self.frames
        return Problem(
            bundle.policy,
            seed,
            None if demonstrations is None else _demonstrated(bundle, demonstrations),
            None if self.source is None else open_source(self.source, bundle),
            None if frames is None else _seen(bundle, frames),
            updates=self.updates,
            gripper=gripper_columns(bundle.manifest),
            rewarded=self.rewarded,
            encoder=self.encoder,
        )

    @property
    def places(self) -> str:
        """Return where the target was seen."""
        datasets = (self.demonstrations, self.frames)
        seen = [str(dataset.path) for dataset in datasets if dataset is not None]
        return " and ".join(seen if self.rewarded is None else [*seen, self.rewarded.target.label])


def adapt(bundle: PolicyBundle, method_id: str, given: Given, seed: int) -> PolicyBundle:
    """Adapt a bundle to a target with a method.

    Raises:
        SimrealError: if the method lacks something, or the data does not fit the bundle.
    """
    chosen, problem = method(method_id).with_settings(given.settings), given.problem(bundle, seed)
    total, unit = problem.updates, "updates"
    if "rewarded steps" in chosen.needs and problem.rewarded is not None:
        total, unit = problem.rewarded.steps, "steps"
    with progress(f"adapt with {method_id}", total, unit) as advance, workers.threads(_THREADS):
        policy = chosen.adapt(problem, lambda losses: advance(1))
    used: dict[str, Any] = _used(problem)
    if given.settings:
        used["settings"] = dict(given.settings)
    return adapted_bundle(bundle, policy, method_id, given.places, **used)


def _used(problem: Problem) -> dict[str, int]:
    """Return what was used of the target."""
    used: dict[str, int] = {}
    if problem.demonstrations is not None:
        used["demonstrations"] = problem.demonstrations.demonstrations
        used["frames"] = len(problem.demonstrations)
    if problem.frames is not None:
        used["unlabelled_frames"] = len(problem.frames)
    if problem.rewarded is not None:
        used["rewarded_steps"] = problem.rewarded.used
    return used


def adapted_bundle(
    parent: PolicyBundle, policy: Policy, method_id: str, target: str, **used: Any
) -> PolicyBundle:
    """Return the bundle of an adapted policy, which names its parent, its method and what it used."""
    # What a check said of the parent says nothing of this policy.
    extra = {name: value for name, value in parent.manifest.extra.items() if name != "verdict"}
    manifest = dataclasses.replace(
        parent.manifest,
        policy=policy.config,  # a method may have changed its shape
        parent=parent.weights_sha256,
        method=method_id,
        git_commit=git_commit(),
        versions={},
        extra={**extra, "target": target, "used": used},
    )
    return PolicyBundle(policy, manifest)


def with_verdict(bundle: PolicyBundle, verdict: Comparison) -> PolicyBundle:
    """Return the bundle with what a check said of its method; a control loop reads it."""
    extra = {**bundle.manifest.extra, "verdict": to_plain(verdict)}
    return PolicyBundle(bundle.policy, dataclasses.replace(bundle.manifest, extra=extra))


def open_source(run: Path, bundle: PolicyBundle) -> SourceAccess:
    """Return the source data of a pretraining run, in the domain it was made in."""
    data = SourceData.open(run / "source")
    return SourceAccess(data, source_domain(bundle))


def _demonstrated(bundle: PolicyBundle, dataset: LeRobotDataset) -> TargetData:
    _check_fit(bundle, dataset)
    if dataset.images_only:
        raise SimrealError(f"{dataset.path}: images alone are no demonstrations: give them as --frames")
    quality, failed = Quality(dataset.path), 0

    def successes() -> Iterator[Episode]:
        nonlocal failed
        for episode in quality.watched(dataset):
            if episode.success:
                yield episode
            else:
                failed += 1

    episodes = successes()
    first = next(episodes, None)
    if first is None:
        raise SimrealError(f"{dataset.path}: all {failed} demonstrations failed: nothing to imitate")
    data = TargetData.of_episodes(itertools.chain([first], episodes), dataset.path)
    quality.check()
    quality.check_actions()
    return data


def _seen(bundle: PolicyBundle, dataset: LeRobotDataset) -> TargetData:
    _check_fit(bundle, dataset)
    quality = Quality(dataset.path)
    data = TargetData.of_episodes(quality.watched(dataset), dataset.path)
    quality.check()
    if not dataset.images_only:
        return data
    # Where the robot stood is unknown: the encoder is told what it was told on average.
    mean = bundle.policy.encoder.normalizer.mean.numpy()
    proprio = np.repeat(mean[None].astype(np.float32), len(data), axis=0)
    return dataclasses.replace(data, proprio=proprio, images_only=True)


def _check_fit(bundle: PolicyBundle, dataset: LeRobotDataset) -> None:
    """Refuse data of another camera or robot than the bundle's.

    Raises:
        SimrealError: naming what differs.
    """
    specs = {spec.name: spec for spec in bundle.manifest.observations}
    where, image = f"{dataset.path}/meta/info.json", dataset.image_shape
    if "image" in specs and image != specs["image"].shape:
        raise SimrealError(f"{where}: images of {image}; the bundle reads {specs['image'].shape}")
    pairs = (
        ("observation.state", dataset.proprio_names, specs["proprio"].order),
        ("action", dataset.action_names, bundle.manifest.action.order),
    )
    for key, found, wanted in pairs:
        if found != wanted:
            raise SimrealError(f"{where}: {key}: {', '.join(found)}; the bundle has {', '.join(wanted)}")
    scale, own = dataset.action_scale, bundle.manifest.action.scale
    if scale and not np.allclose(scale, own):
        raise SimrealError(f"{where}: simreal: action_scale: {list(scale)}; the bundle has {list(own)}")
    rate = 1 / bundle.manifest.control_period_s
    if abs(dataset.fps - rate) > 0.01 * rate:
        raise SimrealError(f"{where}: fps: {dataset.fps:g}; the bundle acts at {rate:g} Hz")
