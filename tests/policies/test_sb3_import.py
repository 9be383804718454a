"""A model that stable-baselines3 made acts alike once imported."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from policies.errors import Sb3Error
from policies.sb3_import import Imported, import_sb3

IMAGE = spaces.Box(0, 255, (40, 44, 3), np.uint8)
VECTOR = spaces.Box(-3.0, 3.0, (5,))


def model_of(algorithm: Any, policy: str, env: Any, **settings: Any) -> Any:
    small = {} if algorithm in (PPO, A2C) else {"buffer_size": 10}
    model = algorithm(policy, env, device="cpu", seed=0, **small, **settings)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            # As they are the outputs would hardly differ from 0.
            parameter.add_(torch.randn_like(parameter) * (0.02 if parameter.ndim == 4 else 0.1))
    return model


def in_bounds(found: Imported, observation: dict[str, Any]) -> np.ndarray:
    """Return the imported policy's action as the environment takes it."""
    low, high = np.array(found.spaces.action_low), np.array(found.spaces.action_high)
    return low + (high - low) * (found.policy.act(observation) + 1) / 2


def agree(model: Any, found: Imported, space: spaces.Space[Any], venv: Any = None) -> None:
    """Compare on sampled observations, of which some leave what VecNormalize lets through."""
    space.seed(3)
    image, actions = found.spaces.image, []
    for _ in range(20):
        sample = space.sample()
        ours = dict(sample) if isinstance(sample, dict) else {"image" if image else "observation": sample}
        if image is not None:
            picture = ours.pop(image.key or "image")
            ours["image"] = picture.transpose(1, 2, 0) if picture.shape[0] == 3 else picture
        theirs, _ = model.predict(venv.normalize_obs(sample) if venv else sample, deterministic=True)
        assert np.allclose(in_bounds(found, ours), theirs, atol=1e-4)
        actions.append(theirs)
    assert np.std(actions, axis=0).max() > 1e-3, "the same action everywhere: nothing was compared"


def venv_of(folder: Path, inner: Any) -> VecNormalize:
    return VecNormalize.load(str(folder / "10.pkl"), inner)


@pytest.mark.parametrize("algorithm", [PPO, A2C, SAC, TD3, DDPG])
def test_a_policy_on_vectors(algorithm: Any, blank: Any, tmp_path: Path) -> None:
    settings = {"policy_kwargs": {"net_arch": [16, 8, 4], "activation_fn": torch.nn.Tanh}}
    for index, given in enumerate(({}, settings)):
        model = model_of(algorithm, "MlpPolicy", blank(spaces.Box(-3.0, 3.0, (2, 3))), **given)
        model.save(tmp_path / f"{index}.zip")
        found = import_sb3(tmp_path / f"{index}.zip")
        assert found.policy.config.encoder.kind == "state"
        for observation in np.random.default_rng(0).normal(0, 3, (20, 2, 3)).astype(np.float32):
            ours = in_bounds(found, {"observation": observation.ravel()})
            assert np.allclose(ours, model.predict(observation, deterministic=True)[0], atol=1e-4)


def test_a_policy_behind_vec_normalize(blank: Any, tmp_path: Path) -> None:
    venv = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]), clip_obs=2.0)
    model = model_of(PPO, "MlpPolicy", venv, n_steps=64, batch_size=32)
    model.learn(100)
    model.save(tmp_path / "model.zip")
    venv.save(str(tmp_path / "normalize.pkl"))
    found = import_sb3(tmp_path / "model.zip", tmp_path / "normalize.pkl")
    assert found.policy.config.encoder.vector_clip == 2.0
    agree(model, found, venv.observation_space, venv=venv)
    with pytest.raises(AssertionError):  # the statistics matter
        agree(model, import_sb3(tmp_path / "model.zip"), venv.observation_space, venv=venv)


def test_panda_gym(blank: Any, tmp_path: Path) -> None:
    pytest.importorskip("panda_gym")
    venv = VecNormalize(DummyVecEnv([lambda: gymnasium.make("PandaReach-v3")]))
    model = model_of(PPO, "MultiInputPolicy", venv, n_steps=64, batch_size=32)
    model.learn(64)
    model.save(tmp_path / "model.zip")
    venv.save(str(tmp_path / "normalize.pkl"))
    found = import_sb3(tmp_path / "model.zip", tmp_path / "normalize.pkl")
    assert found.policy.config.encoder.vectors == (
        ("achieved_goal", 3),
        ("desired_goal", 3),
        ("observation", 6),
    )
    agree(model, found, venv.observation_space, venv=venv)
    venv.close()


@pytest.mark.parametrize("algorithm", [PPO, SAC, TD3])
def test_an_image_amid_vectors(algorithm: Any, blank: Any, tmp_path: Path) -> None:
    # SB3 concatenates by the Dict's order, so the image is second here.
    space = spaces.Dict({"arm": VECTOR, "eye": IMAGE, "goal": VECTOR})
    kwargs = {"features_extractor_kwargs": {"cnn_output_dim": 32}, "net_arch": [16]}
    model = model_of(algorithm, "MultiInputPolicy", blank(space), policy_kwargs=kwargs)
    model.save(tmp_path / "model.zip")
    found = import_sb3(tmp_path / "model.zip")
    assert found.policy.config.observation_shapes == {"image": IMAGE.shape, "arm": (5,), "goal": (5,)}
    agree(model, found, space)


def test_normalized_vectors_beside_an_image(blank: Any, tmp_path: Path) -> None:
    space = spaces.Dict({"arm": VECTOR, "eye": IMAGE, "goal": VECTOR})
    for clip in (10.0, 2.0):
        inner = DummyVecEnv([lambda: blank(space)])
        venv = VecNormalize(inner, norm_obs_keys=["arm"], clip_obs=clip)
        model = model_of(PPO, "MultiInputPolicy", venv, n_steps=64, batch_size=32)
        for _ in range(5):
            venv.reset()
        model.save(tmp_path / "model.zip")
        venv.save(str(tmp_path / f"{clip:g}.pkl"))
    agree(
        model, import_sb3(tmp_path / "model.zip", tmp_path / "10.pkl"), space, venv=venv_of(tmp_path, inner)
    )
    with pytest.raises(Sb3Error, match="norm_obs_keys without 'goal'"):
        import_sb3(tmp_path / "model.zip", tmp_path / "2.pkl")


@pytest.mark.parametrize("algorithm", [PPO, A2C, SAC])
@pytest.mark.parametrize("shape", [(40, 44, 3), (3, 40, 44)])
def test_a_policy_on_an_image(algorithm: Any, shape: tuple[int, ...], blank: Any, tmp_path: Path) -> None:
    space = spaces.Box(0, 255, shape, np.uint8)
    model = model_of(algorithm, "CnnPolicy", blank(space))
    model.save(tmp_path / "model.zip")
    found = import_sb3(tmp_path / "model.zip")
    assert found.policy.config.observation_shapes == {"image": (40, 44, 3)}
    agree(model, found, space)


def test_an_extractor_of_the_policy_alone(blank: Any, tmp_path: Path) -> None:
    model = model_of(PPO, "CnnPolicy", blank(IMAGE), policy_kwargs={"share_features_extractor": False})
    model.save(tmp_path / "model.zip")
    agree(model, import_sb3(tmp_path / "model.zip"), IMAGE)
