"""Episodes in simulation with an exported policy and its drift watch."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simreal.deploy.drift import DriftWatch
from simreal.deploy.runtime import OnnxRuntime, unit_action
from simreal.errors import SimrealError
from simreal.rollout import EpisodeSummary, Observation, rollout
from simreal.targets import Target


@dataclass(frozen=True, eq=False)
class WatchedEpisode:
    """What became of an episode, and what the drift watch said at each decision."""

    summary: EpisodeSummary
    distances: NDArray[np.float64]
    """(T,), averaged as the watch does; above its threshold is drift."""


def watch_episodes(model: Path, target: Target, seeds: list[int]) -> list[WatchedEpisode]:
    """Run the episodes of these seeds, as `evaluate` does, but with an exported model.

    Raises:
        SimrealError: if the model was exported without a drift watch.
    """
    return [_watch(_runtime(model), target, seed) for seed in seeds]


def _watch(runtime: OnnxRuntime, target: Target, seed: int) -> WatchedEpisode:
    if runtime.drift is None:
        raise SimrealError("the model has no drift watch: export it with --source RUN")
    watch, distances = DriftWatch(runtime.drift), list[float]()

    def act(observation: Observation) -> NDArray[np.float32]:
        decision = runtime.decide(observation)
        assert decision.feature is not None
        distances.append(watch.update(decision.feature, observation["proprio"]))
        return unit_action(runtime.manifest, decision.action).astype(np.float32)

    summary = rollout(target.open(), act, seed, options=target.options)
    return WatchedEpisode(summary, np.array(distances))


@functools.lru_cache(maxsize=2)
def _runtime(model: Path) -> OnnxRuntime:
    return OnnxRuntime(model)
