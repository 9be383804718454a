"""A model that stable-baselines3 made acts alike once imported, and no file can make us run code."""

import base64
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from policies.errors import Sb3Error
from policies.sb3_import import Imported, import_sb3

ACTION = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([1.0, 0.5], np.float32))
IMAGE = spaces.Box(0, 255, (40, 44, 3), np.uint8)
VECTOR = spaces.Box(-3.0, 3.0, (5,))


class Blank(gymnasium.Env[Any, Any]):
    """An environment of given spaces where nothing is worth anything."""

    def __init__(self, observation: spaces.Space[Any], action: spaces.Space[Any] = ACTION) -> None:
        self.observation_space, self.action_space = observation, action

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, True, {}


def model_of(algorithm: Any, policy: str, env: Any, **settings: Any) -> Any:
    small = {} if algorithm in (PPO, A2C) else {"buffer_size": 10}
    model = algorithm(policy, env, device="cpu", seed=0, **small, **settings)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            # As they are the outputs would hardly differ from 0.
            parameter.add_(torch.randn_like(parameter) * (0.02 if parameter.ndim == 4 else 0.1))
    return model


def agree(model: Any, found: Imported, space: spaces.Space[Any], name: str = "", venv: Any = None) -> None:
    """Compare in the model's own action bounds, on sampled observations."""
    space.seed(3)
    low, high = np.array(found.spaces.action_low), np.array(found.spaces.action_high)
    actions = []
    for _ in range(20):
        observation = space.sample()
        if isinstance(space, spaces.Box) and not name:
            # Beyond what VecNormalize lets through, too.
            observation = observation * 4
        theirs, _ = model.predict(venv.normalize_obs(observation) if venv else observation, deterministic=True)
        ours = found.policy.act(observation if isinstance(observation, dict) else {name or "observation": observation})
        assert np.allclose(low + (high - low) * (ours + 1) / 2, theirs, atol=1e-4)
        actions.append(theirs)
    assert np.std(actions, axis=0).min() > 1e-3, "the model does the same everywhere: nothing was compared"


@pytest.mark.parametrize("algorithm", [PPO, A2C, SAC, TD3, DDPG])
def test_a_policy_on_vectors(algorithm: Any, tmp_path: Path) -> None:
    model = model_of(algorithm, "MlpPolicy", "Pendulum-v1")
    model.save(tmp_path / "model")
    agree(model, import_sb3(tmp_path / "model.zip"), model.observation_space)
