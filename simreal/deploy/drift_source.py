"""Statistics of the drift watch from the source data of a pretraining run."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from policies import PolicyBundle
from simreal.bundles import source_domain
from simreal.data.source import SourceData
from simreal.deploy.drift import DriftStatistics, calibrate
from simreal.errors import SimrealError
from simreal.progress import progress

FRAMES = 20_000  # about 1,400 episodes; the threshold hangs on the few furthest of the held-out half
_BATCH = 16  # episodes composed and encoded at a time

_Rows = NDArray[np.float32]


def source_statistics(bundle: PolicyBundle, run: Path, false_alarms: float, seed: int = 0) -> DriftStatistics:
    """Return the statistics of a policy's features and proprioception in the worlds of its source.

    Episodes get one appearance each, as they have it in the environment, not a fresh one every frame.

    Args:
        bundle: The policy.
        run: Its pretraining run.
        false_alarms: Share of decisions that may be above the threshold.
        seed: Of the choice of episodes, their appearances and the split.

    Raises:
        SimrealError: if the run has no source data, of this policy's kind, or too little.
    """
    data, domain = SourceData.open(run / "source"), source_domain(bundle)
    rng = np.random.default_rng(seed)
    episodes = data.episodes()
    chosen = [episodes[index] for index in rng.permutation(len(episodes))]
    ends = np.cumsum([len(episode) for episode in chosen])
    chosen = chosen[: int(np.searchsorted(ends, FRAMES)) + 1]
    features: list[_Rows] = []
    proprio: list[_Rows] = []
    with progress("features of the source", sum(map(len, chosen)), "frames") as advance:
        for start in range(0, len(chosen), _BATCH):
            part = chosen[start : start + _BATCH]
            lengths = [len(episode) for episode in part]
            shared = np.repeat(np.arange(len(part)), lengths)
            observation = data.compose(np.concatenate(part), domain, rng, shared).observation
            found = _features(bundle, observation, run)
            cuts = np.cumsum(lengths)[:-1]
            features += np.split(found, cuts)
            proprio += np.split(observation["proprio"].numpy(), cuts)
            advance(sum(lengths))
    return calibrate(features, proprio, false_alarms, seed)


def _features(bundle: PolicyBundle, observation: dict[str, torch.Tensor], run: Path) -> _Rows:
    for name, shape in bundle.policy.config.observation_shapes.items():
        found = tuple(observation[name].shape[1:]) if name in observation else "nothing"
        if found != shape:
            raise SimrealError(f"{run / 'source'}: {name}: {found}; the policy reads {shape}")
    with torch.inference_mode():
        return bundle.policy.features(observation).numpy()
