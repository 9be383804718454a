"""Normalization kept inside the policy as buffers, so that it can never be lost apart from it."""

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn


class VectorNormalizer(nn.Module):
    """Subtract a stored mean and divide by a stored deviation; never by statistics of the batch."""

    mean: Tensor
    std: Tensor

    def __init__(self, size: int, clip: float | None = 10.0) -> None:
        """Start as the identity within `clip`.

        Args:
            size: Elements of the vector.
            clip: Largest magnitude that is let through, in deviations; None for no limit.
        """
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        self._running = (0, torch.zeros(size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64))

    def set_statistics(self, mean: ArrayLike, std: ArrayLike) -> None:
        """Store mean and deviation, (size,) each; a constant element keeps its scale."""
        self.mean.copy_(torch.as_tensor(mean, dtype=torch.float32))
        deviation = torch.as_tensor(std, dtype=torch.float32)
        self.std.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))

    def update(self, batch: ArrayLike) -> None:
        """Set the statistics to those of every vector (B, size) given to `update` so far.

        Counting starts anew in a policy that was loaded or copied from a file: the first update
        then replaces what it came with. Merged as in Chan, Golub and LeVeque 1983, in float64.
        """
        values = torch.as_tensor(batch, dtype=torch.float64).reshape(-1, self.mean.numel())
        if not len(values):
            return
        count, mean, squares = self._running
        total, gap = count + len(values), values.mean(dim=0) - mean
        squares = squares + (values - values.mean(dim=0)).square().sum(dim=0)
        squares = squares + gap.square() * (count * len(values) / total)
        mean = mean + gap * (len(values) / total)
        self._running = (total, mean, squares)
        self.set_statistics(mean, (squares / total).sqrt())

    def forward(self, vector: Tensor) -> Tensor:
        """Normalize (B, size), clipped so that a broken sensor cannot saturate the policy."""
        normal = (vector - self.mean) / self.std
        return normal if self.clip is None else normal.clamp(-self.clip, self.clip)
