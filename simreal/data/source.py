"""`SourceData`: layers of the source worlds with the teacher's labels, memory-mapped in a run folder.

Layers, not images: every batch gets a fresh appearance. An internal cache, not an exchange format.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from envs import Domain
from envs.appearance import Appearance, compose, noise_offsets
from envs.camera import Layers
from simreal.data.batch import Batch
from simreal.data.motions import Motions
from simreal.errors import SimrealError

# The actions are what the teacher would do; `executed` is what was done.
_COLUMNS = (
    *("shade", "segment", "depth", "camera"),
    *("proprio", "action", "goal_position", "executed", "episode"),
)
# The goal's position is learned in decimetres about the middle of the table: values near 1.
GOAL_CENTRE_M = np.array([0.5, 0.0, 0.05], np.float32)
GOAL_SCALE_M = 0.1


@dataclass(frozen=True)
class Frames:
    """Frames on their way into the source data; every array has the same first axis."""

    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.columns["action"])


class SourceData:
    """Frames of the source worlds, kept as one memory-mapped array a column."""

    def __init__(self, folder: Path, arrays: dict[str, NDArray[Any]], count: int) -> None:
        self.folder = folder.absolute()  # workers may have another working folder
        self._arrays = arrays
        self.count = count

    @classmethod
    def create(cls, folder: Path, capacity: int, example: Frames) -> "SourceData":
        """Make room for `capacity` frames shaped like the example's."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, NDArray[Any]] = {
            name: np.lib.format.open_memmap(
                folder / f"{name}.npy", "w+", column.dtype, (capacity, *column.shape[1:])
            )
            for name, column in example.columns.items()
        }
        data = cls(folder, arrays, 0)
        data._write_count()
        return data

    @classmethod
    def open(cls, folder: Path, writable: bool = False) -> "SourceData":
        """Open the data of a run.

        Raises:
            SimrealError: if the folder has no complete source data.
        """
        if not folder.is_dir():
            raise SimrealError(f"{folder}: no usable source data: no such folder; a pretraining run has one")
        mode: Literal["r+", "r"] = "r+" if writable else "r"
        try:
            count = int(json.loads((folder / "count.json").read_text())["count"])
            arrays: dict[str, NDArray[Any]] = {
                name: np.load(folder / f"{name}.npy", mmap_mode=mode, allow_pickle=False) for name in _COLUMNS
            }
        except (OSError, ValueError, KeyError) as error:
            raise SimrealError(f"{folder}: no usable source data ({error})") from None
        return cls(folder, arrays, count)

    def append(self, frames: Frames, limit: int) -> None:
        """Add frames, up to `limit` in all."""
        room = min(len(frames), limit - self.count)
        for name, column in frames.columns.items():
            self._arrays[name][self.count : self.count + room] = column[:room]
        self.count += room
        self._write_count()

    def proprio_statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return mean and deviation of the proprioception, (P,) each."""
        proprio = self._arrays["proprio"][: self.count]
        return proprio.mean(axis=0), proprio.std(axis=0)

    def batch(self, domain: Domain, rng: np.random.Generator, size: int) -> Batch:
        """Draw frames and compose them with a fresh appearance from the domain."""
        indices = np.sort(rng.integers(self.count, size=size))
        return self.compose(indices, domain, rng)

    def episodes(self) -> list[NDArray[np.int64]]:
        """Return the indices of the frames of each episode, in order of time."""
        episode = self._arrays["episode"][: self.count]
        return np.split(np.arange(self.count), np.flatnonzero(episode[1:] != episode[:-1]) + 1)

    def motions(self) -> Motions:
        """Return what was done in all episodes and how the robot moved."""
        return Motions(*(self.column(name) for name in ("proprio", "executed", "episode")))

    def pairs(self, domain: Domain, rng: np.random.Generator, size: int) -> tuple[Batch, Batch]:
        """Draw pairs of a frame and the one after it, in one appearance.

        What was done in between is the first ones' auxiliary label `executed`.
        """
        episode = self._arrays["episode"][: self.count]
        (firsts,) = np.nonzero(episode[:-1] == episode[1:])
        picked = np.sort(firsts[rng.integers(len(firsts), size=size)])
        columns = domain.sample_columns(rng, size)
        first = self._batch(picked, columns, rng)
        executed = {"executed": torch.from_numpy(self._arrays["executed"][picked])}
        following = self._batch(picked + 1, columns, rng)
        return dataclasses.replace(first, auxiliary=first.auxiliary | executed), following

    def compose(
        self,
        indices: NDArray[np.int64],
        domain: Domain,
        rng: np.random.Generator,
        shared: NDArray[np.int64] | None = None,
    ) -> Batch:
        """Return the frames at `indices`, each with an appearance of its own.

        Args:
            indices: (N,) which frames.
            domain: Where appearances are drawn.
            rng: The only source of randomness.
            shared: (N,) numbers from 0; frames of one number get one appearance, as in an episode.
        """
        columns = domain.sample_columns(rng, len(indices) if shared is None else int(shared.max()) + 1)
        if shared is not None:
            columns = {name: column[shared] for name, column in columns.items()}
        return self._batch(indices, columns, rng)

    def column(self, name: str) -> NDArray[Any]:
        """Return one column of all frames, (N, ...): layers and labels by their names on disk."""
        return self._arrays[name][: self.count]

    def shown(self, indices: NDArray[np.int64], appearance: Appearance) -> Batch:
        """Return the frames at `indices` in the appearance of each."""
        layers = Layers(*(self._arrays[name][indices] for name in _COLUMNS[:4]))
        image = compose(layers, appearance)
        proprio = torch.from_numpy(self._arrays["proprio"][indices])
        goal = (self._arrays["goal_position"][indices] - GOAL_CENTRE_M) / GOAL_SCALE_M
        return Batch(
            {"image": torch.from_numpy(image), "proprio": proprio},
            torch.from_numpy(self._arrays["action"][indices]),
            {"goal_position": torch.from_numpy(goal)},
        )

    def _batch(
        self, indices: NDArray[np.int64], columns: dict[str, NDArray[Any]], rng: np.random.Generator
    ) -> Batch:
        return self.shown(indices, Appearance(columns, noise_offsets(rng, len(indices))))

    def _write_count(self) -> None:
        for array in self._arrays.values():
            array.flush()  # type: ignore[attr-defined]  # memory-mapped
        partial = self.folder / "count.json.partial"
        partial.write_text(json.dumps({"count": self.count}))
        partial.replace(self.folder / "count.json")
