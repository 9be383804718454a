"""Perception encoders: an observation in, a feature out."""

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from policies.normalization import VectorNormalizer

Observation = dict[str, Tensor]
Activation = Literal["relu", "tanh"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


@dataclass(frozen=True)
class EncoderConfig:
    """Architecture of an encoder."""

    kind: Literal["vision", "state", "nature-cnn"] = "vision"
    """`vision`: convolutions and spatial softmax; `state`: vectors only; `nature-cnn`: imported."""
    vectors: tuple[tuple[str, int], ...] = (("proprio", 11),)
    """Names and sizes of the vectors in the observation, concatenated in this order."""
    image_shape: tuple[int, int, int] | None = (64, 64, 3)
    """(height, width, channels) of `image`; None for a `state` encoder."""
    feature_size: int = 128
    hidden: tuple[int, ...] = (128,)
    """Widths of the layers before the feature."""
    channels: tuple[int, ...] = (16, 32, 32, 32)
    strides: tuple[int, ...] = (2, 2, 1, 1)
    activation: Activation = "relu"

    @property
    def vector_size(self) -> int:
        """Return the length of all vectors together."""
        return sum(size for _, size in self.vectors)


class SpatialSoftmax(nn.Module):
    """Expected image coordinates of each channel (Levine et al. 2016, arXiv:1504.00702, section 5.1)."""

    grid: Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        down, across = torch.meshgrid(
            torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
        )
        grid = torch.stack([across.reshape(-1), down.reshape(-1)], dim=1)
        self.register_buffer("grid", grid, persistent=False)
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, 2 * C) coordinates in [-1, 1] of maps (B, C, H, W), always in float32."""
        flat = maps.float().flatten(2) * self.temperature
        return (flat.softmax(dim=2) @ self.grid).flatten(1)


class VisionEncoder(nn.Module):
    """Image and vectors to a feature (B, feature_size).

    No layer uses statistics of the batch: adapting on a handful of frames, or on a mixture of
    source and target, must not change what any other frame becomes.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        if config.image_shape is None:
            raise ValueError("a vision encoder needs an image_shape")
        height, width, channels = config.image_shape
        layers: list[nn.Module] = []
        for outputs, stride in zip(config.channels, config.strides, strict=True):
            layers += [nn.Conv2d(channels, outputs, 3, stride, padding=1), nn.ReLU()]
            channels = outputs
            height, width = -(-height // stride), -(-width // stride)
        # Keypoints need maps that can be negative: the last convolution has no activation.
        self.convolutions = nn.Sequential(*layers[:-1])
        self.keypoints = SpatialSoftmax(height, width)
        self.normalizer = VectorNormalizer(config.vector_size)
        self.names = tuple(name for name, _ in config.vectors)
        sizes = (2 * channels + config.vector_size, *config.hidden, config.feature_size)
        self.trunk = mlp(sizes, config.activation)
        self.norm = nn.LayerNorm(config.feature_size)

    def forward(self, observation: Observation) -> Tensor:
        """Encode `image` uint8 (B, H, W, 3) and the vectors (B, n) float32."""
        # HWC seen as CHW is torch's channels_last, the fast layout on a CPU: nothing is copied.
        image = observation["image"].permute(0, 3, 1, 2).float() / 127.5 - 1.0
        points = self.keypoints(self.convolutions(image))
        vectors = self.normalizer(torch.cat([observation[name] for name in self.names], dim=1))
        return self.norm(self.trunk(torch.cat([points, vectors], dim=1)))


class StateEncoder(nn.Module):
    """Vectors to a feature (B, feature_size)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.names = tuple(name for name, _ in config.vectors)
        self.normalizer = VectorNormalizer(config.vector_size)
        sizes = (config.vector_size, *config.hidden, config.feature_size)
        self.trunk = mlp(sizes, config.activation)

    def forward(self, observation: Observation) -> Tensor:
        """Encode the vectors (B, n) float32."""
        vectors = torch.cat([observation[name] for name in self.names], dim=1)
        return self.trunk(self.normalizer(vectors))


def mlp(sizes: tuple[int, ...], activation: Activation) -> nn.Sequential:
    """Return linear layers of these sizes, each followed by the activation."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


def build_encoder(config: EncoderConfig) -> nn.Module:
    """Build the encoder that a configuration describes."""
    builders = {"vision": VisionEncoder, "state": StateEncoder}
    return builders[config.kind](config)
