"""`Motions`: what a robot was told and how it moved, episode by episode, without its images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SHORTEST = 3  # steps; what moves less tells nothing


@dataclass(frozen=True, eq=False)
class Motions:
    """Frames of episodes, those of one in order of time."""

    proprio: NDArray[np.float32]
    """(N, P)."""
    executed: NDArray[np.float32]
    """(N, A): what was done from this frame to the next."""
    episode: NDArray[np.int64]
    """(N,)."""

    def totals(self, columns: tuple[int, ...] = (), delay: int = 0) -> "Totals":
        """Add up every episode of three steps or more.

        Args:
            columns: Which elements of the proprioception are looked at; all if empty.
            delay: Steps until an action takes effect: so many of the last ones never did, though no more
                than half of an episode's.
        """
        proprio = self.proprio[:, list(columns) or slice(None)].astype(np.float64)
        last = np.append(np.flatnonzero(np.diff(self.episode)), len(self.episode) - 1)
        first = np.append(0, last[:-1] + 1)
        long = last - first >= _SHORTEST
        first, last = first[long], last[long]
        pushed = np.concatenate([np.zeros((1, self.executed.shape[1])), self.executed.cumsum(0, np.float64)])
        until = last - np.minimum(delay, (last - first) // 2)
        return Totals(proprio[last] - proprio[first], pushed[until] - pushed[first], last - first)


@dataclass(frozen=True, eq=False)
class Totals:
    """Sums over whole episodes, in which inertia and lag hardly show."""

    moved: NDArray[np.float64]
    """(E, P): from the first frame to the last."""
    pushed: NDArray[np.float64]
    """(E, A): the actions in between, added up."""
    steps: NDArray[np.int64]
    """(E,)."""

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.steps)
