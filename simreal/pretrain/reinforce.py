"""`--recipe rl`: stable-baselines3 PPO or SAC on the image observation directly."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from envs import Domain
from policies import HeadConfig, Policy, PolicyConfig
from policies.sb3 import policy_from_sb3, policy_kwargs
from simreal.pretrain.architecture import vision_encoder
from simreal.pretrain.reinforcement import Training, learn, vectorize


@dataclass(frozen=True)
class ReinforceConfig:
    """Reinforcement learning on images."""

    algorithm: Literal["ppo", "sac"] = "ppo"
    steps: int = 200_000
    """Environment steps in all."""
    environments: int = 4
    learning_rate: float = 3e-4
    batch_size: int = 256
    rollout_steps: int = 256
    """PPO: steps of each environment between two updates."""
    buffer_size: int = 50_000
    """SAC: transitions remembered; one takes 25 kB at 64 pixels."""
    gamma: float = 0.95
    checkpoint_every: int = 10_000
    """Environment steps between two checkpoints."""


def reinforce(
    env_id: str,
    domain: Domain,
    seed: int,
    config: ReinforceConfig,
    out: Path,
    keep: Callable[[Policy], object],
) -> None:
    """Train on images, or go on from `out/reinforce.pt`; TensorBoard logs go to `out/logs`.

    SAC's replay buffer is not kept: after an interruption it fills anew before learning goes on.

    Args:
        env_id: Gymnasium id.
        domain: Of the worlds.
        seed: Of everything random.
        config: How.
        out: Run folder.
        keep: Called with the policy at every checkpoint, and at the end.
    """

    def make() -> gymnasium.Env:
        return gymnasium.make(env_id, domain=domain)

    squash: Literal["tanh", "clip"] = "tanh" if config.algorithm == "sac" else "clip"
    environments = vectorize(make, config.environments)
    try:
        encoder, shape = vision_encoder(environments.observation_space), environments.action_space.shape
        policy_config = PolicyConfig(encoder, HeadConfig(squash=squash), (shape or (0,))[0])
        model = _model(environments, seed, config, policy_config, out)
        name = f"{config.algorithm} on images"
        training = Training(name, config.steps, out / "reinforce.pt", config.checkpoint_every)
        learn(model, training, lambda trained: keep(policy_from_sb3(trained, policy_config)))
    finally:
        environments.close()


def _model(
    environments: VecEnv, seed: int, config: ReinforceConfig, policy: PolicyConfig, out: Path
) -> BaseAlgorithm:
    common: dict[str, Any] = {
        "learning_rate": config.learning_rate,
        "batch_size": config.batch_size,
        "gamma": config.gamma,
        "seed": seed,
        "tensorboard_log": str(out / "logs"),
        "device": "cpu",
    }
    if config.algorithm == "sac":
        sac: dict[str, Any] = {"buffer_size": config.buffer_size, "policy_kwargs": policy_kwargs(policy)}
        return SAC("MultiInputPolicy", environments, **common, **sac)
    ppo: dict[str, Any] = {"n_steps": config.rollout_steps, "policy_kwargs": policy_kwargs(policy)}
    return PPO("MultiInputPolicy", environments, **common, **ppo)
