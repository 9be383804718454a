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
    """Everything that decides the shape of a policy's weights.

    Raises:
        ValueError: naming the value that cannot be.
    """

    encoder: EncoderConfig = EncoderConfig()
    head: HeadConfig = HeadConfig()
    action_size: int = 3
    auxiliary: tuple[tuple[str, int], ...] = ()
    """Names and sizes of what the feature is also asked to predict, in training only."""

    def __post_init__(self) -> None:
        if self.action_size < 1:
            raise ValueError(f"action_size {self.action_size} is below 1")
        names = [name for name, _ in self.auxiliary]
        if len(set(names)) < len(names) or any(size < 1 for _, size in self.auxiliary):
            raise ValueError(f"auxiliary {self.auxiliary}: names must differ and sizes be above 0")

    @property
    def observation_names(self) -> tuple[str, ...]:
        """Return the keys of the observation that the policy reads."""
        return self.encoder.observation_names

    @property
    def observation_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each entry of one observation."""
        image = self.encoder.image_shape
        shapes: dict[str, tuple[int, ...]] = {} if image is None else {"image": image}
        return shapes | {name: (size,) for name, size in self.encoder.vectors}


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
        """Return the feature (B, feature_size) float32 of a batch of observations."""
        return self.encoder(observation)

    def forward(self, observation: Observation) -> Tensor:
        """Return raw actions (B, A), which may leave [-1, 1]."""
        return self.head(self.encoder(observation))

    def auxiliary_outputs(self, feature: Tensor) -> dict[str, Tensor]:
        """Return what each auxiliary head reads out of a feature (B, F): name to (B, size)."""
        return {name: head(feature) for name, head in self.auxiliary.items()}

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

    def act(self, observation: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the action in [-1, 1] for one observation (A,), or for a batch (B, A).

        Entries that the policy does not read are ignored. No layer behaves differently in training.

        Raises:
            ValueError: if an entry is missing, an image is not uint8, or a shape does not fit.
        """
        shapes = self.config.observation_shapes
        entries = {name: _checked(name, observation, shape) for name, shape in shapes.items()}
        extra = {name: entries[name].dim() - len(shape) for name, shape in shapes.items()}
        if len(set(extra.values())) > 1:
            batched = ", ".join(name for name, more in extra.items() if more)
            raise ValueError(f"only some entries of the observation are batches: {batched}")
        single = 0 in extra.values()
        if single:
            entries = {name: value[None] for name, value in entries.items()}
        with torch.inference_mode():
            action = self.head.bounded(self(entries)).numpy()
        return action[0] if single else action


def _checked(name: str, observation: dict[str, NDArray[Any]], shape: tuple[int, ...]) -> Tensor:
    """Return an entry as a tensor of `shape`, or of a batch of it."""
    if name not in observation:
        raise ValueError(f"the observation has no {name!r}, only {', '.join(observation) or 'nothing'}")
    value = np.asarray(observation[name])
    if value.shape[-len(shape) :] != shape or value.ndim > len(shape) + 1:
        raise ValueError(f"{name!r} of shape {value.shape}: the policy reads {shape}, or a batch of it")
    if len(shape) == 3 and value.dtype != np.uint8:
        raise ValueError(f"{name!r} of dtype {value.dtype}: the policy reads uint8, from 0 to 255")
    # Writable and contiguous, as torch wants it: flipped and read-only arrays are copied.
    return torch.from_numpy(np.require(value, np.uint8 if len(shape) == 3 else np.float32, ["C", "W"]))
