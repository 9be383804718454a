"""`Policy`: encoder and head, the two parts that a transfer layer adapts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policies.encoders import EncoderConfig, Observation, build_encoder
from policies.heads import AuxiliaryHead, HeadConfig, PolicyHead


@dataclass(frozen=True)
class PolicyConfig:
    """Everything that decides the shape of a policy's weights."""

    encoder: EncoderConfig = EncoderConfig()
    head: HeadConfig = HeadConfig()
    action_size: int = 3
    auxiliary: tuple[tuple[str, int], ...] = ()
    """Names and sizes of what the feature is also asked to predict, in training only."""

    @property
    def observation_names(self) -> tuple[str, ...]:
        """Return the keys of the observation that the policy reads."""
        image = ("image",) if self.encoder.image_shape is not None else ()
        return (*image, *(name for name, _ in self.encoder.vectors))


class Policy(nn.Module):
    """An encoder and a head, as plain torch modules."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        size = config.encoder.feature_size
        self.encoder: Any = build_encoder(config.encoder)
        self.head = PolicyHead(size, config.action_size, config.head)
        self.auxiliary = nn.ModuleDict(
            {name: AuxiliaryHead(size, length) for name, length in config.auxiliary}
        )

    def features(self, observation: Observation) -> Tensor:
        """Return the feature (B, feature_size) of a batch of observations."""
        return self.encoder(observation)

    def forward(self, observation: Observation) -> Tensor:
        """Return raw actions (B, A)."""
        return self.head(self.encoder(observation))

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights as NumPy arrays, to send to another process or to a file."""
        return {name: value.numpy().copy() for name, value in self.state_dict().items()}

    @classmethod
    def from_arrays(cls, config: PolicyConfig, arrays: dict[str, NDArray[np.float32]]) -> "Policy":
        """Build a policy from its configuration and its weights.

        Raises:
            RuntimeError: if a name or a shape does not fit the configuration.
        """
        policy = cls(config)
        policy.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
        return policy.eval()

    def act(self, observation: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """Return the action in [-1, 1] for one observation (A,), or for a batch (B, A)."""
        names = self.config.observation_names
        single = np.ndim(observation["image" if "image" in names else names[0]]) in (1, 3)
        batch = {name: torch.from_numpy(np.ascontiguousarray(observation[name])) for name in names}
        if single:
            batch = {name: value[None] for name, value in batch.items()}
        with torch.inference_mode():
            action = self.head.bounded(self(batch)).numpy()
        return action[0] if single else action
