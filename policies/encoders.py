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
NATURE_SMALLEST = 36  # pixels: below, the third convolution has nothing to look at


@dataclass(frozen=True)
class EncoderConfig:
    """Architecture of an encoder.

    Raises:
        ValueError: naming the value that cannot be.
    """

    kind: Literal["vision", "state", "nature-cnn"] = "vision"
    """`vision`: convolutions and spatial softmax; `state`: vectors only; `nature-cnn`: imported."""
    vectors: tuple[tuple[str, int], ...] = (("proprio", 11),)
    """Names and sizes of the vectors in the observation, concatenated in this order."""
    image_shape: tuple[int, int, int] | None = (64, 64, 3)
    """(height, width, channels) of `image`; None for a `state` encoder."""
    feature_size: int = 128
    hidden: tuple[int, ...] = (128,)
    """Widths of the layers before the feature; `nature-cnn` has none."""
    channels: tuple[int, ...] = (16, 32, 32, 32)
    strides: tuple[int, ...] = (2, 2, 1, 1)
    activation: Activation = "relu"
    vector_clip: float | None = 10.0
    """Limit of the normalized vectors, in deviations; None for none."""

    def __post_init__(self) -> None:
        if self.kind not in _ENCODERS:
            raise ValueError(f"encoder kind {self.kind!r} is not one of {', '.join(_ENCODERS)}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation {self.activation!r} is not one of {', '.join(ACTIVATIONS)}")
        if (self.kind == "state") != (self.image_shape is None):
            raise ValueError(f"image_shape {self.image_shape} with kind {self.kind!r}: only `state` has none")
        names = self.observation_names
        if not names or len(set(names)) < len(names):
            raise ValueError(f"the observation's names {names} are not one or more different ones")
        if len(self.channels) != len(self.strides):
            raise ValueError(f"{len(self.channels)} channels with {len(self.strides)} strides")
        widths = (self.feature_size, *self.hidden, *self.channels, *self.strides)
        sizes = (*widths, *(size for _, size in self.vectors), *(self.image_shape or ()))
        if min(sizes) < 1:
            raise ValueError(f"a size of {min(sizes)} in {self}")
        if self.vector_clip is not None and not self.vector_clip > 0:
            raise ValueError(f"vector_clip {self.vector_clip} is not above 0")
        if self.kind == "nature-cnn":
            self._check_nature()

    def _check_nature(self) -> None:
        if self.image_shape is not None and min(self.image_shape[:2]) < NATURE_SMALLEST:
            raise ValueError(f"image_shape {self.image_shape}: nature-cnn needs {NATURE_SMALLEST} pixels")
        if self.hidden:
            raise ValueError(f"hidden {self.hidden}: a nature-cnn encoder has no layers after its parts")
        if self.feature_size <= self.vector_size:
            raise ValueError(f"feature_size {self.feature_size} leaves nothing for the image")

    @property
    def vector_size(self) -> int:
        """Return the length of all vectors together."""
        return sum(size for _, size in self.vectors)

    @property
    def observation_names(self) -> tuple[str, ...]:
        """Return the keys of the observation that the encoder reads."""
        image = ("image",) if self.image_shape is not None else ()
        return (*image, *(name for name, _ in self.vectors))


class SpatialSoftmax(nn.Module):
    """Expected image coordinates of each channel.

    Levine et al. 2016 (arXiv:1504.00702, section 5.1) and Finn et al. 2016 (arXiv:1509.06113).
    """

    across: Tensor
    down: Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("across", torch.linspace(-1, 1, width), persistent=False)
        self.register_buffer("down", torch.linspace(-1, 1, height), persistent=False)
        # From 1 the maps are nearly flat for hundreds of updates: a plateau. From 10 there is none.
        self.temperature = nn.Parameter(torch.full((), 10.0))

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, 2 * C) coordinates in [-1, 1], x and y by turns, of maps (B, C, H, W).

        Always in float32: sums, since autocast would turn a matrix product into bfloat16, whose
        steps near 1 are an eighth of a pixel of 64.
        """
        flat = maps.float().flatten(2) * self.temperature
        chance = flat.softmax(dim=2).unflatten(2, (len(self.down), len(self.across)))
        x = (chance.sum(dim=2) * self.across).sum(dim=2)
        y = (chance.sum(dim=3) * self.down).sum(dim=2)
        return torch.stack([x, y], dim=2).flatten(1)


class _Encoder(nn.Module):
    """What encoders share: the vectors, concatenated and normalized, and the way to the feature.

    First `perceive` looks at the image alone, then `combine` adds the vectors. What perception should
    know without being told by the vectors, such as where the gripper is, is asked of it.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.names = tuple(name for name, _ in config.vectors)
        self.normalizer = VectorNormalizer(config.vector_size, config.vector_clip)
        self.perception_size = 0

    def vectors(self, observation: Observation) -> list[Tensor]:
        """Return the normalized vectors, (B, vector_size) float32, in a list; empty without any."""
        if not self.names:
            return []
        return [self.normalizer(torch.cat([observation[name] for name in self.names], dim=1))]

    def perceive(self, observation: Observation) -> Tensor:
        """Return what the image alone tells, (B, perception_size); nothing without an image."""
        first = next(iter(observation.values()))
        return first.flatten(1)[:, :0].float()  # not by len: an export would take that for fixed

    def combine(self, perception: Tensor, observation: Observation) -> Tensor:
        """Return the feature (B, feature_size) of what `perceive` told and of the vectors."""
        raise NotImplementedError

    def forward(self, observation: Observation) -> Tensor:
        """Encode uint8 images (B, H, W, C), if it has them, and vectors (B, n) float32."""
        return self.combine(self.perceive(observation), observation)


