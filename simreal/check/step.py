"""STEP: which of two success rates is higher, when the most rollouts there will be are declared beforehand.

Snyder et al. 2025, "Is Your Imitation Learning Policy Better than Mine? Policy Comparison with Near-Optimal
Stopping", arXiv:2503.10966. What is known after n blocks are the successes of both policies. From a budget of
risk that grows evenly with n up to the level, a linear program picks at each n the states in which to reject:
as many as fit, such that at no common rate p of both policies more has been spent than the budget allows.

Two things differ from the paper: a state in which the program would reject with a probability between 0 and 1
is not rejected, since nobody would draw lots over a verdict (what that leaves of the budget is there at the
next n); and the rejected states are made monotone, so that one success more never takes a verdict back.

What is assumed: that each policy's rate is the same in every block, which `binary` does not. Where both rates
drift together, or some conditions are harder for both, policies differ less than the program reckons with:
on such days too the error stayed below 5% (`scripts/compare_rollout_tests.py`). An adversary who sets the
rate of each block by the outcomes so far brings it to 9 to 11%.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from simreal.check.binary import LEVEL

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
MOST = 200  # blocks; the programs of as many take a quarter of a minute, those of 100 two seconds
_RATES = 65  # common rates at which the risk is held
_SPREAD = (2.1, 1.4)  # of the ellipses by which candidate states are ordered, as in the paper
_DIAGONALS = 3  # further candidates, so that the program has a choice
_SLACK = 1e-6
_FIRST = 4  # blocks after which the budget begins, or more: fewer leave the program nothing to choose from
_SIMULATIONS = 400


@dataclass(frozen=True)
class Decision:
    """That the candidate is better, or worse."""

    better: bool
    after: int
    """Blocks."""


def decide(successes: Any, blocks: int, level: float = LEVEL) -> Decision | None:
    """Return the first decision on the way, which stands whatever comes after it; None if there is none yet.

    Args:
        successes: Of candidate and baseline in each block, in the order in which they were run, bool (n, 2).
        blocks: The most there will be, declared beforehand, at least n.
        level: Error in all, half of it on each side, over all looks.
    """
    better, worse = _rejected(np.asarray(successes, dtype=bool).reshape(-1, 2), blocks, level)
    found = np.flatnonzero(better | worse)
    return Decision(bool(better[found[0]]), int(found[0]) + 1) if len(found) else None


def decide_all(runs: Sequence[Any], blocks: int) -> list[Decision | None]:
    """Decide on several comparisons, with the error in all of them held (Holm 1979, Scand. J. Statist. 6:65).

    Args:
        runs: Successes of each comparison, as `decide` takes them.
        blocks: The most there will be.
    """
    found: list[Decision | None] = [None] * len(runs)
    left = set(range(len(runs)))
    while left:
        fresh = {i: decision for i in left if (decision := decide(runs[i], blocks, LEVEL / len(left)))}
        if not fresh:
            break
        for index, decision in fresh.items():
            found[index] = decision
        left -= fresh.keys()
    return found


def foresee(
    successes: Any, blocks: int, seed: int = 0, level: float = LEVEL, power: float = 0.8
) -> tuple[float, int | None]:
    """Return how likely the blocks that remain decide, and how many decide with probability `power`.

    By simulation of continuations in which cells come as often as so far; None if what remains is too little.

    Args:
        successes: So far, as `decide` takes them, without a decision and with at least one block.
        blocks: The most there will be.
        seed: Of the simulation.
        level: Error in all.
        power: Share of continuations that must have been decided.
    """
    so_far = np.asarray(successes, dtype=bool).reshape(-1, 2)
    rng = np.random.default_rng(seed)
    picked = rng.integers(len(so_far), size=(_SIMULATIONS, max(0, blocks - len(so_far))))
    paths = np.concatenate([np.broadcast_to(so_far, (_SIMULATIONS, *so_far.shape)), so_far[picked]], axis=1)
    reached = np.logical_or(*_rejected(paths, blocks, level))[:, len(so_far) :]
    if not reached.shape[1]:
        return 0.0, None
    share = np.maximum.accumulate(reached, axis=1).mean(axis=0)
    enough = np.flatnonzero(share >= power)
    return float(share[-1]), int(enough[0]) + 1 if len(enough) else None


def _rejected(successes: Flags, blocks: int, level: float) -> tuple[Flags, Flags]:
    """Return where along paths (..., n, 2) the candidate is better and worse, (..., n)."""
    flags, totals = rejections(blocks, level / 2), successes.cumsum(axis=-2)
    n = np.arange(1, successes.shape[-2] + 1)
    return flags[n, totals[..., 0], totals[..., 1]], flags[n, totals[..., 1], totals[..., 0]]


@lru_cache(maxsize=32)
def rejections(blocks: int, level: float) -> Flags:
    """Return where the candidate is called better, shape (blocks + 1, blocks + 1, blocks + 1).

    Element (n, s, t) is for n blocks with s successes of the candidate and t of the baseline; (n, t, s) says
    where the candidate is called worse.

    Args:
        blocks: The most there will be.
        level: One-sided error over all looks.
    """
    rates, spent = _rates(blocks, level), np.zeros(_RATES)
    found = np.zeros((blocks + 1,) * 3, dtype=bool)
    mass = np.ones((_RATES, 1, 1))  # of what has not stopped
    dead = min(blocks - 1, max(_FIRST, int(np.log2(blocks)) + 1))
    for n in range(1, blocks + 1):
        mass = _after_a_block(mass, rates)
        if n <= dead:
            continue
        budget = level * (n - dead) / (blocks - dead) - _SLACK
        chosen = _monotone(_chosen(mass, budget - spent), mass.max(axis=0) > 0)
        spent += mass[:, chosen].sum(axis=1)
        mass[:, chosen | chosen.T] = 0.0  # rates are alike, so the other side is the mirror of this one
        found[n, : n + 1, : n + 1] = chosen
    return found


def _rates(blocks: int, level: float) -> Array:
    """Return the rates at which the risk is held; beyond them no difference comes up often enough."""
    highest = (1 - level - 1e-5) ** (1 / blocks)
    return np.linspace(1 - highest, highest, _RATES)


def _after_a_block(mass: Array, rates: Array) -> Array:
    """Carry the mass (rates, n, n) over one more block, to (rates, n + 1, n + 1)."""
    p = rates[:, None, None]
    both = np.pad(mass, ((0, 0), (0, 1), (0, 1)))
    one = np.pad(mass, ((0, 0), (1, 0), (0, 1))) + np.pad(mass, ((0, 0), (0, 1), (1, 0)))
    return np.asarray((1 - p) ** 2 * both + p * (1 - p) * one + p**2 * np.pad(mass, ((0, 0), (1, 0), (1, 0))))


def _chosen(mass: Array, budget: Array) -> Flags:
    """Return the states that the linear program rejects, shape (n + 1, n + 1)."""
    n = mass.shape[1] - 1
    states = _candidates(mass, budget)
    mirrors = np.stack([n - states[:, 1], n - states[:, 0]], axis=1)  # failures for successes: alike
    keep = states.sum(axis=1) <= n
    states, mirrors = states[keep], mirrors[keep]
    risk = mass[:, states[:, 0], states[:, 1]]
    other = (states != mirrors).any(axis=1)
    risk = risk + np.where(other, mass[:, mirrors[:, 0], mirrors[:, 1]], 0.0)
    solved = optimize.linprog(-np.ones(len(states)), risk, np.maximum(budget, 0.0), bounds=(0.0, 1.0))
    whole = solved.x >= 1 - 1e-9
    flags = np.zeros((n + 1, n + 1), dtype=bool)
    for each in (states[whole], mirrors[whole]):
        flags[each[:, 0], each[:, 1]] = True
    return flags


def _candidates(mass: Array, budget: Array) -> NDArray[np.int64]:
    """Return states (k, 2) to ask the program about: the most extreme, until every budget is exceeded."""
    n = mass.shape[1] - 1
    reachable = mass.max(axis=0) > 0
    s, t = np.nonzero(reachable & np.tri(n + 1, k=-1, dtype=bool))
    minor, major = _SPREAD[0] / np.sqrt(n), _SPREAD[1]
    order = np.argsort(-(np.square((s + t - n) / n / major) + np.square((s - t) / n / minor)), kind="stable")
    s, t = s[order], t[order]
    risk = mass[:, s, t].cumsum(axis=1) - budget[:, None]
    enough = np.flatnonzero((risk > 0).all(axis=0))
    last = int(enough[0]) if len(enough) else len(s) - 1
    last += 1 + _DIAGONALS * (n - int(s[last] - t[last]))
    chosen = np.zeros((n + 1, n + 1), dtype=bool)
    chosen[s[: last + 1], t[: last + 1]] = True
    chosen |= chosen[::-1, ::-1].T
    return np.argwhere(chosen & reachable)


def _monotone(chosen: Flags, reachable: Flags) -> Flags:
    """Drop states of which a more extreme one that can be reached is not rejected; add what cannot be."""
    n = len(chosen) - 1
    above = np.tri(n + 1, k=-1, dtype=bool)
    flags = np.asarray((chosen | ~reachable) & above)
    for s in range(n - 1, -1, -1):
        flags[s] &= flags[s + 1] | ~above[s + 1]
    for t in range(1, n + 1):
        flags[:, t] &= flags[:, t - 1] | ~above[:, t - 1]
    return flags
