"""`TargetData`: what a method may see of the target, drawn as batches."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from simreal.data.batch import Batch
from simreal.data.episodes import Episode
from simreal.errors import SimrealError


@dataclass(frozen=True, eq=False)
class TargetData:
    """Frames of the target: RGB, proprioception and actions, nothing else."""

    images: NDArray[np.uint8]
    proprio: NDArray[np.float32]
    actions: NDArray[np.float32]
    """(N, A): what was done; in a demonstration that was right."""
    episode: NDArray[np.int64]
    """(N,): which episode a frame belongs to, counted from 0; the frames of one lie in order."""

    @property
    def demonstrations(self) -> int:
        """Return the number of demonstrations."""
        return len(np.unique(self.episode))

    @classmethod
    def of_episodes(cls, episodes: list[Episode]) -> "TargetData":
        """Put the frames of all episodes together.

        Raises:
            SimrealError: if there is no frame at all.
        """
        if not episodes:
            raise SimrealError("no demonstrations: at least one episode is needed")
        return cls(
            np.concatenate([episode.images for episode in episodes]),
            np.concatenate([episode.proprio for episode in episodes]),
            np.concatenate([episode.actions for episode in episodes]),
            np.repeat(np.arange(len(episodes)), [len(episode) for episode in episodes]),
        )

    def only(self, episodes: NDArray[np.int64]) -> "TargetData":
        """Return the frames of these demonstrations."""
        keep = np.isin(self.episode, episodes)
        return TargetData(self.images[keep], self.proprio[keep], self.actions[keep], self.episode[keep])

    def __len__(self) -> int:
        return len(self.actions)

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        """Draw `size` frames with replacement, lightly jittered in light and noise."""
        return self.at(rng.integers(len(self), size=size), rng)

    def pairs(self, rng: np.random.Generator, size: int) -> tuple[Batch, Batch]:
        """Draw `size` pairs of a frame and the one after it.

        What was done in between is the first ones' auxiliary label `executed`.

        Raises:
            SimrealError: if no frame follows another.
        """
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
    gain = torch.from_numpy(rng.uniform(0.9, 1.1, (len(images), 1, 1, images.shape[-1])).astype(np.float32))
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 31)))
    noise = torch.randn(images.shape, generator=generator)
    strength = torch.from_numpy(rng.uniform(0, 8, (len(images), 1, 1, 1)).astype(np.float32))
    return (images * gain + noise * strength).clamp_(0, 255).to(torch.uint8)
