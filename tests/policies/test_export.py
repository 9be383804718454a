"""An exported model acts as the policy does, says what it means, and cannot be changed unnoticed."""

import functools
import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from policies import (
    ActionSpec,
    BundleError,
    BundleManifest,
    EncoderConfig,
    HeadConfig,
    ObservationSpec,
    Policy,
    PolicyBundle,
    PolicyConfig,
)
from policies.export import TOLERANCE, export_onnx, onnx_bytes, random_observations
from policies.onnx_file import read_metadata, read_sealed
from policies.sb3_import import import_sb3

SMALL = EncoderConfig(image_shape=(16, 20, 3), channels=(8, 8), strides=(2, 1), feature_size=24, hidden=())
STATE = EncoderConfig("state", (("a", 3), ("b", 2)), None, feature_size=16, hidden=(8,), vector_clip=None)
NATURE = EncoderConfig("nature-cnn", (("arm", 5),), (40, 44, 3), feature_size=37, hidden=())
NATURE_ALONE = EncoderConfig("nature-cnn", (), (36, 36, 1), feature_size=32, hidden=())
CONFIGS = {
    "vision": PolicyConfig(auxiliary=(("goal_position", 3),)),
    "vision, tanh": PolicyConfig(SMALL, HeadConfig((), squash="tanh"), 2),
    "image alone": PolicyConfig(EncoderConfig(vectors=(), image_shape=(24, 24, 3))),
    "state": PolicyConfig(STATE, HeadConfig((16,), "tanh"), 4, auxiliary=(("x", 1), ("y", 2))),
    "state, tanh": PolicyConfig(STATE, HeadConfig(squash="tanh"), 1),
    "nature-cnn": PolicyConfig(NATURE, HeadConfig(squash="tanh"), 2),
    "nature-cnn alone": PolicyConfig(NATURE_ALONE, HeadConfig(()), 3, auxiliary=(("x", 1),)),
}


def bundle_of(policy: Policy) -> PolicyBundle:
    """Return a bundle whose scale differs by axis, and whose limits are narrower than the squash."""
    config = policy.config
    observations = tuple(
        ObservationSpec(name, shape, "uint8" if len(shape) == 3 else "float32")
        for name, shape in config.observation_shapes.items()
    )
    names = tuple(f"axis{index}_m" for index in range(config.action_size))
    scale = tuple(0.05 * (index + 1) for index in range(config.action_size))
    units = ("m",) * config.action_size
    action = ActionSpec((config.action_size,), "end-effector displacement", names, scale, units, -0.5, 0.9)
    extra = {"verdict": {"verdict": "safe"}}
    manifest = BundleManifest(observations, action, 0.02, "some/Env-v0", "source", 3, config, extra=extra)
    return PolicyBundle(policy, manifest)


def random_policy(config: PolicyConfig) -> Policy:
    torch.manual_seed(0)
    policy = Policy(config).eval()
    with torch.no_grad():
        for name, value in policy.named_parameters():
            value.add_(torch.randn_like(value) * (0.02 if "conv" in name else 0.1))
        policy.head.output.weight.mul_(4)  # so that some actions reach the limits
    size = config.encoder.vector_size
    rng = np.random.default_rng(1)
    policy.encoder.normalizer.set_statistics(rng.normal(size=size), rng.uniform(0.1, 2, size))
    return policy


def session(content: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def agree(bundle: PolicyBundle) -> None:
    """Compare on 1,000 random observations."""
    model, observations = session(onnx_bytes(bundle)), random_observations(bundle, 1000)
    action, feature = model.run(["action", "feature"], observations)
    spec = bundle.manifest.action
    wanted = np.clip(bundle.policy.act(observations), spec.low, spec.high)
    assert np.abs(action / np.float32(spec.scale) - wanted).max() <= TOLERANCE
    assert (np.abs(action) <= np.float32(spec.scale) * max(-spec.low, spec.high)).all()
    with torch.inference_mode():
        features = bundle.policy.features({n: torch.from_numpy(v) for n, v in observations.items()}).numpy()
    assert np.abs(feature - features).max() <= TOLERANCE * max(1.0, np.abs(features).max())
    assert min(action.std(axis=0).max(), feature.std(axis=0).mean()) > 1e-4, "nothing was compared"
    one = model.run(["action"], {name: value[7:8] for name, value in observations.items()})[0]
    assert np.abs(one[0] - action[7]).max() <= TOLERANCE


@pytest.mark.parametrize("name", CONFIGS)
def test_every_kind_of_policy(name: str) -> None:
    bundle = bundle_of(random_policy(CONFIGS[name]))
    if name == "vision":
        raw = bundle.policy.act(random_observations(bundle, 1000))
        assert (raw > 0.9).any()
        assert (raw < -0.5).any()
    agree(bundle)


@pytest.mark.parametrize("squash", ["clip", "tanh"])
def test_an_imported_policy(squash: str, blank: Any, tmp_path: Path) -> None:
    space = spaces.Dict(
        {"arm": spaces.Box(-3.0, 3.0, (5,)), "eye": spaces.Box(0, 255, (3, 40, 44), np.uint8)}
    )
    if squash == "clip":
        venv = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]))
        model: Any = PPO("MlpPolicy", venv, n_steps=64, batch_size=32, device="cpu", seed=0)
        model.learn(64)
        venv.save(str(tmp_path / "normalize.pkl"))
    else:
        model = SAC("MultiInputPolicy", blank(space), buffer_size=10, device="cpu", seed=0)
    model.save(tmp_path / "model.zip")
    found = import_sb3(tmp_path / "model.zip", tmp_path / "normalize.pkl" if squash == "clip" else None)
    agree(bundle_of(found.policy))


