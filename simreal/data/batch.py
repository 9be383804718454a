"""`Batch`: what one gradient step sees."""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Observations with the action to imitate and, from a simulation, what else is known."""

    observation: dict[str, Tensor]
    """`image` uint8 (B, H, W, 3) and `proprio` float32 (B, P)."""
    action: Tensor
    """float32 (B, A), in [-1, 1]; a row nobody knows is NaN: it teaches no action."""
    auxiliary: dict[str, Tensor]
    """Labels for auxiliary heads, float32 (B, n); a row nobody knows is NaN."""

    def __len__(self) -> int:
        return len(self.action)


def unlabelled(batch: Batch) -> Batch:
    """Return the observations alone: no action, nothing else that is known."""
    return dataclasses.replace(batch, action=torch.full_like(batch.action, torch.nan), auxiliary={})


def concatenate(labelled: Batch, other: Batch) -> Batch:
    """Return both batches as one.

    Where only one side knows an auxiliary label, the other side's rows are NaN: unknown.
    """
    observation = {
        name: torch.cat([value, other.observation[name]]) for name, value in labelled.observation.items()
    }
    names = labelled.auxiliary.keys() | other.auxiliary.keys()
    auxiliary = {
        name: torch.cat([_label(side, name, (labelled, other)) for side in (labelled, other)])
        for name in names
    }
    return Batch(observation, torch.cat([labelled.action, other.action]), auxiliary)


def _label(side: Batch, name: str, both: tuple[Batch, Batch]) -> Tensor:
    if name in side.auxiliary:
        return side.auxiliary[name]
    size = next(batch.auxiliary[name].shape[1] for batch in both if name in batch.auxiliary)
    return torch.full((len(side), size), torch.nan)
