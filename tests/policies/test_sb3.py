from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import PPO, SAC

import envs  # noqa: F401
from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from policies.sb3 import policy_from_sb3, policy_kwargs, policy_to_sb3


@pytest.mark.parametrize(("algorithm", "squash"), [(PPO, "clip"), (SAC, "tanh")])
def test_same_weights_act_alike(algorithm: Any, squash: Any, world: Any) -> None:
    config = PolicyConfig(EncoderConfig(), HeadConfig(squash=squash))
    env = gymnasium.make("simreal/PandaReach-v0")
    extra = {"buffer_size": 10} if algorithm is SAC else {}
    model = algorithm("MultiInputPolicy", env, policy_kwargs=policy_kwargs(config), device="cpu", **extra)
    policy = Policy(config).eval()
    policy_to_sb3(policy, model)
    back = policy_from_sb3(model, config)
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        theirs, _ = model.predict(observation, deterministic=True)
        assert np.allclose(policy.act(observation), theirs, atol=1e-5)
        assert np.array_equal(policy.act(observation), back.act(observation))
    env.close()