@functools.lru_cache
def small() -> tuple[PolicyBundle, bytes]:
    bundle = bundle_of(random_policy(CONFIGS["state"]))
    return bundle, onnx_bytes(bundle, drift={"a": [1.5]})


def test_metadata_tell_everything() -> None:
    bundle, content = small()
    entries = session(content).get_modelmeta().custom_metadata_map
    found = read_metadata(Path("x.onnx"), entries)
    assert found.manifest == bundle.manifest
    assert found.weights_sha256 == bundle.weights_sha256
    assert found.drift == {"a": [1.5]}
    assert json.loads(entries["action"])["units"] == ["m"] * 4
    assert json.loads(entries["control_period_s"]) == 0.02
    assert json.loads(entries["extra"])["verdict"] == {"verdict": "safe"}
    assert [entry["name"] for entry in json.loads(entries["observations"])] == ["a", "b"]


def test_other_tools_read_it() -> None:
    _, content = small()
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.name for entry in model.graph.input] == ["a", "b"]
    assert [entry.name for entry in model.graph.output] == ["action", "feature"]


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_any_changed_bit_is_noticed(
    position: float, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(small()[1])
    content[int(position * len(content))] ^= 1 << bit
    path = tmp_path_factory.mktemp("flip") / "p.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"tampered|SHA-256") as error:
        read_sealed(path)
    assert str(path) in str(error.value)


@given(kept=st.floats(0, 1, exclude_max=True))
@settings(max_examples=30, deadline=None)
def test_any_truncation_is_noticed(kept: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = small()[1]
    path = tmp_path_factory.mktemp("cut") / "p.onnx"
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(BundleError, match=r"truncated|SHA-256"):
        read_sealed(path)


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    foreign = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    path = tmp_path / "p.onnx"
    path.write_bytes(foreign.SerializeToString())
    with pytest.raises(BundleError, match="not a model that `simreal export` wrote"):
        read_sealed(path)
    with pytest.raises(BundleError, match="no such model"):
        read_sealed(tmp_path / "q.onnx")
    with pytest.raises(BundleError, match="cannot be read"):
        read_sealed(tmp_path)


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ({"format": "2"}, "newer format 2"),
        ({"format": '"1"'}, "no format number"),
        ({"action": "{"}, "not JSON"),
        ({"action": "{}"}, "no entry"),
        ({"control_period_s": "-1"}, "is no period"),
    ],
)
def test_forged_metadata_are_named(entries: dict[str, str], word: str) -> None:
    good = session(small()[1]).get_modelmeta().custom_metadata_map
    with pytest.raises(BundleError, match=word):
        read_metadata(Path("x.onnx"), good | entries)
    with pytest.raises(BundleError, match="no entry weights_sha256"):
        read_metadata(Path("x.onnx"), {k: v for k, v in good.items() if k != "weights_sha256"})


def test_what_would_act_otherwise_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "p.onnx"
    path.write_text("old")
    bundle = bundle_of(random_policy(CONFIGS["state"]))
    with torch.no_grad():
        bundle.policy.head.output.bias.fill_(torch.nan)
    with pytest.raises(BundleError, match="from the policy's; nothing is written"):
        export_onnx(bundle, path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.onnx"]


def test_an_observation_called_as_an_output_is_refused() -> None:
    encoder = EncoderConfig("state", (("action", 3),), None, feature_size=8, hidden=())
    with pytest.raises(BundleError, match="'action': an output"):
        onnx_bytes(bundle_of(Policy(PolicyConfig(encoder))))
