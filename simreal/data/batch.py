"""`Batch`: what one gradient step sees."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Observations with the action to imitate and, from a simulation, what else is known."""

    observation: dict[str, Tensor]
    """`image` uint8 (B, H, W, 3) and `proprio` float32 (B, P)."""
    action: Tensor
    """float32 (B, A), in [-1, 1]."""
    auxiliary: dict[str, Tensor]
    """Labels for auxiliary heads, float32 (B, n); empty where nobody knows them."""

    def __len__(self) -> int:
        return len(self.action)


def concatenate(first: Batch, second: Batch) -> Batch:
    """Return both batches as one; auxiliary labels are dropped, since one side may lack them."""
    observation = {
        name: torch.cat([value, second.observation[name]])
        for name, value in first.observation.items()
    }
    return Batch(observation, torch.cat([first.action, second.action]), {})
