"""`Quality`: whether recorded episodes can teach anything, told as they go by."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simreal.data.episodes import Episode
from simreal.errors import SimrealError

_FULL = 1 + 1e-4  # an action in single precision may be this much more than a full one
_FAINT = 0.1  # of a full one: nobody shows a task by less


class Quality:
    """Watches episodes. One image may be black; a camera that always shows the same is dead."""

    def __init__(self, path: Path) -> None:
        """Prepare to watch.

        Args:
            path: Of the dataset, for messages.
        """
        self._path, self._frames = path, 0
        self._first: NDArray[np.uint8] | None = None
        self._moved, self._most = False, 0.0

    def watched(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        """Pass episodes on.

        Raises:
            SimrealError: if an action is more than a full one, or all images of an episode of one colour.
        """
        for index, episode in enumerate(episodes):
            most = float(np.abs(episode.actions).max())
            if most > _FULL:
                raise SimrealError(
                    f"{self._path}: episode {index}: an action of {most:.3g}; a full one is 1: "
                    "recorded in another scale than the bundle's?"
                )
            self._most = max(self._most, most)
            if len(episode) > 1 and _plain(episode.images):
                where = f"{self._path}: episode {index}"
                raise SimrealError(f"{where}: every image is of one and the same colour: a dead camera?")
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
        if _plain(self._first[None]):
            raise SimrealError(f"{self._path}: every image is of one and the same colour: a dead camera?")
        if self._frames > 1:
            raise SimrealError(f"{self._path}: all {self._frames} images are the same: a stuck camera?")

    def check_actions(self) -> None:
        """Refuse demonstrations that do next to nothing.

        Raises:
            SimrealError: if no action is a tenth of a full one.
        """
        if self._most < _FAINT:
            raise SimrealError(
                f"{self._path}: the largest action is {self._most:.3g}; a full one is 1: "
                "recorded in another scale than the bundle's?"
            )


def _plain(images: NDArray[np.uint8]) -> bool:
    """Tell whether images (N, H, W, C) are all of one and the same colour."""
    colour = images[0, 0, 0]
    return bool((images[0] == colour).all()) and bool((images == colour).all())
