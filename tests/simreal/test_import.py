"""A model that stable-baselines3 saved becomes a bundle, and is evaluated, through the command line."""

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from policies import PolicyBundle
from simreal.cli import main


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sb3")
    venv = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]))
    model = PPO("MlpPolicy", venv, n_steps=64, batch_size=32, device="cpu", seed=0)
    model.learn(64)
    model.save(folder / "model.zip")
    venv.save(str(folder / "normalize.pkl"))
    return folder


def test_import_and_evaluate(trained: Path, tmp_path: Path) -> None:
    files = ["--zip", str(trained / "model.zip"), "--normalize", str(trained / "normalize.pkl")]
    quiet = ["--quiet", "--out"]
    assert main(["import", *files, "--env", "Pendulum-v1", *quiet, str(tmp_path / "i")]) == 0
    bundle = PolicyBundle.load(tmp_path / "i" / "policy")
    assert bundle.manifest.control_period_s == 0.05
    assert bundle.manifest.action.scale == (2.0,)
    assert bundle.manifest.action.order == ("action_0",)
    assert bundle.manifest.observations[0].order == ("observation_0", "observation_1", "observation_2")
    assert bundle.manifest.extra["imported"]["normalized"]
    arguments = ["--policy", str(tmp_path / "i" / "policy"), "--target", "Pendulum-v1", "--episodes", "2"]
    assert main(["evaluate", *arguments, *quiet, str(tmp_path / "e")]) == 0
    row = json.loads((tmp_path / "e" / "result.json").read_text())["evaluation"][0]
    assert row["domain"] == "Pendulum-v1"
    assert -2000 < row["mean_return"] < 0


def test_a_return_is_that_of_the_model_itself(trained: Path, tmp_path: Path) -> None:
    from simreal.bundles import load_bundle
    from simreal.rollout import rollout
    from simreal.targets import parse_target

    files = ["--zip", str(trained / "model.zip"), "--normalize", str(trained / "normalize.pkl")]
    assert main(["import", *files, "--env", "Pendulum-v1", "--quiet", "--out", str(tmp_path)]) == 0
    ours = rollout(parse_target("Pendulum-v1", "").open(), load_bundle(tmp_path / "policy").policy.act, 5)
    model = PPO.load(trained / "model.zip", device="cpu")
    venv = VecNormalize.load(
        str(trained / "normalize.pkl"), DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")])
    )
    env, theirs, over = gymnasium.make("Pendulum-v1"), 0.0, False
    observation, _ = env.reset(seed=5)
    while not over:
        action, _ = model.predict(venv.normalize_obs(observation), deterministic=True)
        observation, reward, terminated, truncated, _ = env.step(action)
        theirs, over = theirs + float(reward), terminated or truncated
    assert np.isclose(ours.total_reward, theirs, rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "MountainCarContinuous-v0"], "(observation:float32(3,); action from [-2] to [2]), but"),
        (["--env", "Pendulun-v1"], "Did you mean: `Pendulum`"),
        (["--env", "CartPole-v1"], "a Discrete space: only Box"),
        (["--env", "Pendulum-v1", "--control-period", "-1"], "control period -1.0 s"),
        (["--env", "Pendulum-v1", "--normalize", "nowhere.pkl"], "nowhere.pkl: cannot be read"),
    ],
)  # fmt: skip
def test_errors_are_one_line(
    arguments: list[str], message: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(trained / "model.zip")
    assert main(["import", "--zip", model, *arguments, "--quiet", "--out", str(tmp_path / "i")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "i").exists()
