"""Choosing a source, or none: on errors made up, on trainings that are real, and through the command."""

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from policies import EncoderConfig, HeadConfig, Policy, PolicyConfig
from simreal.bundles import load_bundle, source_domain
from simreal.check import target_only
from simreal.check.scores import Scores, score
from simreal.check.source_selection import NONE, Selection, best_fixed, regret, select
from simreal.check.trials import Trials, run_trials
from simreal.cli import main
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.data.source import SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.evaluate import pack
from simreal.transfer import SourceAccess

SCHEMA = json.loads(files("simreal").joinpath("schemas/result.json").read_text())
NO_SCORES = Scores(None, 0.0, None, 0.0)


def chosen(scratch: NDArray, chance: NDArray, **sources: NDArray) -> Selection:
    return select(dict.fromkeys(sources, NO_SCORES), Trials(list(sources.values()), scratch, chance))


def errors(mean: float, seed: int = 0) -> NDArray:
    return mean * np.exp(0.2 * np.random.default_rng(seed).normal(size=10))


def test_the_source_that_errs_least_is_chosen() -> None:
    found = chosen(errors(0.4), errors(0.5, 1), poor=errors(0.3, 2), good=errors(0.1, 3))
    assert found.chosen == "good"
    assert found.baseline == "target-only"
    assert [item.source for item in found.ranking] == ["good", "poor"]
    assert found.ranking[0].ci_low < found.ranking[0].error_ratio < found.ranking[0].ci_high < 1


def test_none_is_chosen_where_no_source_is_shown_to_beat_training_from_nothing() -> None:
    worse = chosen(errors(0.1), errors(0.5, 1), poor=errors(0.3, 2), poorer=errors(0.4, 3))
    assert (worse.chosen, worse.ranking[0].source) == (None, "poor")
    assert "none is shown" in worse.reason
    assert chosen(errors(0.3), errors(0.5, 1), alike=errors(0.29, 2)).chosen is None


def test_none_is_chosen_where_no_source_beats_chance() -> None:
    found = chosen(errors(0.9), errors(0.2, 1), a=errors(0.5, 2))
    assert (found.chosen, found.baseline) == (None, "mean action")


def test_the_best_of_many_is_held_to_more() -> None:
    base = errors(0.3)
    close = base * np.exp(-0.16 + 0.2 * np.random.default_rng(5).normal(size=10))
    assert chosen(base, base + 1, close=close).chosen == "close"
    others = {f"bad{index}": base * 2 for index in range(30)}
    assert chosen(base, base + 1, close=close, **others).chosen is None


def test_the_second_is_chosen_where_only_it_is_shown() -> None:
    """A source may err least on average for one lucky demonstration."""
    scratch, rng = np.full(10, 1.0), np.random.default_rng(0)
    steady = 0.84 + 0.01 * rng.normal(size=10)
    lucky = np.array([1e-3, *np.full(9, 0.92)])
    found = chosen(scratch, scratch * 3, lucky=lucky * steady.sum() / lucky.sum() * 0.99, steady=steady)
    assert [item.source for item in found.ranking] == ["lucky", "steady"]
    assert found.chosen == "steady"
    assert "shown to err less" in found.reason


def test_regret_by_hand() -> None:
    success, without = np.array([[0.9, 0.2, 0.5], [0.4, 0.6, 0.4]]), np.array([0.1, 0.8, 0.5])
    assert regret(success, without, np.array([0, NONE, 0])).value == 0  # the oracle's
    assert regret(success, without, np.array([1, 1, NONE])).value == pytest.approx((0.5 + 0.2 + 0) / 3)
    # Left out the first target, none did best on the others; the second, the first source; the third, it too.
    np.testing.assert_array_equal(best_fixed(success, without), [NONE, 0, 0])


@given(st.integers(0, 1000))
def test_regret_is_never_negative_and_bounded_by_its_interval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    success, without = rng.uniform(size=(3, 6)), rng.uniform(size=6)
    found = regret(success, without, best_fixed(success, without))
    assert 0 <= found.low <= found.high <= 1
    assert found.value >= 0


CONFIG = PolicyConfig(
    EncoderConfig("state", (("proprio", 4),), image_shape=None, feature_size=32, hidden=(32,)),
    HeadConfig((32,)), action_size=2,
)  # fmt: skip


