"""Import a policy that stable-baselines3 trained elsewhere, with its own stock networks.

`sb3.py` beside this goes to and from models whose networks are ours; here they are SB3's, and the
weights find their places in a `state` or a `nature-cnn` encoder. The action bounds become [-1, 1].
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from policies.encoders import Activation, EncoderConfig
from policies.errors import Sb3Error
from policies.heads import HeadConfig, Squash
from policies.inert import name_of
from policies.policy import Policy, PolicyConfig
from policies.sb3_files import Arrays, Sb3Model, read_model
from policies.sb3_normalize import statistics
from policies.sb3_spaces import SpaceInfo

_Layer = tuple[NDArray[Any], NDArray[Any]]
"""Weight (outputs, inputs) and bias (outputs,)."""
Extractor = Literal["flat", "cnn", "dict"]


@dataclass(frozen=True)
class _Layout:
    """Where an algorithm keeps its actor."""

    extractors: tuple[str, ...]
    hidden: str
    output: str | None
    """None where the output is the last of `hidden`."""
    activation: Activation
    squash: Squash
    unused: tuple[str, ...]
    """What else may be in the file."""


_ACTOR_CRITIC = _Layout(
    ("pi_features_extractor.", "features_extractor."), "mlp_extractor.policy_net.", "action_net",
    "tanh", "clip",
    ("mlp_extractor.value_net.", "value_net.", "features_extractor.", "vf_features_extractor.", "log_std"),
)  # fmt: skip
_SAC = _Layout(
    ("actor.features_extractor.",), "actor.latent_pi.", "actor.mu",
    "relu", "tanh", ("actor.log_std.", "critic.", "critic_target."),
)  # fmt: skip
_TD3 = _Layout(
    ("actor.features_extractor.",), "actor.mu.", None,
    "relu", "tanh", ("actor_target.", "critic.", "critic_target."),
)  # fmt: skip
_STOCK: dict[str, tuple[_Layout, Extractor]] = {
    "stable_baselines3.common.policies.ActorCriticPolicy": (_ACTOR_CRITIC, "flat"),
    "stable_baselines3.common.policies.ActorCriticCnnPolicy": (_ACTOR_CRITIC, "cnn"),
    "stable_baselines3.common.policies.MultiInputActorCriticPolicy": (_ACTOR_CRITIC, "dict"),
    "stable_baselines3.sac.policies.SACPolicy": (_SAC, "flat"),
    "stable_baselines3.sac.policies.CnnPolicy": (_SAC, "cnn"),
    "stable_baselines3.sac.policies.MultiInputPolicy": (_SAC, "dict"),
    "stable_baselines3.td3.policies.TD3Policy": (_TD3, "flat"),
    "stable_baselines3.td3.policies.CnnPolicy": (_TD3, "cnn"),
    "stable_baselines3.td3.policies.MultiInputPolicy": (_TD3, "dict"),
}
_EXTRACTORS: dict[str, Extractor] = {
    "stable_baselines3.common.torch_layers.FlattenExtractor": "flat",
    "stable_baselines3.common.torch_layers.NatureCNN": "cnn",
    "stable_baselines3.common.torch_layers.CombinedExtractor": "dict",
}
_ACTIVATIONS: dict[str, Activation] = {
    "torch.nn.modules.activation.ReLU": "relu",
    "torch.nn.modules.activation.Tanh": "tanh",
}


@dataclass(frozen=True)
class Imported:
    """A policy from elsewhere, and what it was made for."""

    policy: Policy
    spaces: SpaceInfo
    policy_class: str
    version: str
    """Of the stable-baselines3 that saved it."""


def import_sb3(path: Path, normalize: Path | None = None) -> Imported:
    """Return the actor of a zip of PPO, A2C, SAC, TD3 or DDPG; no code of either file is run.

    Args:
        path: What `model.save` wrote.
        normalize: What `VecNormalize.save` wrote, if the model was trained behind one.

    Raises:
        Sb3Error: naming the file and the part that has no equal here.
    """
    model = read_model(path)
    if model.policy_class not in _STOCK:
        algorithms = "PPO, A2C, SAC, TD3 and DDPG"
        raise Sb3Error(
            f"{path}: policy_class {model.policy_class}: not one of the stock policies of {algorithms}"
        )
    layout, extractor = _STOCK[model.policy_class]
    activation = _check_settings(model, layout, extractor)
    rest = dict(model.weights)
    image = _image_weights(model, layout, rest)
    layers = _layers(model, layout, rest)
    if unknown := [name for name in rest if not name.startswith(layout.unused)]:
        raise Sb3Error(f"{path}: policy.pth: {unknown[0]} is no part of a stock policy")
    clip, arrays = statistics(model.spaces, normalize)
    encoder = _encoder(model, image, layers, arrays)
    for index, layer in enumerate(layers[:-1]):
        _place(arrays, f"head.hidden.{2 * index}", layer)
    _place(arrays, "head.output", layers[-1])
    widths = tuple(len(bias) for _, bias in layers[:-1])
    try:
        config = PolicyConfig(
            dataclasses.replace(encoder, activation=activation, vector_clip=clip),
            HeadConfig(widths, activation, layout.squash),
            action_size=len(model.spaces.action_low),
        )
        policy = Policy.from_arrays(config, arrays)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise Sb3Error(f"{path}: policy.pth: does not fit a stock policy: {reason}") from None
    return Imported(policy, model.spaces, model.policy_class, model.version)


def _check_settings(model: Sb3Model, layout: _Layout, extractor: Extractor) -> Activation:
    """Refuse what a stock policy can be told that ours cannot do; return the activation."""
    kwargs, where, image = model.policy_kwargs, f"{model.path}: policy_kwargs", model.spaces.image
    chosen = kwargs.get("features_extractor_class")
    if chosen is not None and _EXTRACTORS.get(name_of(chosen)) is None:
        known = ", ".join(name.rpartition(".")[2] for name in _EXTRACTORS)
        raise Sb3Error(f"{where}: features_extractor_class {name_of(chosen)}: not one of {known}")
    if chosen is not None:
        extractor = _EXTRACTORS[name_of(chosen)]
    if (extractor == "dict") != (model.spaces.observations[0].key is not None):
        raise Sb3Error(f"{model.path}: observation_space {model.spaces}: does not go with {extractor}")
    if extractor != "dict" and (extractor == "cnn") != (image is not None):
        part = "an image" if image else "no uint8 image from 0 to 255"
        raise Sb3Error(f"{model.path}: observation_space: {part} with the {extractor} features extractor")
    if image is not None and kwargs.get("normalize_images", True) is not True:
        raise Sb3Error(f"{where}: normalize_images {kwargs['normalize_images']}: only True can be imported")
    if kwargs.get("squash_output"):
        raise Sb3Error(f"{where}: squash_output True: only the plain Gaussian policy can be imported")
    if model.use_sde and layout.squash == "tanh":
        raise Sb3Error(f"{model.path}: use_sde True: SAC with gSDE limits its mean, which is not supported")
    if "activation_fn" not in kwargs:
        return layout.activation
    name = name_of(kwargs["activation_fn"])
    if name not in _ACTIVATIONS:
        raise Sb3Error(f"{where}: activation_fn {name}: only ReLU and Tanh can be imported")
    return _ACTIVATIONS[name]


def _layers(model: Sb3Model, layout: _Layout, rest: Arrays) -> list[_Layer]:
    """Take the linear layers after the features, the output last, out of `rest`."""
    layers, index = [], 0
    while f"{layout.hidden}{index}.weight" in rest:
        layers.append(_take(model, rest, f"{layout.hidden}{index}"))
        index += 2
    if layout.output is not None:
        layers.append(_take(model, rest, layout.output))
    if not layers:
        raise Sb3Error(f"{model.path}: policy.pth: no {layout.hidden}0.weight")
    if layout.squash == "clip":
        # The model's own bounds become [-1, 1]: clipping commutes with an increasing map.
        low, high = np.array(model.spaces.action_low), np.array(model.spaces.action_high)
        scale, (weight, bias) = 2.0 / (high - low), layers[-1]
        if weight.shape[0] != len(low):
            raise Sb3Error(f"{model.path}: policy.pth: {weight.shape[0]} outputs for {len(low)} actions")
        layers[-1] = (weight * scale[:, None], (bias - low) * scale - 1.0)
    return layers


def _image_weights(model: Sb3Model, layout: _Layout, rest: Arrays) -> Arrays:
    """Take the convolutions out of `rest`, under our names; empty without an image."""
    image = model.spaces.image
    if image is None:
        return {}
    prefix = next((name for name in layout.extractors if any(key.startswith(name) for key in rest)), "")
    part = f"{prefix}extractors.{image.key}." if image.key is not None else prefix
    ours: Arrays = {}
    for index in (0, 2, 4):
        _place(ours, f"encoder.convolutions.{index}", _take(model, rest, f"{part}cnn.{index}"))
    _place(ours, "encoder.image_feature.0", _take(model, rest, f"{part}linear.0"))
    return ours


def _encoder(model: Sb3Model, image: Arrays, layers: list[_Layer], arrays: Arrays) -> EncoderConfig:
    """Give the encoder its weights in `arrays`, and take the layers it uses from `layers`."""
    vectors = tuple((entry.name, entry.size) for entry in model.spaces.vectors)
    if model.spaces.image is None:
        if len(layers) < 2:
            raise Sb3Error(f"{model.path}: net_arch: no hidden layer; a policy on vectors needs at least one")
        first = layers.pop(0)
        _place(arrays, "encoder.trunk.0", first)
        return EncoderConfig("state", vectors, None, len(first[1]), hidden=())
    arrays |= image
    width = len(image["encoder.image_feature.0.bias"])
    weight, bias = layers[0]
    layers[0] = (weight[:, _image_first(model.spaces, width, weight.shape[1])], bias)
    height, across, channels = model.spaces.image.shape
    size = width + sum(size for _, size in vectors)
    return EncoderConfig("nature-cnn", vectors, (height, across, channels), size, hidden=())


def _image_first(spaces: SpaceInfo, width: int, columns: int) -> list[int]:
    """Return the columns of the layer after the features in our order: image, then vectors.

    SB3 concatenates in the order of the Dict.
    """
    first: list[int] = []
    others: list[int] = []
    start = 0
    for entry in spaces.observations:
        size = width if entry.is_image else entry.size
        (first if entry.is_image else others).extend(range(start, start + size))
        start += size
    return first + others if start == columns else list(range(columns))


def _take(model: Sb3Model, rest: Arrays, name: str) -> _Layer:
    try:
        weight, bias = rest.pop(f"{name}.weight"), rest.pop(f"{name}.bias")
    except KeyError as error:
        raise Sb3Error(f"{model.path}: policy.pth: no {error.args[0]}, as a stock policy has") from None
    if weight.ndim < 2 or bias.shape != weight.shape[:1]:
        raise Sb3Error(f"{model.path}: policy.pth: {name}: weight {weight.shape} with bias {bias.shape}")
    return weight, bias


def _place(arrays: Arrays, name: str, layer: _Layer) -> None:
    weight, bias = layer
    arrays[f"{name}.weight"] = np.ascontiguousarray(weight, np.float32)
    arrays[f"{name}.bias"] = np.ascontiguousarray(bias, np.float32)
