"""`adapt --guard`: the adapted policy, unless scored rollouts in the target speak against it."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from policies import Policy, PolicyBundle
from simreal.adapt import Given, adapted_bundle
from simreal.check import target_only
from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.check.outcomes import Outcomes, Rollout
from simreal.check.rollouts import BinaryComparison, compare_outcomes
from simreal.check.statistics import wilson_interval
from simreal.check.verdict import MARGIN
from simreal.evaluate import episode_seeds
from simreal.progress import progress
from simreal.results import to_plain
from simreal.rollout import rollout
from simreal.seeds import Purpose
from simreal.targets import Target
from simreal.transfer import method
from simreal.transfer.guard import RULE, Race, race, stages


@dataclass(frozen=True)
class Tried:
    """One candidate's scored rollouts."""

    rollouts: int
    successes: int
    ci_low: float
    ci_high: float
    """Wilson interval, 95%."""


@dataclass(frozen=True)
class Guard:
    """What a guard did, as `result.json` and the manifest tell it."""

    rule: str
    target: str
    rollouts: int
    """Scored ones that were granted."""
    used: int
    chosen: str
    candidates: dict[str, Tried]
    comparisons: list[BinaryComparison]
    """Of each alternative with the adapted policy; p-values and intervals hold at any time. The rule does
    not look at them: they say how far the choice can be believed."""
    target_only: target_only.Tuned | None
    """Its settings; None where there are no demonstrations, and so no such policy."""

    def sentences(self) -> list[str]:
        """Return it for people."""
        rates = [f"{name} {each.successes} of {each.rollouts}" for name, each in self.candidates.items()]
        found = [f"{self.used} scored rollouts on {self.target}: {', '.join(rates)}."]
        if not any(each.successes for each in self.candidates.values()):
            found.append("No rollout succeeded, so they tell nothing apart.")
        if self.target_only is None:
            found.append("Without demonstrations there is no target-only: the source was the alternative.")
        return found


def rivals(method_id: str) -> tuple[str, ...]:
    """Return the candidates of a guarded method, the most preferred first."""
    labelled = "demonstrations" in method(method_id).needs
    return (method_id, ZERO_SHOT, TARGET_ONLY) if labelled else (method_id, ZERO_SHOT)


def guarded(
    adapted: PolicyBundle,
    source: PolicyBundle,
    given: Given,
    target: Target,
    rollouts: int,
    most_updates: int,
    seed: int,
) -> tuple[PolicyBundle, Guard]:
    """Return the policy that the guard lets through, and what it did, which the bundle's manifest keeps.

    Args:
        adapted: What a method made of `source`.
        source: The policy before.
        given: What the method was given; target-only learns from the same demonstrations.
        target: Where rollouts are scored.
        rollouts: How many, over all candidates.
        most_updates: Of a training of target-only.
        seed: Of its trainings, of the episodes, and of who runs first.

    Raises:
        SimrealError: if there are too few rollouts.
    """
    names = rivals(str(adapted.manifest.method))
    stages(rollouts, names)  # refused before anything is trained
    policies, tuned = {names[0]: adapted.policy, ZERO_SHOT: source.policy}, None
    if TARGET_ONLY in names:
        policies[TARGET_ONLY], tuned = _target_only(source, given, most_updates, seed)
    found = _race(policies, target, rollouts, seed)
    record = Guard(
        RULE,
        target.label,
        rollouts,
        found.rollouts,
        found.chosen,
        {name: _tried(outcomes) for name, outcomes in found.outcomes.items()},
        _comparisons(found, names[0], seed),
        tuned,
    )
    return _chosen(record, policies[found.chosen], adapted, source, seed), record


def _target_only(
    source: PolicyBundle, given: Given, most_updates: int, seed: int
) -> tuple[Policy, target_only.Tuned]:
    data = given.problem(source, seed).demonstrated()
    with progress("train target-only", target_only.TRAININGS, "trainings") as advance:
        return target_only.tuned(source.policy.config, data, most_updates, seed, advance)


def _race(policies: dict[str, Policy], target: Target, rollouts: int, seed: int) -> Race:
    env = target.open()
    seeds = episode_seeds(seed, rollouts, Purpose.GUARD)
    with progress("scored rollouts", rollouts, "rollouts") as advance:

        def run(name: str, episode: int) -> bool:
            advance(1)
            return rollout(env, policies[name].act, seeds[episode], options=target.options).success

        return race(tuple(policies), rollouts, run, np.random.default_rng(seed))


def _tried(outcomes: list[bool]) -> Tried:
    return Tried(len(outcomes), sum(outcomes), *wilson_interval(sum(outcomes), len(outcomes)))


def _comparisons(found: Race, adapted: str, seed: int) -> list[BinaryComparison]:
    """Return how each alternative compares with the adapted policy, on the episodes that both ran."""
    rollouts = [
        Rollout(name, str(episode), success, aborted=False)
        for name, outcomes in found.outcomes.items()
        for episode, success in enumerate(outcomes)
    ]
    return compare_outcomes(Outcomes(rollouts, list(found.outcomes), 0), (ZERO_SHOT, adapted), MARGIN, seed)


def _chosen(
    record: Guard, policy: Policy, adapted: PolicyBundle, source: PolicyBundle, seed: int
) -> PolicyBundle:
    """Return the bundle of what was chosen, which says what it is and how it came to be chosen."""
    told = adapted.manifest.extra
    used = {**told["used"], "scored_rollouts": record.used}
    new: dict[str, Any] = {"target": told["target"], "used": used, "guard": to_plain(record)}
    manifest = adapted.manifest
    if record.chosen == ZERO_SHOT:
        manifest = source.manifest
    elif record.chosen == TARGET_ONLY:
        fresh = adapted_bundle(source, policy, TARGET_ONLY, record.target).manifest
        # It descends from no other weights, and has seen no other domain.
        manifest = dataclasses.replace(fresh, parent=None, domain=record.target, seed=seed, extra={})
    # What a check said, it said of another target.
    kept = {name: value for name, value in manifest.extra.items() if name != "verdict"}
    return PolicyBundle(policy, dataclasses.replace(manifest, extra={**kept, **new}))
