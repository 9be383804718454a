"""The negative-transfer check on scored rollouts: blocks, verdicts, and what to say of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simreal.check import binary
from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.check.outcomes import Outcomes, Rollout
from simreal.check.statistics import holm, wilson_interval
from simreal.check.verdict import Verdict, decide, holm_levels
from simreal.errors import SimrealError, nearest

METHOD = "e-process of two Bernoulli streams in blocks; valid at any time"
_SUSPECT = 0.25  # how far from evenly mixed an order may be before it is said


@dataclass(frozen=True)
class BinaryComparison:
    """One candidate against one baseline, on a robot."""

    candidate: str
    baseline: str
    primary: bool
    verdict: Verdict
    difference: float | None
    """Of the success rates over blocks; None without a block."""
    ci_low: float
    ci_high: float
    """Of the confidence sequence, which decides the verdict; holds however often it is looked at."""
    p_value: float
    """Holds however often it is looked at; Holm-adjusted for a secondary comparison."""
    blocks: int
    unpaired: int
    """Rollouts of the two that have no partner."""
    more_blocks: int | None
    """Further rollouts of each that settle it with 80% power; None if settled, unknown or too many."""
    newcombe_low: float | None
    newcombe_high: float | None
    barnard_p: float | None
    """References that hold for a number of rollouts fixed beforehand."""


def primary_pair(policies: list[str], candidate: str | None, baseline: str | None) -> tuple[str, str]:
    """Return (candidate, baseline), as asked or, between two policies, as their names tell.

    Raises:
        SimrealError: if they cannot be told.
    """
    for option, name in (("--candidate", candidate), ("--baseline", baseline)):
        if name is not None and name not in policies:
            raise SimrealError(f"{option} {name}: not among the policies; {nearest(name, policies)}")
    if len(policies) < 2:
        raise SimrealError(f"outcomes of {', '.join(policies)} only; a comparison takes two policies")
    if candidate is not None and candidate == baseline:
        raise SimrealError(f"--candidate {candidate} is the baseline too; name two policies")
    if len(policies) == 2:
        known = [name for name in (TARGET_ONLY, ZERO_SHOT) if name in policies and name != candidate]
        if baseline is None and (known or candidate is not None):
            baseline = known[0] if known else next(name for name in policies if name != candidate)
        if candidate is None and baseline is not None:
            candidate = next(name for name in policies if name != baseline)
    if candidate is None or baseline is None:
        raise SimrealError(f"which pair is primary? name --candidate and --baseline of {', '.join(policies)}")
    return candidate, baseline


def cells(candidate: list[Rollout], baseline: list[Rollout]) -> NDArray[np.int64]:
    """Count the outcomes of blocks, shape (4,) in the order of `binary.CELLS`.

    Blocks are those of the table; rollouts without one are paired in order, the k-th with the k-th.
    """
    first, second = _by_block(candidate), _by_block(baseline)
    counts = np.zeros(4, dtype=np.int64)
    for block in first.keys() & second.keys():
        counts[2 * (not first[block]) + (not second[block])] += 1
    return counts


def compare_outcomes(
    outcomes: Outcomes, pair: tuple[str, str], margin: float, seed: int
) -> list[BinaryComparison]:
    """Compare the primary pair, and every other policy with the same baseline, corrected after Holm.

    Args:
        outcomes: The scored rollouts.
        pair: (candidate, baseline), declared before anything was run.
        margin: How much worse is still `safe`.
        seed: Of the forecast.
    """
    pairs = [pair, *((name, pair[1]) for name in outcomes.policies if name not in pair)]
    counts = [cells(outcomes.of(first), outcomes.of(second)) for first, second in pairs]
    raw = [float(binary.p_value(found)) for found in counts]
    adjusted, levels = [raw[0], *holm(raw[1:])], [binary.LEVEL, *holm_levels(raw[1:])]
    return [
        _comparison(outcomes, names, index == 0, counts[index], adjusted[index], levels[index], margin, seed)
        for index, names in enumerate(pairs)
    ]


def _comparison(
    outcomes: Outcomes,
    pair: tuple[str, str],
    primary: bool,
    counts: NDArray[np.int64],
    p_value: float,
    level: float,
    margin: float,
    seed: int,
) -> BinaryComparison:
    low, high = binary.interval(counts, level)
    verdict: Any = str(decide(low, high, p_value <= binary.LEVEL, margin))
    blocks = int(counts.sum())
    totals = [(sum(r.success for r in outcomes.of(name)), len(outcomes.of(name))) for name in pair]
    both = all(count for _, count in totals)
    newcombe = binary.newcombe_interval(totals) if both else (None, None)
    foresee = verdict == "inconclusive" and blocks >= binary.LEAST_TO_FORESEE
    return BinaryComparison(
        *pair,
        primary,
        verdict,
        difference=float(counts[1] - counts[2]) / blocks if blocks else None,
        ci_low=low,
        ci_high=high,
        p_value=p_value,
        blocks=blocks,
        unpaired=sum(count for _, count in totals) - 2 * blocks,
        more_blocks=binary.more_blocks(counts, margin, seed, level) if foresee else None,
        newcombe_low=newcombe[0],
        newcombe_high=newcombe[1],
        barnard_p=binary.barnard_p(totals) if both else None,
    )


def report(
    outcomes: Outcomes, pair: tuple[str, str], margin: float, seed: int
) -> tuple[dict[str, Any], list[str]]:
    """Return `outcomes` of `result.json`, and sentences for people."""
    comparisons = compare_outcomes(outcomes, pair, margin, seed)
    rates = {name: _rate(outcomes.of(name)) for name in outcomes.policies}
    found = {"method": METHOD, "margin": margin, "unfilled": outcomes.unfilled}
    found |= {"policies": rates, "comparisons": comparisons}
    texts = [_told(name, rate) for name, rate in rates.items()]
    if outcomes.unfilled:
        texts.append(f"{outcomes.unfilled} rows have no outcome yet and are left out.")
    if not interleaved(outcomes, pair):
        texts.append(
            f"Rollouts of {pair[0]} and {pair[1]} were not interleaved: what drifted meanwhile counts for "
            "one of them. `simreal check --plan` draws an order that favours none."
        )
    return found, [*texts, *(sentence(item) for item in comparisons)]


def interleaved(outcomes: Outcomes, pair: tuple[str, str]) -> bool:
    """Return whether the order favours neither of a pair; a table with blocks is believed.

    Measured by how often a rollout of the one comes before one of the other: half, if well mixed.
    """
    chosen = [rollout for rollout in outcomes.rollouts if rollout.policy in pair]
    if len(chosen) < 6 or any(rollout.block for rollout in chosen):
        return True
    first = np.array([rollout.policy == pair[0] for rollout in chosen])
    if first.all() or not first.any():
        return True
    before = first.cumsum()[~first].mean() / first.sum()
    return bool(abs(before - 0.5) <= _SUSPECT)


def sentence(found: BinaryComparison) -> str:
    """Return the verdict as one sentence for people, and its references as another."""
    if found.difference is None:
        return f"{found.candidate} against {found.baseline}: no block with both scored yet: inconclusive."
    text = (
        f"{found.candidate} against {found.baseline}: {100 * found.difference:+.0f} points "
        f"(95% {100 * found.ci_low:+.0f} to {100 * found.ci_high:+.0f} however often one looks, "
        f"{found.blocks} blocks, p = {found.p_value:.3g}): {found.verdict}."
    )
    parts = [text, _lacking(found)]
    if found.unpaired:
        parts.append(f"{found.unpaired} rollouts have no partner and are not in it.")
    if found.newcombe_low is not None and found.newcombe_high is not None:
        exact = "" if found.barnard_p is None else f"; Barnard's p = {found.barnard_p:.3g}"
        ends = f"{100 * found.newcombe_low:+.0f} to {100 * found.newcombe_high:+.0f}"
        parts.append(f"Had one look been planned at all rollouts: Newcombe's interval {ends}{exact}.")
    return " ".join(part for part in parts if part)


def _lacking(found: BinaryComparison) -> str:
    """Return what an inconclusive comparison lacks."""
    if found.verdict != "inconclusive":
        return ""
    if found.blocks < binary.LEAST_TO_FORESEE:
        return f"How many more would settle this can be told from {binary.LEAST_TO_FORESEE} blocks on."
    amount = (
        f"more than {binary.MOST_FORESEEN}" if found.more_blocks is None else f"about {found.more_blocks}"
    )
    return f"At these rates {amount} more rollouts of each would settle this (80% power)."


def _rate(rollouts: list[Rollout]) -> dict[str, Any]:
    successes, count = sum(rollout.success for rollout in rollouts), len(rollouts)
    low, high = wilson_interval(successes, count) if count else (0.0, 1.0)
    aborted = sum(rollout.aborted for rollout in rollouts)
    return {
        "rollouts": count, "successes": successes, "aborted": aborted, "ci_low": low, "ci_high": high,
    }  # fmt: skip


def _told(name: str, rate: dict[str, Any]) -> str:
    aborted = f"; {rate['aborted']} aborted, which count as failures" if rate["aborted"] else ""
    interval = f"{rate['ci_low']:.2f} to {rate['ci_high']:.2f}"
    return f"{name}: {rate['successes']} of {rate['rollouts']} succeeded ({interval}){aborted}."


def _by_block(rollouts: list[Rollout]) -> dict[str, bool]:
    loose = [rollout.success for rollout in rollouts if not rollout.block]
    # A block cannot be named so in a table: names are stripped of blanks.
    numbered = {f" {index}": success for index, success in enumerate(loose)}
    return numbered | {rollout.block: rollout.success for rollout in rollouts if rollout.block}
