"""The gap between a source and a target: numbers that are cheap to have before anything is trained there."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from policies import Policy
from simreal import workers
from simreal.check.finished import Finished
from simreal.check.scores import action_error, features_of, source_episodes
from simreal.check.transferability import proxy_a_distance
from simreal.data.batch import Batch
from simreal.data.demonstrations import demonstrate, roam
from simreal.data.source import SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.progress import progress
from simreal.seeds import Purpose, seed_for
from simreal.study.cells import Source
from simreal.targets import Target
from simreal.transfer import SourceAccess

Array = NDArray[np.float64]
ROLLOUTS, DEMOS = 20, 10  # of a study's targets
_MOST_FRAMES = 500  # of a target, evenly spaced: more tell little more
SOURCE_FRAMES = 500
_ENDLESS = 1 << 40  # frames


@dataclass(frozen=True)
class Gap:
    """How far a target stands from a source. All of it can be had before training; none is a label of how.

    Distances are of means over frames; of what is standardized, in deviations of the source, root mean
    square over elements.
    """

    zero_shot: float | None
    """Success of the source policy in a few rollouts; None where it was not run."""
    colour_mean: float
    """Between the mean colours, RGB in [0, 1], Euclidean."""
    colour_covariance: float
    """Between the covariances of the pixels' colours, Frobenius."""
    sharpness: float
    """Logarithm of the ratio, target over source, of the mean difference of neighbouring pixels."""
    proprio_mean: float
    """Between the mean proprioceptions, standardized."""
    feature_mean: float
    """Between the mean features of the source's encoder, standardized."""
    a_distance: float | None
    """Proxy A-distance of those features; None of a single episode."""
    action_error: float | None = None
    """Mean squared error of the source policy on the demonstrations; None without any."""
    action_bias: tuple[float, ...] | None = None
    """Mean of the signed error of each element of the action."""

    def numbers(self) -> dict[str, float]:
        """Return what is known, flat."""
        plain = dataclasses.asdict(self)
        bias = plain.pop("action_bias") or ()
        known = {name: float(value) for name, value in plain.items() if value is not None}
        return known | {f"action_bias_{axis}": float(value) for axis, value in enumerate(bias)}

    @classmethod
    def of_plain(cls, plain: Mapping[str, float | list[float] | None]) -> "Gap":
        """Return a gap that was kept as JSON."""
        bias = plain["action_bias"]
        rest = {name: value for name, value in plain.items() if name != "action_bias"}
        return cls(**rest, action_bias=tuple(bias) if isinstance(bias, list) else None)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _View:
    """Frames, a row each."""

    colour: Array
    """(N, 3) mean over pixels."""
    square: Array
    """(N, 3, 3) mean outer product of the pixels' colours."""
    edges: Array
    """(N,)"""
    proprio: Array
    features: Array


def measure(
    policy: Policy,
    source: SourceAccess,
    frames: TargetData,
    rng: np.random.Generator,
    demonstrations: TargetData | None = None,
    zero_shot: float | None = None,
) -> Gap:
    """Measure the gap.

    Args:
        policy: The source policy.
        source: Its data; whole episodes are drawn, each in one appearance.
        frames: Of the target; their actions are not looked at.
        rng: Draws from the source.
        demonstrations: Of the target.
        zero_shot: Success of the policy there, if it was run.
    """
    spaced = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _MOST_FRAMES)).astype(np.int64))
    frames = frames.chosen(spaced)
    batches, episode = source_episodes(source, SOURCE_FRAMES, rng)
    here, there = _view(policy, batches), _view(policy, frames.parts())
    means = [view.colour.mean(axis=0) for view in (here, there)]
    covariances = [
        view.square.mean(axis=0) - np.outer(mean, mean)
        for view, mean in zip((here, there), means, strict=True)
    ]
    several = min(len(np.unique(episode)), frames.demonstrations) > 1
    return Gap(
        zero_shot,
        float(np.linalg.norm(means[1] - means[0])),
        float(np.linalg.norm(covariances[1] - covariances[0])),
        float(np.log(max(there.edges.mean(), 1e-6) / max(here.edges.mean(), 1e-6))),
        _standardized(here.proprio, there.proprio),
        _standardized(here.features, there.features),
        proxy_a_distance(here.features, there.features, episode, frames.episode) if several else None,
        None if demonstrations is None else action_error(policy, demonstrations),
        None if demonstrations is None else _bias(policy, demonstrations),
    )