class VisionEncoder(_Encoder):
    """Image and vectors to a feature (B, feature_size) float32.

    No layer uses statistics of the batch: adapting on a handful of frames, or on a mixture of
    source and target, must not change what any other frame becomes.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        height, width, channels = config.image_shape or (0, 0, 0)
        layers: list[nn.Module] = []
        for outputs, stride in zip(config.channels, config.strides, strict=True):
            layers += [nn.Conv2d(channels, outputs, 3, stride, padding=1), nn.ReLU(inplace=True)]
            channels = outputs
            height, width = -(-height // stride), -(-width // stride)
        # Keypoints need maps that can be negative: the last convolution has no activation.
        self.convolutions = nn.Sequential(*layers[:-1])
        self.keypoints = SpatialSoftmax(height, width)
        sizes = (2 * channels + config.vector_size, *config.hidden, config.feature_size)
        self.trunk = mlp(sizes, config.activation)
        self.norm = nn.LayerNorm(config.feature_size)
        self.perception_size = 2 * channels

    def perceive(self, observation: Observation) -> Tensor:
        """Return what the image alone tells: keypoints (B, perception_size) of uint8 (B, H, W, C)."""
        # HWC seen as CHW is torch's channels_last, the fast layout on a CPU: nothing is copied.
        image = observation["image"].permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return self.keypoints(self.convolutions(image))

    def combine(self, perception: Tensor, observation: Observation) -> Tensor:
        """Return the feature (B, feature_size) float32 of keypoints and vectors."""
        return self.norm(self.trunk(torch.cat([perception, *self.vectors(observation)], dim=1)).float())


class StateEncoder(_Encoder):
    """Vectors to a feature (B, feature_size) float32."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        sizes = (config.vector_size, *config.hidden, config.feature_size)
        self.trunk = mlp(sizes, config.activation)

    def combine(self, perception: Tensor, observation: Observation) -> Tensor:
        """Return the feature (B, feature_size) float32 of the vectors (B, n)."""
        return self.trunk(*self.vectors(observation)).float()


class NatureCnnEncoder(_Encoder):
    """The CNN of Mnih et al. 2015 (doi:10.1038/nature14236) beside the vectors, as in SB3.

    The feature is what the CNN says of the image, then the normalized vectors.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        height, width, channels = config.image_shape or (0, 0, 0)
        layers: list[nn.Module] = []
        for outputs, kernel, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
            layers += [nn.Conv2d(channels, outputs, kernel, stride), nn.ReLU()]
            channels = outputs
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.perception_size = config.feature_size - config.vector_size
        self.image_feature = mlp((channels * height * width, self.perception_size), "relu")

    def perceive(self, observation: Observation) -> Tensor:
        """Return what the image alone tells, (B, perception_size), of uint8 (B, H, W, C)."""
        image = observation["image"].permute(0, 3, 1, 2).float() / 255.0
        return self.image_feature(self.convolutions(image)).float()

    def combine(self, perception: Tensor, observation: Observation) -> Tensor:
        """Return the feature (B, feature_size) float32: perception and vectors side by side."""
        return torch.cat([perception, *self.vectors(observation)], dim=1)


def mlp(sizes: tuple[int, ...], activation: Activation) -> nn.Sequential:
    """Return linear layers of these sizes, each followed by the activation."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


def build_encoder(config: EncoderConfig) -> nn.Module:
    """Build the encoder that a configuration describes."""
    return _ENCODERS[config.kind](config)


_ENCODERS: dict[str, type[_Encoder]] = {
    "vision": VisionEncoder,
    "state": StateEncoder,
    "nature-cnn": NatureCnnEncoder,
}
