"""`TargetData`: what a method may see of the target, drawn as batches."""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from simreal.data.batch import Batch
from simreal.data.episodes import Episode
from simreal.data.motions import Motions
from simreal.data.stored_images import ImageStore, StoredImages
from simreal.errors import SimrealError


@dataclass(frozen=True, eq=False)
class TargetData:
    """Frames of the target: RGB, proprioception and actions, nothing else."""

    images: NDArray[np.uint8] | StoredImages
    """(N, H, W, 3) RGB; of a large dataset they stay in a file, and only what is asked for is read."""
    proprio: NDArray[np.float32]
    actions: NDArray[np.float32]
    """(N, A): what was done; in a demonstration that was right."""
    episode: NDArray[np.int64]
    """(N,): which episode a frame belongs to, counted from 0; the frames of one lie in order."""
    images_only: bool = False
    """Whether nothing but the images is known: no action, and a proprioception that stands for any."""

    @property
    def demonstrations(self) -> int:
        """Return the number of demonstrations."""
        return len(np.unique(self.episode))

    @classmethod
    def of_episodes(cls, episodes: Iterable[Episode], beside: Path | None = None) -> "TargetData":
        """Put the frames of all episodes together; memory holds the images of few.

        Args:
            episodes: At least one.
            beside: The dataset that they come from, if any.

        Raises:
            SimrealError: if there is no frame at all.
        """
        images = ImageStore(beside)
        parts: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        for episode in episodes:
            images.add(episode.images)
            parts.append((episode.proprio, episode.actions))
        if not parts:
            raise SimrealError("no demonstrations: at least one episode is needed")
        return cls(
            images.finish(),
            np.concatenate([proprio for proprio, _ in parts]),
            np.concatenate([actions for _, actions in parts]),
            np.repeat(np.arange(len(parts)), [len(actions) for _, actions in parts]),
        )

    def only(self, episodes: NDArray[np.int64]) -> "TargetData":
        """Return the frames of these demonstrations."""
        return self.chosen(np.flatnonzero(np.isin(self.episode, episodes)))

    def chosen(self, indices: NDArray[np.int64]) -> "TargetData":
        """Return the frames at `indices`; images in a file stay there."""
        stored = isinstance(self.images, StoredImages)
        images = self.images.only(indices) if stored else self.images[indices]  # type: ignore[union-attr]
        return dataclasses.replace(
            self,
            images=images,
            proprio=self.proprio[indices],
            actions=self.actions[indices],
            episode=self.episode[indices],
        )

    def parts(self, size: int = 256) -> Iterator[Batch]:
        """Yield all frames in order, as they are, some at a time."""
        for first in range(0, len(self), size):
            yield self.at(np.arange(first, min(first + size, len(self))))

    def __len__(self) -> int:
        return len(self.actions)

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        """Draw `size` frames with replacement, lightly jittered in light and noise."""
        return self.at(rng.integers(len(self), size=size), rng)

    def motions(self) -> Motions:
        """Return what was done in all episodes and how the robot moved."""
        return Motions(self.proprio, self.actions, self.episode)

    def pairs(self, rng: np.random.Generator, size: int) -> tuple[Batch, Batch]:
        """Draw `size` pairs of a frame and the one after it.

        What was done in between is the first ones' auxiliary label `executed`.

        Raises:
            SimrealError: if no frame follows another, or nobody knows what was done.
        """
        if self.images_only:
            raise SimrealError("the frames are images alone: inverse dynamics needs the actions between them")
        (firsts,) = np.nonzero(self.episode[:-1] == self.episode[1:])
        if not len(firsts):
            raise SimrealError("no two frames follow each other: inverse dynamics needs whole episodes")
        picked = firsts[rng.integers(len(firsts), size=size)]
        first = self.at(picked, rng)
        return dataclasses.replace(first, auxiliary={"executed": first.action}), self.at(picked + 1, rng)

    def at(self, indices: NDArray[np.int64], rng: np.random.Generator | None = None) -> Batch:
        """Return the frames at `indices`; jittered if there is a generator."""
        images = torch.from_numpy(self.images[indices])
        if rng is not None:
            images = _jittered(images, rng)
        return Batch(
            {"image": images, "proprio": torch.from_numpy(self.proprio[indices])},
            torch.from_numpy(self.actions[indices]),
            {},
        )


def _jittered(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Vary gain per channel by 10% and add up to 3% of noise: cheap, and shifts nothing."""
    count, _, width, channels = images.shape
    gain = torch.from_numpy(rng.uniform(0.9, 1.1, (count, 1, channels)).astype(np.float32))
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 31)))
    strength = torch.from_numpy(rng.uniform(0, 8, (count, 1, 1)).astype(np.float32))
    rows = images.flatten(2)  # a gain for each of three channels at a time would take twice as long
    noise = torch.randn(rows.shape, generator=generator).mul_(strength)
    varied = rows.float().mul_(gain.repeat(1, 1, width)).add_(noise)
    return varied.clamp_(0, 255).to(torch.uint8).view(images.shape)
