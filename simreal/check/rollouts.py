"""The negative-transfer check on scored rollouts: blocks and verdicts.

Which test decides whether a candidate is better or worse hangs on what was declared before the first rollout.
With the most rollouts there will be, STEP (`step`) does: of the tests that hold under looking it takes the
fewest rollouts. Without, the e-process (`binary`) does, which needs no such number and holds for rates that
drift from block to block. `safe`, the interval and the p-value are the e-process's either way.
`scripts/compare_rollout_tests.py` measures both, beside Barnard's test and a Bayesian posterior;
docs/results.md has its tables.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simreal.check import binary, step
from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.check.outcomes import Outcomes
from simreal.check.statistics import holm
from simreal.check.verdict import Verdict, decide, shared_levels
from simreal.errors import SimrealError, nearest

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
    """Of the confidence sequence; holds however often it is looked at. Those of the secondary comparisons
    hold 95% together (Bonferroni)."""
    p_value: float
    """Holds however often it is looked at; Holm-adjusted for a secondary comparison."""
    blocks: int
    unpaired: int
    """Rollouts of the two that have no partner."""
    more_blocks: int | None
    """Further rollouts of each that settle it with 80% power; None if settled, unknown or too many."""
    settled_after: int | None
    """Blocks after which STEP called it better or worse; None if it did not, or no number was declared."""
    chance: float | None
    """That STEP calls it within the declared number; None if it has, or nothing can be told."""
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


def paired(outcomes: Outcomes, pair: tuple[str, str]) -> NDArray[np.bool_]:
    """Return the successes of a pair in the blocks that both have, as they were completed, shape (blocks, 2).

    Blocks are those of the table; rollouts without one are paired in order, the k-th with the k-th.
    """
    first, second = (_by_block(outcomes, name) for name in pair)
    shared = sorted(first.keys() & second.keys(), key=lambda block: max(first[block], second[block]))
    places = [(first[block], second[block]) for block in shared]
    successes = np.array([rollout.success for rollout in outcomes.rollouts], dtype=bool)
    return np.asarray(successes[np.array(places, dtype=int).reshape(-1, 2)])


def cells(successes: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the outcomes of blocks, (blocks, 2), in the order of `binary.CELLS`, shape (4,)."""
    return np.bincount(2 * ~successes[:, 0] + ~successes[:, 1], minlength=4)


def compare_outcomes(
    outcomes: Outcomes, pair: tuple[str, str], margin: float, seed: int, declared: int | None = None
) -> list[BinaryComparison]:
    """Compare the primary pair, and every other policy with the same baseline, corrected for their number.

    Args:
        outcomes: The scored rollouts.
        pair: (candidate, baseline), declared before anything was run.
        margin: How much worse is still `safe`.
        seed: Of the forecast.
        declared: The most rollouts of each policy there will be; None if nobody said.

    Raises:
        SimrealError: if there are more than were declared.
    """
    pairs = [pair, *((name, pair[1]) for name in outcomes.policies if name not in pair)]
    runs = [paired(outcomes, names) for names in pairs]
    if declared is not None and (most := max(map(len, runs))) > declared:
        raise SimrealError(
            f"{most} rollouts of each where at most {declared} were declared: raised on the way, the number "
            "keeps no promise; --rollouts 0 judges without one"
        )
    raw = [float(binary.p_value(cells(run))) for run in runs]
    adjusted, levels = [raw[0], *holm(raw[1:])], [binary.LEVEL, *shared_levels(len(raw) - 1)]
    plain = [
        _comparison(outcomes, names, index == 0, cells(runs[index]), adjusted[index], levels[index], margin)
        for index, names in enumerate(pairs)
    ]
    if declared is None:
        return [
            _foreseen(item, cells(run), level, margin, seed)
            for item, run, level in zip(plain, runs, levels, strict=True)
        ]
    decisions = [step.decide(runs[0], declared), *step.decide_all(runs[1:], declared)]
    open_level = binary.LEVEL / max(1, decisions[1:].count(None))  # of a secondary comparison, after Holm
    return [
        _stepped(item, run, decision, declared, binary.LEVEL if item.primary else open_level, seed)
        for item, run, decision in zip(plain, runs, decisions, strict=True)
    ]


def _comparison(
    outcomes: Outcomes,
    pair: tuple[str, str],
    primary: bool,
    counts: NDArray[np.int64],
    p_value: float,
    level: float,
    margin: float,
) -> BinaryComparison:
    low, high = binary.interval(counts, level)
    verdict: Any = str(decide(low, high, p_value <= binary.LEVEL, margin))
    blocks = int(counts.sum())
    totals = [(sum(r.success for r in outcomes.of(name)), len(outcomes.of(name))) for name in pair]
    both = all(count for _, count in totals)
    newcombe = binary.newcombe_interval(totals) if both else (None, None)
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
        more_blocks=None,
        settled_after=None,
        chance=None,
        newcombe_low=newcombe[0],
        newcombe_high=newcombe[1],
        barnard_p=binary.barnard_p(totals) if both else None,
    )


def _foreseen(
    found: BinaryComparison, counts: NDArray[np.int64], level: float, margin: float, seed: int
) -> BinaryComparison:
    """Add how many more blocks settle it, where that can be told."""
    if found.verdict != "inconclusive" or found.blocks < binary.LEAST_TO_FORESEE:
        return found
    return replace(found, more_blocks=binary.more_blocks(counts, margin, seed, level))


def _stepped(
    found: BinaryComparison,
    run: NDArray[np.bool_],
    decision: step.Decision | None,
    declared: int,
    level: float,
    seed: int,
) -> BinaryComparison:
    """Put STEP's decision in the place of the e-process's, or add what the rest of the rollouts may bring.

    What the e-process alone would call better or worse is at least `safe`, or nothing: two tests at 5% each,
    of which either decides, would be one at 10%.
    """
    if decision is not None:
        verdict: Verdict = "positive" if decision.better else "negative"
        return replace(found, verdict=verdict, settled_after=decision.after)
    verdict = "safe" if found.verdict in ("positive", "safe") else "inconclusive"
    found = replace(found, verdict=verdict)
    if verdict == "safe" or not binary.LEAST_TO_FORESEE <= found.blocks < declared:
        return found
    chance, more = step.foresee(run, declared, seed, level)
    return replace(found, chance=chance, more_blocks=more)


def interleaved(outcomes: Outcomes, pair: tuple[str, str]) -> bool:
    """Return whether the order favours neither of a pair; a sheet with blocks is believed.

    Measured by how often a rollout of the one comes before one of the other: half, if well mixed.
    """
    chosen = [rollout for rollout in outcomes.rollouts if rollout.policy in pair]
    believed = any(rollout.block for rollout in chosen) and not outcomes.ran_in_order
    if len(chosen) < 6 or believed:
        return True
    first = np.array([rollout.policy == pair[0] for rollout in chosen])
    if first.all() or not first.any():
        return True
    before = first.cumsum()[~first].mean() / first.sum()
    return bool(abs(before - 0.5) <= _SUSPECT)


def _by_block(outcomes: Outcomes, policy: str) -> dict[str, int]:
    """Return where in the table the policy's rollout of each block is."""
    places = [place for place, rollout in enumerate(outcomes.rollouts) if rollout.policy == policy]
    loose = [place for place in places if not outcomes.rollouts[place].block]
    # A block cannot be named so in a table: names are stripped of blanks.
    numbered = {f" {index}": place for index, place in enumerate(loose)}
    blocks = {outcomes.rollouts[place].block: place for place in places}
    return numbered | {block: place for block, place in blocks.items() if block}
