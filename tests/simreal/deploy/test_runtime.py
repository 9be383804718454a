"""Runtimes decide alike, refuse what they cannot read, and the command makes what they run."""

import dataclasses
import json
import tracemalloc
from importlib.resources import files
from pathlib import Path
from typing import Any

import gymnasium
import jsonschema
import numpy as np
import onnx
import pytest
import torch

import envs
from policies import EncoderConfig, Policy, PolicyBundle, PolicyConfig
from policies.onnx_file import sealed
from simreal.bundles import describe, load_bundle
from simreal.cli import main
from simreal.data.source import SourceData
from simreal.deploy.drift import DriftWatch
from simreal.deploy.runtime import Decision, OnnxRuntime, Runtime, TorchRuntime, unit_action
from simreal.deploy.watched import watch_episodes
from simreal.errors import SimrealError
from simreal.evaluate import episode_seeds
from simreal.export import export
from simreal.pretrain.architecture import student_config
from simreal.rollout import rollout
from simreal.targets import parse_target

SCHEMA = json.loads(files("simreal").joinpath("schemas/result.json").read_text())
ENV_ID = "simreal/PandaReach-v0"


@pytest.fixture(scope="module")
def bundle(world: Any) -> PolicyBundle:
    torch.manual_seed(0)
    policy = Policy(student_config(world)).eval()
    return describe(policy, world, ENV_ID, "source", 0, {})


@pytest.fixture(scope="module")
def model(bundle: PolicyBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(bundle, tmp_path_factory.mktemp("model") / "policy.onnx", None, 0.01).model


@pytest.fixture(scope="module", params=["onnx", "torch"])
def runtime(request: pytest.FixtureRequest, bundle: PolicyBundle, model: Path) -> Runtime:
    return OnnxRuntime(model) if request.param == "onnx" else TorchRuntime(bundle)


@pytest.fixture
def observation() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (64, 64, 3), dtype=np.uint8),
        "proprio": rng.normal(size=11).astype(np.float32),
    }


def test_both_decide_as_the_policy_does(bundle: PolicyBundle, model: Path) -> None:
    env = gymnasium.make(ENV_ID, domain="source")
    runtimes = [OnnxRuntime(model), TorchRuntime(bundle)]
    assert runtimes[0].manifest == runtimes[1].manifest == bundle.manifest
    assert runtimes[0].weights_sha256 == bundle.weights_sha256
    kept: list[tuple[np.ndarray, list[Decision]]] = []
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        wanted = bundle.policy.act(observation)
        kept.append((wanted, [one.decide(observation) for one in runtimes]))
    env.close()
    for wanted, decisions in kept:  # compared at the end: no decision may be overwritten by a later one
        for decision in decisions:
            assert np.allclose(unit_action(bundle.manifest, decision.action), wanted, atol=1e-5)
            assert np.allclose(decision.feature, decisions[0].feature, atol=1e-4)
            assert decision.action.dtype == np.float32
    assert len({decisions[0].action.tobytes() for _, decisions in kept}) == 5


