"""`adapt --guard`: real rollouts of policies that are good or ruined on purpose."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import gymnasium
import jsonschema
import numpy as np
import pytest
import torch
from gymnasium import spaces

from policies import EncoderConfig, HeadConfig, Policy, PolicyBundle, PolicyConfig
from simreal.adapt import Given, adapted_bundle
from simreal.bundles import describe
from simreal.cli import main
from simreal.data.target import TargetData
from simreal.guarded import Guard, guarded
from simreal.results import to_plain
from simreal.targets import Target
from simreal.transfer import Problem

SCHEMA = json.loads(files("simreal").joinpath("schemas/result.json").read_text())
ENV_ID = "simreal-tests/Line-v0"
GOOD, RUINED = 0.9, -0.9  # actions


class Line(gymnasium.Env[Any, Any]):
    """One step; an action above a threshold that the seed draws succeeds."""

    control_period_s = 0.1
    observation_space = spaces.Dict({"proprio": spaces.Box(-1, 1, (2,), np.float32)})
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._seen = self.np_random.uniform(-0.5, 0.5, 2).astype(np.float32)
        return {"proprio": self._seen}, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return {"proprio": self._seen.copy()}, 0.0, True, False, {"success": bool(action[0] > self._seen[0])}


class Shown(Given):
    """Demonstrations of what is right everywhere."""

    def problem(self, bundle: PolicyBundle, seed: int) -> Problem:
        """Return the problem with eight demonstrations of four frames."""
        seen = np.random.default_rng(seed).uniform(-0.5, 0.5, (32, 2)).astype(np.float32)
        right = np.full((32, 1), GOOD, np.float32)
        images = np.zeros((32, 1, 1, 3), np.uint8)
        return Problem(bundle.policy, seed, TargetData(images, seen, right, np.repeat(np.arange(8), 4)))


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    gymnasium.register(ENV_ID, Line)


def always(action: float) -> Policy:
    encoder = EncoderConfig("state", (("proprio", 2),), image_shape=None, feature_size=8, hidden=(8,))
    policy = Policy(PolicyConfig(encoder, HeadConfig((4,)), 1))
    with torch.no_grad():
        policy.head.output.weight.zero_()
        policy.head.output.bias.fill_(action)
    return policy.eval()


def guard(
    method: str, adapted: float, source: float, rollouts: int = 20
) -> tuple[PolicyBundle, PolicyBundle, Guard]:
    """Return the source's bundle, the returned one, and what the guard did."""
    extra = {"source": {"name": "source"}, "verdict": {"verdict": "negative"}}
    bundle = describe(always(source), Line(), ENV_ID, "source", 0, extra)
    candidate = adapted_bundle(bundle, always(adapted), method, "the line", frames=3)
    target = Target(ENV_ID, None)
    found, record = guarded(candidate, bundle, Shown(), target, rollouts, most_updates=60, seed=1)
    jsonschema.validate(
        {"command": "adapt", "schema": 1, "seed": 0, "seconds": 0, "guard": to_plain(record)}, SCHEMA
    )
    return bundle, found, record


def test_a_good_policy_is_returned(tmp_path: Path) -> None:
    source, found, record = guard("finetune", GOOD, RUINED)
    assert (record.chosen, found.manifest.method) == ("finetune", "finetune")
    assert found.manifest.parent == source.weights_sha256
    assert {name: (each.rollouts, each.successes) for name, each in record.candidates.items()} == {
        "finetune": (8, 8), "zero-shot": (4, 0), "target-only": (8, 8),
    }  # fmt: skip
    found.save(tmp_path / "b")
    told = PolicyBundle.load(tmp_path / "b").manifest.extra
    assert told["guard"] == to_plain(record)
    assert told["used"] == {"frames": 3, "scored_rollouts": 20}
    assert told["source"] == {"name": "source"}


