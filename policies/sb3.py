"""The same encoder and head as a stable-baselines3 policy, and back.

An SB3 actor is `features_extractor -> hidden layers -> action layer`: exactly our encoder, the
head's hidden layers and its output, so weights are copied one to one, with nothing retrained.
"""

from typing import Any

from gymnasium import spaces
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from policies.encoders import ACTIVATIONS, EncoderConfig, build_encoder
from policies.policy import Policy, PolicyConfig


class EncoderExtractor(BaseFeaturesExtractor):
    """Our encoder as SB3's features extractor."""

    def __init__(self, observation_space: spaces.Dict, config: EncoderConfig) -> None:
        super().__init__(observation_space, config.feature_size)
        self.encoder = build_encoder(config)
        # SB3 wraps environments with images so that channels come first; our encoder wants them last.
        self._transposed = (
            config.image_shape is not None and observation_space["image"].shape != config.image_shape
        )

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Return the feature (B, feature_size)."""
        if self._transposed:
            image = observations["image"].permute(0, 2, 3, 1)
            observations = {**observations, "image": image}
        return self.encoder(observations)


def policy_kwargs(config: PolicyConfig) -> dict[str, Any]:
    """Return SB3 `policy_kwargs` for a `MultiInputPolicy` that takes the weights of such a policy.

    The value function gets layers of its own, of the same sizes.
    """
    hidden = list(config.head.hidden)
    return {
        "features_extractor_class": EncoderExtractor,
        "features_extractor_kwargs": {"config": config.encoder},
        "net_arch": {"pi": hidden, "vf": hidden, "qf": hidden},
        "activation_fn": ACTIVATIONS[config.head.activation],
        "normalize_images": False,  # the encoder scales them itself
    }


def policy_to_sb3(policy: Policy, model: BaseAlgorithm) -> None:
    """Copy the weights of a policy into a model made with its `policy_kwargs`."""
    for ours, theirs in _pairs(policy, model):
        theirs.load_state_dict(ours.state_dict())


def policy_from_sb3(model: BaseAlgorithm, config: PolicyConfig) -> Policy:
    """Return the actor of a model made with `policy_kwargs(config)`; auxiliary heads are new."""
    policy = Policy(config)
    for ours, theirs in _pairs(policy, model):
        ours.load_state_dict(theirs.state_dict())
    return policy.eval()


def critic_encoders(model: BaseAlgorithm) -> list[nn.Module]:
    """Return the encoders that a model's critics have apart from its actor's; empty if they share it."""
    if not isinstance(model, SAC):
        return []
    critics: tuple[Any, ...] = (model.critic, model.critic_target)
    return [critic.features_extractor.encoder for critic in critics]


def _pairs(policy: Policy, model: BaseAlgorithm) -> list[tuple[nn.Module, nn.Module]]:
    """Pair our modules with SB3's: encoder, hidden layers, action layer.

    Raises:
        ValueError: if the algorithm is not one whose actor has these parts.
    """
    head = policy.head
    if isinstance(model, PPO | A2C):
        actor: Any = model.policy
        hidden, output = actor.mlp_extractor.policy_net, actor.action_net
    elif isinstance(model, SAC):
        actor = model.policy.actor
        hidden, output = actor.latent_pi, actor.mu
    else:
        raise ValueError(f"{type(model).__name__} is not supported: use PPO, A2C or SAC")
    extractor = actor.features_extractor
    if not isinstance(extractor, EncoderExtractor):
        raise ValueError("the model was not made with policies.sb3.policy_kwargs: use import_sb3")
    return [(policy.encoder, extractor.encoder), (head.hidden, hidden), (head.output, output)]
