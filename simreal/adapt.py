"""`adapt`: bundle + target data + method -> adapted bundle."""

import dataclasses
from pathlib import Path
from typing import Any

from policies import Policy, PolicyBundle
from simreal.bundles import git_commit, source_domain
from simreal.check.verdict import Comparison
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.data.source import SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.progress import progress
from simreal.results import to_plain
from simreal.transfer import Problem, SourceAccess, method


def adapt(
    bundle: PolicyBundle,
    method_id: str,
    dataset: LeRobotDataset,
    source_run: Path | None,
    seed: int,
) -> PolicyBundle:
    """Adapt a bundle to recorded demonstrations with a method.

    Raises:
        SimrealError: if the method lacks something, or the data does not fit the bundle.
    """
    chosen = method(method_id)
    access = None if source_run is None else open_source(source_run, bundle)
    episodes = list(dataset)
    _check_fit(bundle, dataset, episodes[0].images.shape[1:])
    if not any(episode.success for episode in episodes):
        raise SimrealError(f"{dataset.path}: all {len(episodes)} demonstrations failed: nothing to imitate")
    data = TargetData.of_episodes([episode for episode in episodes if episode.success])
    problem = Problem(bundle.policy, seed, data, access)
    with progress(f"adapt with {method_id}", problem.updates, "updates") as advance:
        policy = chosen.adapt(problem, lambda losses: advance(1))
    return adapted_bundle(
        bundle,
        policy,
        method_id,
        str(dataset.path),
        demonstrations=data.demonstrations,
        frames=len(data),
    )


def adapted_bundle(
    parent: PolicyBundle, policy: Policy, method_id: str, target: str, **used: Any
) -> PolicyBundle:
    """Return the bundle of an adapted policy, which names its parent, its method and what it used."""
    # What a check said of the parent says nothing of this policy.
    extra = {name: value for name, value in parent.manifest.extra.items() if name != "verdict"}
    manifest = dataclasses.replace(
        parent.manifest,
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