def recorded(seed: int, episodes: int) -> TargetData:
    """Return episodes of ten frames whose actions are a crooked function of the proprioception."""
    rng = np.random.default_rng(seed)
    proprio = rng.normal(size=(10 * episodes, 4)).astype(np.float32)
    actions = np.tanh(proprio[:, :2] * proprio[:, 2:]).astype(np.float32)
    images = np.zeros((len(proprio), 1, 1, 3), np.uint8)
    return TargetData(images, proprio, actions, np.repeat(np.arange(episodes), 10))


def test_trials_tell_a_source_that_learned_the_task_from_one_that_learned_nothing() -> None:
    torch.manual_seed(0)
    good, untrained = target_only.train(CONFIG, recorded(1, 200), 3e-3, 400, 0), Policy(CONFIG)
    data = recorded(2, 8)
    found = run_trials([pack(untrained), pack(good)], data, updates=10, most_updates=100, seed=0)
    assert {len(each) for each in (*found.sources, found.target_only, found.mean_action)} == {8}
    both = select({"untrained": NO_SCORES, "good": NO_SCORES}, found)
    assert both.chosen == "good"
    alone = Trials(found.sources[:1], found.target_only, found.mean_action)
    assert select({"untrained": NO_SCORES}, alone).chosen is None


def test_trials_of_one_demonstration_are_refused() -> None:
    with pytest.raises(SimrealError, match="give two or more"):
        run_trials([pack(Policy(CONFIG))], recorded(0, 1), 1, 1, 0)


@pytest.fixture(scope="module")
def demos(smoke_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demos")
    expert = ["--policy", str(smoke_run / "teacher"), "--target", "nominal", "--demos", "2"]
    assert main(["collect", *expert, "--quiet", "--out", str(out)]) == 0
    return out / "dataset"


def test_scores_of_a_real_source(smoke_run: Path, demos: Path) -> None:
    bundle = load_bundle(smoke_run / "policy")
    access = SourceAccess(SourceData.open(smoke_run / "source"), source_domain(bundle))
    data = TargetData.of_episodes(LeRobotDataset(demos))
    found = score(bundle.policy, data, access, np.random.default_rng(0))
    assert found == score(bundle.policy, data, access, np.random.default_rng(0))
    assert found.a_distance is not None
    assert 0 <= found.a_distance <= 2
    assert found.promise("a_distance") == -found.a_distance
    assert found.promise("zero_shot_success") is None
    assert score(bundle.policy, data, None, np.random.default_rng(0)).a_distance is None
    constant = TargetData(data.images, data.proprio, np.ones_like(data.actions), data.episode)
    assert score(bundle.policy, constant, None, np.random.default_rng(0)).h_score is None


def test_select(smoke_run: Path, demos: Path, tmp_path: Path) -> None:
    sources = ["--sources", str(smoke_run), str(smoke_run / "adapted")]
    out = ["--preset", "smoke", "--quiet", "--out", str(tmp_path)]
    assert main(["select", *sources, "--demos", str(demos), *out]) == 0
    found = json.loads((tmp_path / "result.json").read_text())
    jsonschema.validate(found, SCHEMA)
    selection = found["selection"]
    assert {item["source"] for item in selection["ranking"]} == set(sources[1:])
    distances = {item["source"]: item["scores"]["a_distance"] for item in selection["ranking"]}
    assert distances[sources[1]] is not None
    assert distances[sources[2]] is None  # a bundle alone, without source data
    assert selection["chosen"] in {None, *sources[1:]}


@pytest.mark.parametrize(
    ("sources", "words"),
    [(["nowhere"], "no such bundle folder"), (["{run}", "{run}"], "given twice; name different ones")],
)
def test_select_refuses_in_one_line(
    smoke_run: Path, demos: Path, tmp_path: Path, capsys, sources: list[str], words: str
) -> None:
    named = [source.format(run=smoke_run) for source in sources]
    assert main(["select", "--sources", *named, "--demos", str(demos), "--out", str(tmp_path / "x")]) == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1]


def test_select_refuses_a_source_that_has_seen_the_demonstrations(
    smoke_run: Path, demos: Path, tmp_path: Path, capsys
) -> None:
    bundle, how = str(smoke_run / "policy"), ["--method", "head-only", "--preset", "smoke", "--quiet"]
    adapted = ["adapt", "--policy", bundle, "--demos", str(demos), *how, "--out", str(tmp_path / "a")]
    assert main(adapted) == 0
    sources = ["--sources", bundle, str(tmp_path / "a" / "policy")]
    assert main(["select", *sources, "--demos", str(demos), "--out", str(tmp_path / "x")]) == 2
    assert "which is to judge it" in capsys.readouterr().err.strip().splitlines()[-1]