def test_a_ruined_policy_is_not_and_the_source_comes_back_as_it_was() -> None:
    source, found, record = guard("color-match", RUINED, GOOD)
    assert record.chosen == "zero-shot"
    assert record.target_only is None
    assert any("Without demonstrations there is no target-only" in text for text in record.sentences())
    assert found.weights_sha256 == source.weights_sha256
    assert (found.manifest.method, found.manifest.parent) == (None, None)
    assert found.manifest.extra["used"]["scored_rollouts"] == 20
    assert "verdict" not in found.manifest.extra
    against = record.comparisons[0]
    assert (against.candidate, against.baseline, against.verdict) == ("zero-shot", "color-match", "positive")
    assert against.p_value < 0.05


def test_where_the_source_fails_too_it_is_target_only() -> None:
    _, found, record = guard("finetune", RUINED, RUINED, rollouts=10)
    assert record.chosen == "target-only"
    assert record.target_only is not None
    manifest = found.manifest
    assert (manifest.method, manifest.parent, manifest.domain) == ("target-only", None, ENV_ID)
    assert "source" not in manifest.extra  # it was trained nowhere else
    assert found.policy.act({"proprio": np.zeros(2, np.float32)})[0] > 0.5


def test_where_nothing_succeeds_nothing_is_claimed() -> None:
    _, _, record = guard("color-match", RUINED, RUINED, rollouts=4)
    assert record.chosen == "color-match"
    assert any("tell nothing apart" in text for text in record.sentences())


def test_the_command(smoke_run: Path, tmp_path: Path) -> None:
    arguments = ["adapt", "--policy", str(smoke_run / "policy"), "--method", "color-match", "--frames", "40"]
    more = ["--source", str(smoke_run), "--target", "blur@1", "--preset", "smoke", "--quiet"]
    assert main([*arguments, *more, "--guard", "7", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "result.json").read_text())
    jsonschema.validate(found, SCHEMA)
    assert (found["guard"]["rollouts"], found["guard"]["used"], found["guard"]["target"]) == (7, 6, "blur@1")
    manifest = PolicyBundle.load(tmp_path / "policy").manifest
    assert manifest.extra["guard"] == found["guard"]
    assert manifest.extra["used"] == {"unlabelled_frames": 40, "scored_rollouts": 6}


RECORDED = "is recorded data, and scored rollouts need a target that runs: give --target, a domain"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--guard", "0"], "--guard 0: 3 candidates (finetune, zero-shot, target-only) take at least 6"),
        (["--guard", "-1"], "--guard -1: 3 candidates"),
        (
            ["--guard", "3", "--method", "color-match"],
            "--guard 3: 2 candidates (color-match, zero-shot) take",
        ),
        (["--guard", "20", "--demos", "data/demos"], f"--guard 20: data/demos {RECORDED}"),
        (["--guard", "20", "--method", "color-match", "--frames", "data/seen"], f"data/seen {RECORDED}"),
        (
            ["--guard", "20", "--method", "random-conv"],
            "is given nothing of a target, and scored rollouts need",
        ),
    ],
)
def test_what_cannot_be_guarded_is_one_line(
    arguments: list[str], words: str, smoke_run: Path, tmp_path: Path, capsys
) -> None:
    given = [
        "adapt",
        "--method",
        "finetune",
        "--policy",
        str(smoke_run / "policy"),
        "--source",
        str(smoke_run),
    ]
    assert main([*given, *arguments, "--out", str(tmp_path / "x")]) == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "x").exists()


def test_recorded_data_is_no_target(smoke_run: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "d" / "meta").mkdir(parents=True)
    (tmp_path / "d" / "meta" / "info.json").write_text("{}")
    given = ["adapt", "--method", "finetune", "--policy", str(smoke_run / "policy"), "--guard", "20"]
    assert main([*given, "--target", str(tmp_path / "d"), "--out", str(tmp_path / "x")]) == 2
    assert f"--target {tmp_path / 'd'} {RECORDED}" in capsys.readouterr().err
