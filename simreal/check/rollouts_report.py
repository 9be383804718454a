"""What the check says of scored rollouts: `outcomes` of `result.json`, and sentences for people."""

from typing import Any

from simreal.check import binary, step
from simreal.check.outcomes import Outcomes, Rollout
from simreal.check.rollouts import BinaryComparison, compare_outcomes, interleaved
from simreal.check.statistics import wilson_interval

E_PROCESS = "e-process of two Bernoulli streams in blocks; valid at any time"
STEP = "STEP (Snyder et al. 2025) for a declared number of rollouts; `safe` and interval by the e-process"


def report(
    outcomes: Outcomes, pair: tuple[str, str], margin: float, seed: int, rollouts: int | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Return `outcomes` of `result.json`, and sentences for people.

    Args:
        outcomes: The scored rollouts.
        pair: (candidate, baseline), declared before anything was run.
        margin: How much worse is still `safe`.
        seed: Of the forecast.
        rollouts: The most of each policy there will be; 0 for no such number, None for that of the sheet.
    """
    declared = _declared(outcomes, rollouts)
    comparisons = compare_outcomes(outcomes, pair, margin, seed, declared)
    rates = {name: _rate(outcomes.of(name)) for name in outcomes.policies}
    found: dict[str, Any] = {
        "method": STEP if declared else E_PROCESS,
        "declared": declared,
        "margin": margin,
    }
    found |= {"unfilled": outcomes.unfilled, "policies": rates, "comparisons": comparisons}
    texts = [_told(name, rate) for name, rate in rates.items()]
    if outcomes.unfilled:
        texts.append(f"{outcomes.unfilled} rows have no outcome yet and are left out.")
    if not interleaved(outcomes, pair):
        texts.append(
            f"Rollouts of {pair[0]} and {pair[1]} were not interleaved: what drifted meanwhile counts for "
            "one of them. `simreal check --plan` draws an order that favours none."
        )
    return found, [*texts, *(sentence(item, declared) for item in comparisons)]


def _declared(outcomes: Outcomes, rollouts: int | None) -> int | None:
    """Return the most blocks there will be, as far as STEP can use it."""
    most = outcomes.planned if rollouts is None else rollouts
    return most if most and most <= step.MOST else None


def sentence(found: BinaryComparison, declared: int | None = None) -> str:
    """Return the verdict as one sentence for people, and its references as another."""
    if found.difference is None:
        return f"{found.candidate} against {found.baseline}: no block with both scored yet: inconclusive."
    which = "95%" if found.primary else "simultaneous 95%"
    text = (
        f"{found.candidate} against {found.baseline}: {100 * found.difference:+.0f} points "
        f"({which} {100 * found.ci_low:+.0f} to {100 * found.ci_high:+.0f} however often one looks, "
        f"{found.blocks} blocks, p = {found.p_value:.3g}): {found.verdict}."
    )
    parts = [text, _settled(found, declared), _lacking(found, declared)]
    if found.unpaired:
        parts.append(f"{found.unpaired} rollouts have no partner and are not in it.")
    if found.newcombe_low is not None and found.newcombe_high is not None:
        exact = "" if found.barnard_p is None else f"; Barnard's p = {found.barnard_p:.3g}"
        ends = f"{100 * found.newcombe_low:+.0f} to {100 * found.newcombe_high:+.0f}"
        parts.append(f"Had one look been planned at all rollouts: Newcombe's interval {ends}{exact}.")
    return " ".join(part for part in parts if part)


def _settled(found: BinaryComparison, declared: int | None) -> str:
    """Return what settled it, if a number was declared."""
    if found.settled_after is None:
        return ""
    wider = "" if found.ci_low > 0 or found.ci_high < 0 else ", which would have needed more"
    return (
        f"Settled after {found.settled_after} of at most {declared} blocks by STEP, which uses that number; "
        f"interval and p do not{wider}."
    )


def _lacking(found: BinaryComparison, declared: int | None) -> str:
    """Return what an inconclusive comparison lacks."""
    if found.verdict != "inconclusive":
        return ""
    if declared is not None and found.blocks >= declared:
        return f"All {declared} blocks that were declared are done."
    if found.blocks < binary.LEAST_TO_FORESEE:
        return f"How many more would settle this can be told from {binary.LEAST_TO_FORESEE} blocks on."
    if declared is not None and found.chance is not None:
        some = "" if found.more_blocks is None else f", {found.more_blocks} of them with 80%"
        return (
            f"At these rates the {declared - found.blocks} blocks that remain settle this with a probability "
            f"of {100 * found.chance:.0f}%{some}."
        )
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
