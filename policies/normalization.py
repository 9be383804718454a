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

    def set_statistics(self, mean: ArrayLike, std: ArrayLike) -> None:
        """Store mean and deviation, (size,) each; a constant element keeps its scale."""
        self.mean.copy_(torch.as_tensor(mean, dtype=torch.float32))
        deviation = torch.as_tensor(std, dtype=torch.float32)
        self.std.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))

    def forward(self, vector: Tensor) -> Tensor:
        """Normalize (B, size), clipped so that a broken sensor cannot saturate the policy."""
        normal = (vector - self.mean) / self.std
        return normal if self.clip is None else normal.clamp(-self.clip, self.clip)
