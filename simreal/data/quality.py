"""`Quality`: whether recorded episodes can teach anything, told as they go by."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simreal.data.episodes import Episode
from simreal.errors import SimrealError

_FULL = 1 + 1e-4  # an action in single precision may be this much more than a full one


class Quality:
    """Watches episodes. One image may be black; a camera that always shows the same is dead."""

    def __init__(self, path: Path) -> None:
        """Prepare to watch.

        Args:
            path: Of the dataset, for messages.
        """
        self._path, self._frames = path, 0
        self._first: NDArray[np.uint8] | None = None
        self._moved = False

    def watched(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        """Pass episodes on.

        Raises:
            SimrealError: if an action is more than a full one.
        """
        for index, episode in enumerate(episodes):
            most = float(np.abs(episode.actions).max())
            if most > _FULL:
                raise SimrealError(
                    f"{self._path}: episode {index}: an action of {most:.3g}; a full one is 1: "
                    "recorded in another scale than the bundle's?"
                )
            self._frames += len(episode)
            first = self._first = episode.images[0] if self._first is None else self._first
            self._moved = self._moved or bool((episode.images != first).any())
            yield episode

    def check(self) -> None:
        """Refuse a dataset whose images show nothing.

        Raises:
            SimrealError: if they are all of one colour, or more than one and all the same.
        """
        if self._first is None or self._moved:
            return
        if (self._first == self._first[:1, :1]).all():
            raise SimrealError(f"{self._path}: every image is of one and the same colour: a dead camera?")
        if self._frames > 1:
            raise SimrealError(f"{self._path}: all {self._frames} images are the same: a stuck camera?")
