"""Choosing a method: on cases whose answer is known, and from a study's table to a recommendation."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.check.finished import Finished
from simreal.cli import main
from simreal.data.source import SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.study import Source, cell, choice
from simreal.study import gap as gap_of
from simreal.study import recommend as recommending
from simreal.study.arms import Arm, Case, Limits, cases_of, cells_of, limited
from simreal.study.choice import ENSEMBLE, FIXED, RANDOM, Record, record
from simreal.study.gap import Gap, gap_key, gaps, measure
from simreal.study.recommend import past_cases, recommend
from simreal.study.table import Table, write_table
from simreal.targets import parse_target
from simreal.transfer import SourceAccess

SCHEMA = json.loads(files("simreal").joinpath("schemas/result.json").read_text())
GAP = Gap(0.5, 0.1, 0.1, 0.0, 0.2, 0.3, 1.0, 0.01, (0.1, 0.0, -0.1))
COLOURS, TUNES = Arm("color-match", frames=500), Arm("finetune", demos=10)
ZERO = Arm(ZERO_SHOT)
ALL = Limits(10, 500, 2000)


@pytest.fixture(autouse=True, scope="module")
def _few_trees() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "TREES", 40)
        yield


def case(domain: str, colour: float, **success: float) -> Case:
    gap = dataclasses.replace(GAP, colour_mean=colour)
    arms = {"colours": COLOURS, "tunes": TUNES, "zero": ZERO}
    return Case("s", f"{domain}@3", domain, gap, {arms[name]: rate for name, rate in success.items()})


def told(count: int, gap_tells: bool) -> list[Case]:
    """One arm is right where colours differ, the other elsewhere; half of the targets each."""
    colours = np.random.default_rng(0).permutation(count) if not gap_tells else np.arange(count)
    return [
        case(f"d{k:02}", colours[k] / count, zero=0.2, colours=0.9 if k >= count / 2 else 0.3, tunes=0.6)
        for k in range(count)
    ]


def of(found: Record, name: str) -> float:
    return next(way.regret.value for way in found.ways if way.name == name)


def test_where_the_gap_tells_the_ensemble_beats_every_fixed_arm() -> None:
    found = record(told(12, gap_tells=True), ["colour_mean"], seed=0)
    assert of(found, ENSEMBLE) < 0.05  # at most next to the boundary
    assert of(found, FIXED) >= 0.15  # whichever it takes is wrong on half
    assert found.better
    assert "chooses better" in found.verdict


def test_where_the_gap_tells_nothing_the_fixed_arm_is_recommended() -> None:
    cases = [case(f"d{k}", k / 7 % 1, zero=0.2, colours=0.5, tunes=0.6 + 0.01 * (k % 3)) for k in range(8)]
    found = recommend(cases, "t", GAP, ALL, seed=0)
    assert not found.record.better
    assert found.chosen == TUNES.label
    assert "not shown to choose better" in found.reason


def test_of_arms_predicted_alike_the_one_that_gained_most_goes_first() -> None:
    cases = [case(name, 0.1, zero=0.2, colours=0.5) for name in "ab"]  # fewer than a leaf takes twice
    found = choice.Chooser(cases, ["colour_mean"], 0).predict(GAP, [ZERO, COLOURS, TUNES])
    assert len({item.success for item in found}) == 1
    assert [(item.arm, item.gained) for item in found] == [
        (COLOURS, pytest.approx(0.3)), (ZERO, 0.0), (TUNES, None),
    ]  # fmt: skip


def test_regrets_are_what_a_hand_counts() -> None:
    cases = [
        case("a", 0.1, zero=0.1, colours=0.7, tunes=0.9),
        case("b", 0.1, zero=0.4, colours=0.5, tunes=0.8),
        case("c", 0.1, zero=0.3, colours=1.0, tunes=0.2),
    ]
    found = record(cases, ["colour_mean"], seed=0)
    assert of(found, ZERO_SHOT) == pytest.approx((0.8 + 0.4 + 0.7) / 3)
    assert of(found, RANDOM) == pytest.approx((0.9 - 1.7 / 3 + 0.8 - 1.7 / 3 + 1.0 - 0.5) / 3)
    fixed = next(way for way in found.ways if way.name == FIXED)
    # Gains over zero-shot elsewhere: for a colours 0.4, tunes 0.15; for b 0.65, 0.35; for c 0.35, 0.6.
    assert fixed.chosen == {"a@3": COLOURS.label, "b@3": COLOURS.label, "c@3": TUNES.label}
    assert fixed.regret.value == pytest.approx((0.2 + 0.3 + 0.8) / 3)
    assert found.arms == 3


@settings(max_examples=4, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_what_came_of_a_target_cannot_be_looked_at_to_choose_for_it(rates: list[float]) -> None:
    cases = told(4, gap_tells=True)
    spoiled = dataclasses.replace(cases[0], success=dict(zip(cases[0].success, rates, strict=True)))
    before, after = (record(each, ["colour_mean"], 0) for each in (cases, [spoiled, *cases[1:]]))
    for first, second in zip(before.ways, after.ways, strict=True):
        assert first.chosen.get("d00@3") == second.chosen.get("d00@3")
        assert second.regret.value >= 0


def test_a_budget_and_a_setting_limit_what_can_be_chosen() -> None:
    many = {ZERO: 0.1, COLOURS: 0.2, TUNES: 0.3, Arm("finetune", demos=30): 0.4, Arm(TARGET_ONLY, 10): 0.2}
    (found,) = limited([Case("s", "a@3", "a", GAP, many)], ALL)
    assert set(found.success) == {ZERO, COLOURS, TUNES, Arm(TARGET_ONLY, 10)}
    (free,) = limited([found], Limits(0, 500, 0))
    assert set(free.success) == {ZERO, COLOURS}
    (inductive,) = limited([found], ALL, ["inductive"])
    assert set(inductive.success) == {ZERO, TUNES}
    assert limited([found], Limits(3, 100, 0)) == []
    with pytest.raises(SimrealError, match=r"within Limits.*finetune \(10 demonstrations\)"):
        recommend([found], "t", GAP, Limits(3, 100, 0), 0)
    with pytest.raises(SimrealError, match="has 1 targets"):
        recommend([found], "t", GAP, ALL, 0)


@pytest.fixture(scope="module")
def source(smoke_run: Path) -> Source:
    return Source.of_run(smoke_run)


def rows_of(source: Source, names: Sequence[str], seeds: int = 2) -> list[dict[str, object]]:
    rates = {ZERO_SHOT: 0.2, "finetune": 0.8, "color-match": 0.5}
    cells = [
        cell(parse_target(name, source.env_id), candidate, 7, seed, demos=1, frames=10, updates=2)
        for name in names
        for candidate in rates
        for seed in range(seeds)
    ]
    return [each.row(source) | {"success_rate": rates[each.candidate] + 0.1 * each.seed} for each in cells]


def test_cases_are_of_the_source_and_of_shared_seeds(source: Source, tmp_path: Path) -> None:
    rows = rows_of(source, ["blur@3"])
    other = rows_of(dataclasses.replace(source, sha256="another"), ["glare@3"])
    lone = [row for row in rows if not (row["candidate"] == "finetune" and row["seed"] == 1)]
    write_table(tmp_path / "t.parquet", [*lone, *other])
    found = cells_of(Table(tmp_path / "t.parquet"), source)
    assert set(found) == {"blur@3"}
    (only,) = cases_of(source, found, {"blur@3": GAP})
    assert only.success == {Arm("color-match", frames=10): pytest.approx(0.55), ZERO: pytest.approx(0.25)}


def composed(source: Source, gain: float, first: int, last: int) -> tuple[SourceAccess, TargetData]:
    """Source episodes as if a target had shown them, darker by `gain`."""
    access = SourceAccess(SourceData.open(source.data), source.domain)
    episodes = access.data.episodes()[first:last]
    which = np.repeat(np.arange(len(episodes)), [len(each) for each in episodes])
    batch = access.data.compose(np.concatenate(episodes), source.domain, np.random.default_rng(1), which)
    images = (batch.observation["image"].numpy() * gain).astype(np.uint8)
    return access, TargetData(images, batch.observation["proprio"].numpy(), batch.action.numpy(), which)


def test_a_gap_is_small_to_the_source_itself_and_grows_where_it_is_changed(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gap_of, "SOURCE_FRAMES", 150)
    access, same = composed(source, 1.0, 0, 6)
    _, dark = composed(source, 0.3, 0, 6)
    shifted = dataclasses.replace(same, proprio=same.proprio + 1.0)
    blurred = dataclasses.replace(same, images=np.broadcast_to(
        same.images.mean(axis=(1, 2), keepdims=True).astype(np.uint8), same.images.shape  # type: ignore[union-attr]
    ))  # fmt: skip
    small, darker, further, flat = (
        measure(source.policy, access, data, np.random.default_rng(0), data, 0.5)
        for data in (same, dark, shifted, blurred)
    )
    assert darker.colour_mean > 3 * small.colour_mean
    assert further.proprio_mean > 3 * small.proprio_mean
    assert further.colour_mean == small.colour_mean
    assert flat.sharpness < -3 < small.sharpness
    assert small.a_distance is not None
    assert small.a_distance <= further.a_distance  # type: ignore[operator]
    assert small.action_error is not None
    assert small.action_bias is not None
    assert sum(bias**2 for bias in small.action_bias) / 3 <= small.action_error
    assert Gap.of_plain(json.loads(json.dumps(dataclasses.asdict(small)))) == small
    unlabelled = measure(source.policy, access, same, np.random.default_rng(0))
    assert "action_error" not in unlabelled.numbers()
    assert "zero_shot" not in unlabelled.numbers()


def test_a_gap_that_is_kept_is_not_measured_again(source: Source, tmp_path: Path) -> None:
    blur = parse_target("blur@3", source.env_id)
    path = tmp_path / "gaps.json"
    first = gaps(source, [blur], Finished(path, "s", resume=True), rollouts=2, demos=2)
    assert first["blur@3"].action_error is not None
    kept = json.loads(path.read_text())
    kept["finished"][gap_key(source, blur)]["colour_mean"] = 0.123
    path.write_text(json.dumps(kept))
    again = gaps(source, [blur], Finished(path, "s", resume=True), rollouts=2, demos=2)
    assert again["blur@3"] == dataclasses.replace(first["blur@3"], colour_mean=0.123)
    other = dataclasses.replace(source, sha256="another")
    assert gap_key(other, blur) != gap_key(source, blur)


def test_recommend_from_a_table(source: Source, smoke_run: Path, tmp_path: Path) -> None:
    names = ["blur@1", "glare@1", "hue-shift@1", "hue-shift@3"]
    write_table(tmp_path / "study" / "cells.parquet", rows_of(source, names))
    sizes = [recommending.ROLLOUTS, recommending.DEMOS]
    kept = Finished(tmp_path / "study" / "cells_gaps.json", sizes, resume=True)
    for name in names:
        kept.keep(gap_key(source, parse_target(name, source.env_id)), GAP)
    out = tmp_path / "r"
    command = [
        "recommend",
        str(tmp_path / "study"),
        "--sources",
        str(smoke_run),
        "--quiet",
        "--out",
        str(out),
    ]
    assert main([*command, "--target", "blur@2", "--demos", "1", "--rollouts", "2"]) == 0
    found = json.loads((out / "result.json").read_text())
    jsonschema.validate(found, SCHEMA)
    told = found["recommendation"]
    assert told["target"] == "blur@2"
    assert told["record"]["targets"] == 3  # a target's severities are left out together
    assert told["chosen"] == "finetune (1 demonstrations)"
    assert {row["candidate"] for row in told["ranking"]} == {ZERO_SHOT, "finetune", "color-match"}
    assert told["ranking"][0]["gained"] == pytest.approx(0.6)
    assert "action_bias_2" in told["gap"]

    # Recorded frames alone: no labels, no rollouts.
    seen = ["collect", "--policy", str(smoke_run / "policy"), "--target", "blur@2", "--frames", "30"]
    assert main([*seen, "--quiet", "--out", str(tmp_path / "c")]) == 0
    few = main([*command, "--overwrite", "--frames", str(tmp_path / "c" / "dataset"), "--demos", "0"])
    assert few == 0
    free = json.loads((out / "result.json").read_text())["recommendation"]
    assert {row["candidate"] for row in free["ranking"]} == {ZERO_SHOT, "color-match"}
    assert not {"zero_shot", "action_error", "action_bias_0"} & set(free["gap"])


def test_recommend_says_what_is_missing(
    smoke_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source = Source.of_run(smoke_run)
    with pytest.raises(SimrealError, match="no such table"):
        past_cases(tmp_path / "none.parquet", [source])
    write_table(tmp_path / "t.parquet", rows_of(dataclasses.replace(source, sha256="x"), ["blur@3"]))
    with pytest.raises(SimrealError, match=f"no cell of the source {source.name}"):
        past_cases(tmp_path / "t.parquet", [source])
    command = ["recommend", "--sources", str(smoke_run), "--zero-shot", "7", "--out", str(tmp_path / "o")]
    assert main(command) == 2
    assert "--zero-shot 7.0: a success rate is from 0 to 1" in capsys.readouterr().err
