"""The teacher: stable-baselines3 PPO on privileged state, under randomized dynamics."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3 import PPO

from envs import Domain
from policies import Policy
from policies.sb3 import policy_from_sb3, policy_kwargs
from simreal.pretrain.architecture import teacher_config
from simreal.pretrain.reinforcement import Training, learn, vectorize


@dataclass(frozen=True)
class TeacherConfig:
    """PPO on privileged state. Settled on `source` with seeds 100 to 102."""

    steps: int = 40_000
    """Environment steps in all."""
    environments: int = 4
    learning_rate: float = 1e-3
    rollout_steps: int = 512
    """Steps of each environment between two updates."""
    batch_size: int = 256
    epochs: int = 8
    gamma: float = 0.95
    """Reaching takes about ten steps: a longer horizon only adds noise."""
    checkpoint_every: int = 8192
    """Environment steps between two checkpoints."""


def train_teacher(env_id: str, domain: Domain, seed: int, config: TeacherConfig, out: Path) -> Policy:
    """Train the teacher, or go on from `out/teacher.pt`, and return it; TensorBoard logs go to `out/logs`."""

    def make() -> gymnasium.Env:
        # Ended at success, it would never see the goal from close by, and the student, which asks it
        # what to do wherever it gets stuck, would learn to get stuck four centimetres away.
        return gymnasium.make(env_id, domain=domain, image=False, privileged=True, ends_at_success=False)

    single = make()
    policy_config = teacher_config(single)
    mean, std = _privileged_statistics(single, seed)
    single.close()
    environments = vectorize(make, config.environments)
    try:
        model = PPO(
            "MultiInputPolicy",
            environments,
            learning_rate=lambda left: config.learning_rate * max(left, 0.05),
            n_steps=config.rollout_steps,
            batch_size=config.batch_size,
            n_epochs=config.epochs,
            gamma=config.gamma,
            seed=seed,
            policy_kwargs=policy_kwargs(policy_config) | {"log_std_init": -0.7},
            tensorboard_log=str(out / "logs"),
            device="cpu",
        )
        extractor: Any = model.policy.features_extractor
        extractor.encoder.normalizer.set_statistics(mean, std)
        learn(model, Training("teacher", config.steps, out / "teacher.pt", config.checkpoint_every))
    finally:
        environments.close()
    return policy_from_sb3(model, policy_config)


def _privileged_statistics(env: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of the privileged state over random motion."""
    env.action_space.seed(seed)
    seen = []
    for episode in range(20):
        observation, _ = env.reset(seed=seed * 1000 + episode)
        for _ in range(10):
            seen.append(observation["privileged"])
            observation, *_ = env.step(env.action_space.sample())
    return np.mean(seen, axis=0), np.std(seen, axis=0)
