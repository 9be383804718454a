"""Evaluation: policies in domains, over processes; the same episodes for every policy compared."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from policies import Policy, PolicyConfig
from simreal import workers
from simreal.progress import progress
from simreal.results import EvaluationRow
from simreal.rollout import EpisodeSummary, rollout
from simreal.seeds import Purpose, seed_for
from simreal.targets import Target

Packed = tuple[PolicyConfig, dict[str, NDArray[np.float32]]]
_CHUNK = 25  # episodes a worker runs at a time: small enough to keep both cores busy to the end


def evaluate(
    policies: Mapping[str, Policy], targets: list[Target], episodes: int, seed: int
) -> list[EvaluationRow]:
    """Return a row for every policy in every target, policies in order within a target."""
    packed = {name: pack(policy) for name, policy in policies.items()}
    jobs = {
        (index, name): [
            workers.submit(run_episodes, packed[name], target, list(part))
            for part in _chunks(episode_seeds(seed, episodes))
        ]
        for index, target in enumerate(targets)
        for name in policies
    }
    rows = []
    with progress("evaluate", len(jobs) * episodes, "episodes") as advance:
        for (index, name), futures in jobs.items():
            summaries: list[EpisodeSummary] = []
            for future in futures:
                summaries += future.result()
                advance(_CHUNK if len(summaries) < episodes else episodes % _CHUNK or _CHUNK)
            rows.append(_row(name, targets[index], summaries))
    return rows


def episode_seeds(seed: int, count: int, purpose: Purpose = Purpose.EVALUATION) -> list[int]:
    """Return the seeds of the episodes of an evaluation."""
    return [seed_for(purpose, seed, index) for index in range(count)]


def run_episodes(packed: Packed, target: Target, seeds: list[int]) -> list[EpisodeSummary]:
    """Run the episodes of these seeds, in a worker."""
    policy = Policy.from_arrays(*packed)
    env = target.open()
    return [rollout(env, policy.act, seed, options=target.options) for seed in seeds]


def pack(policy: Policy) -> Packed:
    """Return a policy as plain arrays, fit to be sent to a worker."""
    return policy.config, policy.to_arrays()


def _row(name: str, target: Target, summaries: list[EpisodeSummary]) -> EvaluationRow:
    successes = sum(summary.success for summary in summaries)
    returns = [summary.total_reward for summary in summaries]
    return EvaluationRow.of_episodes(name, target.name, target.severity, successes, returns)


def _chunks(seeds: list[int]) -> list[list[int]]:
    return [seeds[start : start + _CHUNK] for start in range(0, len(seeds), _CHUNK)]
