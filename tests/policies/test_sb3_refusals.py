"""No file can make us run code, and what has no equal here is named."""

import base64
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from policies.errors import Sb3Error
from policies.sb3_import import import_sb3

IMAGE = spaces.Box(0, 255, (40, 44, 3), np.uint8)
VECTOR = spaces.Box(-3.0, 3.0, (5,))


class Planted:
    """What a hostile pickle looks like: on loading it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    PPO("MlpPolicy", "Pendulum-v1", device="cpu").save(tmp_path / "model.zip")
    return tmp_path / "model.zip"


def replant(path: Path, member: str, change: Callable[[bytes], bytes]) -> Path:
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content[member] = change(content[member])
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    return path


@pytest.mark.parametrize("key", ["observation_space", "action_space", "policy_class", "policy_kwargs"])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_planted_zip_runs_nothing(saved: Path, key: str, protocol: int) -> None:
    trace = saved.parent / "trace"
    pickle.loads(pickle.dumps(Planted(trace), protocol))
    assert trace.exists(), "the trap itself does not work"
    trace.unlink()
    trap = base64.b64encode(pickle.dumps(Planted(trace), protocol)).decode()
    replant(saved, "data", lambda old: json.dumps(json.loads(old) | {key: {":serialized:": trap}}).encode())
    with pytest.raises(Sb3Error, match="system"):
        import_sb3(saved)
    assert not trace.exists()


def test_planted_weights_and_statistics_run_nothing(saved: Path) -> None:
    trace, statistics = saved.parent / "trace", saved.parent / "normalize.pkl"
    statistics.write_bytes(pickle.dumps(Planted(trace)))
    with pytest.raises(Sb3Error, match=r"holds a posix.system, not a VecNormalize"):
        import_sb3(saved, statistics)
    torch.save({"action_net.weight": Planted(trace)}, saved.parent / "trap.pth")
    replant(saved, "policy.pth", lambda _: (saved.parent / "trap.pth").read_bytes())
    with pytest.raises(Sb3Error, match=r"policy.pth: cannot be read as plain weights"):
        import_sb3(saved)
    assert not trace.exists()


def test_damaged_files(saved: Path, tmp_path: Path) -> None:
    def message(path: Path, normalize: Path | None = None) -> str:
        with pytest.raises(Sb3Error) as caught:
            import_sb3(path, normalize)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    whole = saved.read_bytes()
    cut, other, absent = tmp_path / "cut.zip", tmp_path / "other.zip", tmp_path / "absent.zip"
    for part in range(0, len(whole), len(whole) // 40):
        cut.write_bytes(whole[:part])
        assert "cut.zip: " in message(cut)
        assert "truncated" in message(cut)
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("data", "{}")
    assert "other.zip: holds no policy.pth: truncated, or no stable-baselines3 model" in message(other)
    assert "absent.zip: cannot be read: No such file" in message(absent)
    assert "cut.zip: truncated or no pickle" in message(saved, cut)
    replant(saved, "data", lambda old: old[:-10])
    assert "data: truncated or damaged" in message(saved)


class Own(BaseFeaturesExtractor):
    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, 3)
        self.layer = torch.nn.Linear(3, 3)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.layer(observations)


@pytest.mark.parametrize(
    ("algorithm", "settings", "message"),
    [
        (PPO, {"policy_kwargs": {"activation_fn": torch.nn.ELU}}, r"activation_fn \S+\.ELU: only ReLU"),
        (PPO, {"policy_kwargs": {"features_extractor_class": Own}}, r"features_extractor_class .*Own"),
        (PPO, {"policy_kwargs": {"net_arch": []}}, "net_arch: no hidden layer"),
        (PPO, {"use_sde": True, "policy_kwargs": {"squash_output": True}}, "squash_output True"),
        (SAC, {"use_sde": True}, "use_sde True"),
    ],
)  # fmt: skip
def test_what_has_no_equal_is_named(algorithm: Any, settings: Any, message: str, tmp_path: Path) -> None:
    algorithm("MlpPolicy", "Pendulum-v1", device="cpu", **settings).save(tmp_path / "model.zip")
    with pytest.raises(Sb3Error, match=message):
        import_sb3(tmp_path / "model.zip")


@pytest.mark.parametrize(
    ("algorithm", "policy", "env", "message"),
    [
        (DQN, "MlpPolicy", "CartPole-v1", "a gymnasium.spaces.discrete.Discrete space"),
        (PPO, "MlpPolicy", (IMAGE,), "an image with the flat features extractor"),
        (PPO, "MultiInputPolicy", (spaces.Dict({"a": IMAGE, "b": IMAGE}),), "several images"),
        (PPO, "MlpPolicy", (VECTOR, spaces.Box(-1.0, 1.0, (2, 2))), r"an action of shape \(2, 2\)"),
    ],
)
def test_spaces_without_equal_are_named(
    algorithm: Any, policy: str, env: Any, message: str, blank: Any, tmp_path: Path
) -> None:
    env = env if isinstance(env, str) else blank(*env)
    algorithm(policy, env, device="cpu").save(tmp_path / "model.zip")
    with pytest.raises(Sb3Error, match=message):
        import_sb3(tmp_path / "model.zip")


def test_an_unknown_algorithm_is_named(saved: Path) -> None:
    later = base64.b64encode(b"cstable_baselines3.later.policies\nLaterPolicy\n.").decode()
    change = {"policy_class": {":serialized:": later}}
    replant(saved, "data", lambda old: json.dumps(json.loads(old) | change).encode())
    with pytest.raises(Sb3Error, match=r"stable_baselines3.later.policies.LaterPolicy: not one of the stock"):
        import_sb3(saved)


def test_a_class_stored_with_its_source_is_named(saved: Path) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    own = type("Swish", (torch.nn.ReLU,), {"__module__": "__main__"})
    kwargs = base64.b64encode(cloudpickle.dumps({"activation_fn": own})).decode()
    change = {"policy_kwargs": {":serialized:": kwargs}}
    replant(saved, "data", lambda old: json.dumps(json.loads(old) | change).encode())
    with pytest.raises(Sb3Error, match=r"activation_fn __main__.Swish: only ReLU and Tanh"):
        import_sb3(saved)


def test_any_damage_to_a_pickle_is_an_error_of_one_line(saved: Path) -> None:
    random = np.random.default_rng(0)
    with zipfile.ZipFile(saved) as archive:
        data = json.loads(archive.read("data"))
    refused = 0
    for turn in range(60):
        key = ("observation_space", "action_space", "policy_class")[turn % 3]
        content = bytearray(base64.b64decode(data[key][":serialized:"]))
        content[random.integers(len(content))] = random.integers(256)
        change = {key: {":serialized:": base64.b64encode(content).decode()}}
        replant(saved, "data", lambda _, change=change: json.dumps(data | change).encode())
        try:
            import_sb3(saved)
        except Sb3Error as error:
            assert str(error).isprintable()  # noqa: PT017  some damage does no harm
            refused += 1
    assert refused > 30
