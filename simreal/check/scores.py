"""What a source promises on a target: every transferability score of it, on the same few demonstrations."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from policies import Policy
from simreal.check.transferability import action_classes, h_score, logme, proxy_a_distance
from simreal.data.batch import Batch
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.rollout import EpisodeSummary
from simreal.transfer import SourceAccess

Array = NDArray[np.float64]
PROMISE = {
    "a_distance": -1, "logme": 1, "h_score": 1, "action_error": -1,
    "zero_shot_success": 1, "zero_shot_return": 1,
}  # fmt: skip
"""Score -> 1 if more of it promises more, -1 if less; declared before anything was measured."""


@dataclass(frozen=True)
class Scores:
    """Scores of one source on one target; None for one that cannot be had."""

    a_distance: float | None
    """Proxy A-distance of the encoder's features of source and target frames; takes source data."""
    logme: float
    """LogME of the demonstrated actions, given the encoder's features."""
    h_score: float | None
    """Shrunk H-score of the features for the actions' directions; None where they have none."""
    action_error: float
    """Mean squared error of the source policy's own actions on the demonstrations."""
    zero_shot_success: float | None = None
    """Of scored rollouts of the source policy; takes a target that can be acted in."""
    zero_shot_return: float | None = None

    def promise(self, name: str) -> float | None:
        """Return a score by name, turned so that more of it promises more."""
        value = getattr(self, name)
        return None if value is None else PROMISE[name] * value


def score(
    policy: Policy,
    data: TargetData,
    source: SourceAccess | None,
    rng: np.random.Generator,
    rollouts: Iterable[EpisodeSummary] = (),
) -> Scores:
    """Return every score of a source on a target.

    Args:
        policy: The source policy.
        data: Demonstrations of the target.
        source: Its source data; without, there is no A-distance.
        rng: Draws source episodes, as many frames as of the target, and their appearances.
        rollouts: Of the policy in the target, to score success and return by.
    """
    features, actions = features_of(policy, data.parts()), data.actions.astype(float)
    episodes = list(rollouts)
    return Scores(
        None if source is None else _distance(policy, features, data.episode, source, rng),
        logme(features, actions),
        _h_score(features, actions),
        action_error(policy, data),
        float(np.mean([each.success for each in episodes])) if episodes else None,
        float(np.mean([each.total_reward for each in episodes])) if episodes else None,
    )


def features_of(policy: Policy, batches: Iterable[Batch]) -> Array:
    """Return the encoder's features (N, F) of frames."""
    with torch.inference_mode():
        parts = [policy.features(batch.observation).numpy() for batch in batches]
    return np.concatenate(parts).astype(float)


def action_error(policy: Policy, data: TargetData) -> float:
    """Return the mean squared error of a policy's actions against the demonstrated ones."""
    return float(np.mean(action_errors(policy, data)))


def action_errors(policy: Policy, data: TargetData) -> Array:
    """Return the squared error of a policy's raw actions on each frame (N,), a mean over elements."""
    with torch.inference_mode():
        parts = [(policy(batch.observation) - batch.action).square().mean(dim=1) for batch in data.parts()]
    return torch.cat(parts).numpy().astype(float)


def _h_score(features: Array, actions: Array) -> float | None:
    try:
        return h_score(features, action_classes(actions))
    except SimrealError:
        return None


def _distance(
    policy: Policy,
    features: Array,
    episode: NDArray[np.int64],
    source: SourceAccess,
    rng: np.random.Generator,
) -> float:
    batches, which = source_episodes(source, len(features), rng)
    return proxy_a_distance(features_of(policy, batches), features, which, episode)


def source_episodes(
    source: SourceAccess, count: int, rng: np.random.Generator
) -> tuple[Iterator[Batch], NDArray[np.int64]]:
    """Return whole episodes of the source with `count` frames or more, and which frame is of which (N,).

    Each is in one appearance, as an episode of a target is; at least two if there are so many.
    """
    episodes = source.data.episodes()
    picked: list[NDArray[np.int64]] = []
    for index in rng.permutation(len(episodes)):
        if sum(map(len, picked)) >= count and len(picked) > 1:
            break
        picked.append(episodes[index])
    batches = (
        source.data.compose(frames, source.domain, rng, np.zeros(len(frames), np.int64)) for frames in picked
    )
    return batches, np.repeat(np.arange(len(picked)), [len(frames) for frames in picked])
