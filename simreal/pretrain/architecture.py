"""The architectures that pretraining makes, sized by the spaces of an environment."""

from typing import Any

from policies import EncoderConfig, HeadConfig, PolicyConfig


def student_config(env: Any) -> PolicyConfig:
    """Return the architecture of the vision student; it also learns where the goal is."""
    return PolicyConfig(
        vision_encoder(env.observation_space), HeadConfig(), _actions(env), auxiliary=(("goal_position", 3),)
    )


def teacher_config(env: Any) -> PolicyConfig:
    """Return the architecture of a teacher for an environment with privileged state."""
    size = env.observation_space["privileged"].shape[0]
    vectors = (("privileged", size),)
    encoder = EncoderConfig("state", vectors, None, feature_size=64, hidden=(), activation="tanh")
    return PolicyConfig(encoder, HeadConfig((64,), activation="tanh"), _actions(env))


def vision_encoder(space: Any) -> EncoderConfig:
    """Return an encoder of the image and the proprioception that an environment gives."""
    height, width, channels = space["image"].shape or (0, 0, 0)
    (size,) = space["proprio"].shape or (0,)
    return EncoderConfig(vectors=(("proprio", size),), image_shape=(height, width, channels))


def _actions(env: Any) -> int:
    return int(env.action_space.shape[0])
