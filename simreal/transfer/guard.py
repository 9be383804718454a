"""The guard's rule: which of two or three policies to return after few scored rollouts. Pure arithmetic.

The candidates stand in the order in which they are preferred: the adapted policy, the source, target-only.
Of three, each first runs the same fifth of the rollouts as episodes, and the one with the fewest successes
drops out; the two that are left share what remains, again on the same episodes, and the one with fewer
successes over all of its own drops out. Of two there is only the second stage. Of equals the less preferred
drops out: rollouts speak against the adapted policy when another succeeded in more of the same episodes.

Between two policies on the same episodes this is the empirical success rule, which no other beats in the
worst expected loss of success but for who wins a tie (Stoye 2009, J. Econometrics 151:70). A significance
test in its place would hold a wrong change for far worse than a wrong stay (Tetenov 2012, J. Econometrics
166:157): with ten rollouts each it would keep a policy that is 30 points worse more often than not. Dropping
the worst early is successive rejects (Audibert & Bubeck 2010, COLT). What the rule risks is its stated error,
by the number of rollouts: `scripts/guard_study.py` computes it, `docs/results.md` has it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simreal.errors import SimrealError

RULE = (
    "fewest successes on the same episodes drops out, of equals the less preferred: the worst of three after "
    "each ran a fifth of the rollouts, then the worse of two (successive rejects; empirical success rule)"
)
FEWEST = 2  # rollouts of each candidate: less tells nothing


@dataclass(frozen=True)
class Race:
    """What became of the candidates."""

    outcomes: dict[str, list[bool]]
    """Candidate -> success of its rollouts; the n-th of each ran in the same episode."""
    chosen: str

    @property
    def rollouts(self) -> int:
        """Return how many were run."""
        return sum(len(found) for found in self.outcomes.values())


def stages(rollouts: int, candidates: Sequence[str]) -> tuple[int, ...]:
    """Return how many episodes each candidate that is left has run at the end of each stage.

    Args:
        rollouts: Scored ones, over all candidates.
        candidates: Two or three.

    Raises:
        SimrealError: if there are too few for every candidate to have two.
    """
    count = len(candidates)
    if rollouts < FEWEST * count:
        raise SimrealError(
            f"--guard {rollouts}: {count} candidates ({', '.join(candidates)}) take at least "
            f"{FEWEST * count} scored rollouts, {FEWEST} of each"
        )
    if count == 2:
        return (rollouts // 2,)
    first = max(FEWEST, rollouts // 5)
    return first, (rollouts - first) // 2


def race(
    candidates: Sequence[str], rollouts: int, run: Callable[[str, int], bool], rng: np.random.Generator
) -> Race:
    """Run the rollouts, and choose.

    Args:
        candidates: Two or three, the most preferred first.
        rollouts: Scored ones, over all candidates.
        run: Runs a candidate in an episode, numbered from 0, and returns whether it succeeded.
        rng: Draws who runs first in an episode: what drifts meanwhile favours nobody, as in randomized
            complete blocks (Fisher 1935).
    """
    plan = stages(rollouts, candidates)
    outcomes = np.zeros((len(candidates), plan[-1]), bool)
    alive, counts = np.ones(len(candidates), bool), [0] * len(candidates)
    begun = 0
    for episodes in plan:
        for episode in range(begun, episodes):
            for index in rng.permutation(np.flatnonzero(alive)):
                outcomes[index, episode] = run(candidates[index], episode)
                counts[index] += 1
        alive[_worst(outcomes, alive, episodes)] = False
        begun = episodes
    found = {name: outcomes[index, : counts[index]].tolist() for index, name in enumerate(candidates)}
    return Race(found, candidates[int(alive.argmax())])


def elect(outcomes: NDArray[np.bool_], plan: Sequence[int]) -> NDArray[np.int64]:
    """Return which candidates races would choose (...), from outcomes (..., candidates, episodes).

    Args:
        outcomes: Of all candidates in all episodes, whether a race would have run them or not.
        plan: Of `stages`.
    """
    alive = np.ones(outcomes.shape[:-1], bool)
    for episodes in plan:
        np.put_along_axis(alive, _worst(outcomes, alive, episodes)[..., None], False, axis=-1)
    return np.asarray(alive.argmax(axis=-1))


def _worst(outcomes: NDArray[np.bool_], alive: NDArray[np.bool_], episodes: int) -> Any:
    """Return who has the fewest successes so far (...); of equals the last."""
    most = np.iinfo(np.int64).max
    successes = np.where(alive, outcomes[..., :episodes].sum(axis=-1), most)
    return outcomes.shape[-2] - 1 - np.flip(successes, axis=-1).argmin(axis=-1)