def gaps(
    source: Source,
    targets: Sequence[Target],
    kept: Finished,
    rollouts: int = ROLLOUTS,
    demos: int = DEMOS,
    seed: int = 0,
) -> dict[str, Gap]:
    """Return the gap of every target by its label; what is kept already is not measured again.

    Args:
        source: The source.
        targets: Simulated ones.
        kept: Where each is put as soon as it is there; for these sizes and this seed alone.
        rollouts: Of the source policy in each.
        demos: Demonstrations of the source's teacher in each; a target in which it fails has none.
        seed: Of rollouts and demonstrations, which no cell of a study has.
    """
    keys = {target.label: gap_key(source, target) for target in targets}
    missing = [target for target in targets if kept.get(keys[target.label]) is None]
    jobs = {
        workers.submit(measured, source, target, rollouts, demos, seed): keys[target.label]
        for target in missing
    }
    if jobs:
        with progress(f"gaps of {source.name}", len(jobs), "targets") as advance:
            for job in as_completed(jobs):
                kept.keep(jobs[job], job.result())
                advance(1)
    return {label: Gap.of_plain(kept.get(key)) for label, key in keys.items()}


def gap_key(source: Source, target: Target) -> str:
    """Return the label with a hash of what source and target are."""
    plain = [source.sha256, target.domain.to_plain() if target.domain else target.env]
    return f"{target.label} {hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]}"


def measured(source: Source, target: Target, rollouts: int, demos: int, seed: int) -> Gap:
    """Run the source policy in a target, let the teacher demonstrate, and measure; in a worker."""
    env, first = target.open(), seed_for(Purpose.EVALUATION, seed)
    roamed = roam(env, source.policy, _ENDLESS, first, options=target.options)
    episodes = list(itertools.islice(roamed, rollouts))  # whole ones
    access = SourceAccess(SourceData.open(source.data), source.domain)
    return measure(
        source.policy,
        access,
        TargetData.of_episodes(episodes),
        np.random.default_rng(seed),
        _demonstrated(source, target, demos, seed) if demos else None,
        float(np.mean([episode.success for episode in episodes])),
    )


def _demonstrated(source: Source, target: Target, demos: int, seed: int) -> TargetData | None:
    env, first = target.open(privileged=True), seed_for(Purpose.TUNING_DEMONSTRATION, seed)
    try:
        return TargetData.of_episodes(list(demonstrate(env, source.teacher, demos, first, target.options)))
    except SimrealError:
        return None  # the cells that need demonstrations are refused there too


def _view(policy: Policy, batches: Iterable[Batch]) -> _View:
    colour, square, edges, proprio, features = [], [], [], [], []
    for batch in batches:
        image = batch.observation["image"].double() / 255
        pixels = image.flatten(1, 2)
        across, down = (image.diff(dim=axis).abs().mean(dim=(1, 2, 3)) for axis in (1, 2))
        colour.append(pixels.mean(dim=1).numpy())
        square.append((pixels.transpose(1, 2) @ pixels / pixels.shape[1]).numpy())
        edges.append(((across + down) / 2).numpy())
        proprio.append(batch.observation["proprio"].double().numpy())
        features.append(features_of(policy, [batch]))
    return _View(*map(np.concatenate, (colour, square, edges, proprio, features)))


def _standardized(here: Array, there: Array) -> float:
    """Return the root mean square over elements of the distance of means, in deviations of the source."""
    deviation = np.maximum(here.std(axis=0), 1e-3)
    return float(np.sqrt(np.mean(np.square((there.mean(axis=0) - here.mean(axis=0)) / deviation))))


def _bias(policy: Policy, data: TargetData) -> tuple[float, ...]:
    """Return the mean signed error of the policy's actions (A,) on demonstrations."""
    with torch.inference_mode():
        parts = [policy(batch.observation) - batch.action for batch in data.parts()]
    return tuple(torch.cat(parts).double().mean(dim=0).tolist())
