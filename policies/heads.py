"""Policy heads and auxiliary heads: a feature in, an action or a label out."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from policies.encoders import ACTIVATIONS, Activation, mlp

Squash = Literal["clip", "tanh"]


@dataclass(frozen=True)
class HeadConfig:
    """Architecture of a policy head.

    Raises:
        ValueError: naming the value that cannot be.
    """

    hidden: tuple[int, ...] = (64,)
    activation: Activation = "relu"
    squash: Squash = "clip"
    """How a raw action is brought into [-1, 1] when acting."""

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation {self.activation!r} is not one of {', '.join(ACTIVATIONS)}")
        if self.squash not in get_args(Squash):
            raise ValueError(f"squash {self.squash!r} is not one of {', '.join(get_args(Squash))}")
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden {self.hidden} has a width below 1")


class PolicyHead(nn.Module):
    """Feature (B, F) to raw action (B, A)."""

    def __init__(self, feature_size: int, action_size: int, config: HeadConfig) -> None:
        super().__init__()
        self.squash = config.squash
        self.hidden = mlp((feature_size, *config.hidden), config.activation)
        self.output = nn.Linear((feature_size, *config.hidden)[-1], action_size)

    def forward(self, feature: Tensor) -> Tensor:
        """Return the raw action, which may leave [-1, 1]; losses use this one."""
        return self.output(self.hidden(feature))

    def bounded(self, raw: Tensor) -> Tensor:
        """Return the action in [-1, 1]."""
        return torch.tanh(raw) if self.squash == "tanh" else raw.clamp(-1.0, 1.0)


class AuxiliaryHead(nn.Module):
    """Feature (B, F) to something the encoder should know, such as the goal's position (B, n)."""

    def __init__(self, feature_size: int, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(feature_size, 64), nn.ReLU(), nn.Linear(64, size))

    def forward(self, feature: Tensor) -> Tensor:
        """Return the prediction, (B, size)."""
        return self.layers(feature)