def test_an_episode_ends_alike(bundle: PolicyBundle, model: Path) -> None:
    """The exported model behind the runtime does in a world what the bundle does."""
    target, onnx_runtime = parse_target("blur@3", ENV_ID), OnnxRuntime(model)

    def act(observation: Any) -> Any:
        return unit_action(bundle.manifest, onnx_runtime.decide(observation).action).astype(np.float32)

    for seed in episode_seeds(0, 2):
        ours = rollout(target.open(), act, seed, options=target.options)
        theirs = rollout(target.open(), bundle.policy.act, seed, options=target.options)
        assert (ours.success, ours.steps) == (theirs.success, theirs.steps)
        assert ours.total_reward == pytest.approx(theirs.total_reward, abs=1e-2)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"image": np.zeros((64, 64, 3), np.float32)}, "dtype float32"),
        ({"image": np.zeros((480, 640, 3), np.uint8)}, "shape"),
        ({"proprio": np.zeros((1, 11), np.float32)}, "shape"),
        ({"proprio": np.array(["x"] * 11)}, "reads numbers"),
        ({"proprio": np.full(11, np.nan)}, "NaN or an infinity"),
        ({"proprio": np.array([0.0] * 10 + [np.inf])}, "NaN or an infinity"),
        ({"proprio": np.full(11, 1e300)}, "NaN or an infinity"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_observations_that_do_not_fit_are_refused(
    runtime: Runtime, observation: dict[str, Any], change: dict[str, Any], word: str
) -> None:
    with pytest.raises(SimrealError, match=word) as error:
        runtime.decide(observation | change)
    assert repr(next(iter(change))) in str(error.value)
    with pytest.raises(SimrealError, match="no 'proprio', only image"):
        runtime.decide({"image": observation["image"]})


def test_entries_of_any_number_type_and_layout_are_read(
    runtime: Runtime, observation: dict[str, Any]
) -> None:
    first = runtime.decide(observation)
    flipped = np.ascontiguousarray(observation["image"][::-1])[::-1]
    other = {"extra": np.zeros(2), "image": flipped, "proprio": observation["proprio"].astype(np.float64)}
    assert np.array_equal(first.action, runtime.decide(other).action)


def test_deciding_keeps_no_memory(runtime: Runtime, observation: dict[str, Any]) -> None:
    for _ in range(50):
        runtime.decide(observation)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(500):
            runtime.decide(observation)
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()


def test_damaged_models_are_one_line(model: Path, tmp_path: Path) -> None:
    content, path = model.read_bytes(), tmp_path / "p.onnx"
    foreign = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    newer = onnx.load_from_string(content)
    for entry in newer.metadata_props:
        if entry.key == "format":
            entry.value = "7"
    no_graph = onnx.load_from_string(content)
    no_graph.ClearField("graph")
    faults = {
        "tampered": content[:5000] + b"x" + content[5001:],
        "truncated": content[:-100],
        "not a model": foreign.SerializeToString(),
        "newer format 7": sealed(newer.SerializeToString()),
        "onnxruntime cannot run it": sealed(no_graph.SerializeToString()),
        "not a model that": b"",
    }
    for word, fault in faults.items():
        path.write_bytes(fault)
        with pytest.raises(SimrealError, match=word) as error:
            OnnxRuntime(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_export_without_a_source(smoke_run: Path, tmp_path: Path, capsys: Any) -> None:
    arguments = ["export", "--policy", str(smoke_run / "policy"), "--out", str(tmp_path)]
    assert main(arguments) == 0
    found = json.loads((tmp_path / "result.json").read_text())
    jsonschema.validate(found, SCHEMA)
    assert found["drift"] is None
    assert "the drift watch is off" in " ".join(capsys.readouterr().err.split())
    assert OnnxRuntime(Path(found["model"])).drift is None
    with pytest.raises(SimrealError, match="no drift watch"):
        watch_episodes(tmp_path / "policy.onnx", parse_target("nominal", ENV_ID), [0])
    assert main(arguments) == 2  # nothing is overwritten unasked


@pytest.fixture(scope="module")
def watched_model(smoke_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of the image alone, told that the nominal world is its source.

    After training as short as the smallest run's, its own encoder hardly looks at the image.
    """
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(EncoderConfig(vectors=()))).eval()
    manifest = load_bundle(smoke_run / "policy").manifest
    source = {"source": envs.load_domain("nominal").to_plain()}
    bundle = PolicyBundle(policy, dataclasses.replace(manifest, policy=policy.config, extra=source))
    path = tmp_path_factory.mktemp("watched") / "policy.onnx"
    result = export(bundle, path, smoke_run, 0.05)
    assert result.drift is not None
    assert OnnxRuntime(path).drift == result.drift
    return path


@pytest.mark.parametrize(
    ("domain", "bias_rad", "farther"),
    [("nominal", 0.0, None), ("low-light@5", 0.0, "feature"), ("channel-order@5", 0.0, "feature"),
     ("nominal", 0.3, "proprio")],
)  # fmt: skip
def test_planted_shifts_fire_and_nominal_does_not(
    watched_model: Path, smoke_run: Path, domain: str, bias_rad: float, farther: str | None
) -> None:
    runtime, data = OnnxRuntime(watched_model), SourceData.open(smoke_run / "source")
    assert runtime.drift is not None
    watch, alarms, rng = DriftWatch(runtime.drift), [], np.random.default_rng(1)
    for episode in data.episodes():
        watch.reset()
        shared = np.zeros(len(episode), np.int64)
        seen = data.compose(episode, envs.load_domain(domain), rng, shared).observation
        for image, proprio in zip(seen["image"].numpy(), seen["proprio"].numpy(), strict=True):
            feature = runtime.decide({"image": image}).feature
            alarms.append(watch.update(feature, proprio + bias_rad) > watch.threshold)
    if farther is None:
        assert np.mean(alarms) <= 0.05
    else:
        assert np.mean(alarms) > 0.9
        assert watch.farther == farther


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--policy", "nowhere"], "no such bundle folder"),
        (["--source", "nowhere"], "nowhere/source: no usable source data"),
        (["--source", "RUN", "--false-alarms", "0.00001"], "it takes 200000"),
    ],
)
def test_errors_are_one_line(
    smoke_run: Path, tmp_path: Path, capsys: Any, arguments: list[str], word: str
) -> None:
    given = [str(smoke_run) if text == "RUN" else text for text in arguments]
    policy = [] if "--policy" in given else ["--policy", str(smoke_run / "policy")]
    assert main(["export", *policy, *given, "--quiet", "--out", str(tmp_path / "e")]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1
    assert not (tmp_path / "e" / "policy.onnx").exists()


def test_source_data_of_another_kind_is_refused(smoke_run: Path, tmp_path: Path) -> None:
    teacher = load_bundle(smoke_run / "teacher")
    with pytest.raises(SimrealError, match="privileged: nothing; the policy reads"):
        export(teacher, tmp_path / "policy.onnx", smoke_run, 0.01)
