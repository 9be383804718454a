"""A search of settings: killed anywhere it comes to the same, and it never sees a test seed."""

import inspect
import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import Policy
from simreal import evaluate, workers
from simreal.check import candidates
from simreal.cli import main
from simreal.errors import SimrealError
from simreal.seeds import MAXIMUM, TUNING_RUNS, Purpose, seed_for
from simreal.study import Source, cell, computing
from simreal.study.plan import Budget
from simreal.study.search import STARTUP, Setting, Trial, search
from simreal.study.tuning import Tuning, space_of, tune
from simreal.targets import parse_target
from simreal.transfer import METHODS, Problem, method

SPACE = (Setting("rate", 1.0, 0.1, 10.0, False), Setting("steps", 3, 1, 9, True))
STAGES, TRIALS = 3, 11


class KilledError(Exception):
    """Stands for a kill: nothing is put in order."""


def score(settings: Mapping[str, float], stage: int) -> float:
    """Best at a rate of 3 and 5 steps."""
    return -abs(math.log(settings["rate"] / 3)) - 0.1 * abs(settings["steps"] - 5) - 0.01 * stage


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    """What a search comes to that nothing interrupts."""
    return search("s", SPACE, score, STAGES, TRIALS, tmp_path_factory.mktemp("whole") / "j", 0)


def test_a_search_improves_on_the_defaults_and_stops_what_is_poor(whole: list[Trial]) -> None:
    found = whole
    assert len(found) == TRIALS
    assert found[0].settings == {"rate": 1.0, "steps": 3}
    assert max(each.scores[-1] for each in found) > found[0].scores[-1]
    assert not any(each.stopped for each in found[:STARTUP])
    stopped = [each for each in found if each.stopped]
    assert stopped
    best = max(each.scores[0] for each in found if not each.stopped)
    assert all(each.scores[0] < best for each in stopped)
    assert all(1 <= each.settings["steps"] <= 9 and 0.1 <= each.settings["rate"] <= 10 for each in found)


@pytest.mark.parametrize("at", [1, 11, 25])
def test_a_killed_search_comes_to_the_same(whole: list[Trial], tmp_path: Path, at: int) -> None:
    calls = itertools.count(1)

    def killed(settings: Mapping[str, float], stage: int) -> float:
        if next(calls) == at:
            raise KilledError
        return score(settings, stage)

    journal = tmp_path / "j"
    with pytest.raises(KilledError):
        search("s", SPACE, killed, STAGES, TRIALS, journal, 0)
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 6, "tri')  # and while it wrote
    looks: list[int] = []
    found = search("s", SPACE, lambda *each: looks.append(1) or score(*each), STAGES, TRIALS, journal, 0)  # type: ignore[func-returns-value]
    assert found == whole
    assert (
        len(looks) <= sum(len(each.scores) for each in found) - (at - 1) + STAGES
    )  # begun anew at most once
    more = search("s", SPACE, score, STAGES, TRIALS + 1, journal, 0)
    assert more[:TRIALS] == found


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_space_about_its_defaults(name: str) -> None:
    space = space_of(name)
    assert all(each.low <= each.default <= each.high for each in space)
    own = method(name).settings()
    rates = [each.name for each in space if each.name in ("learning_rate", "meta_rate", "rate_scale")]
    assert len(rates) == (name != "bayes-head")
    assert {each.name for each in space} - {"rate_scale"} == own.keys()


def test_settings_reach_the_function_and_the_learning_rate() -> None:
    seen: list[Any] = []

    def run(
        problem: Problem, report: Any, *, pull: float = 1.0, steps: int = 3, encoder: bool = True
    ) -> Policy:
        seen.append((pull, steps, problem.learning(0.1).learning_rate))
        return problem.policy

    planted = type(method("finetune"))("planted", "f", "inductive", (), "", "", run)
    problem = Problem(Policy.__new__(Policy), 0)
    for given_settings in ({}, {"pull": 2.0, "steps": 4.0}, {"rate_scale": 5.0}):
        planted.with_settings(given_settings).adapt(problem)
    assert seen == [(1.0, 3, 0.1), (2.0, 4, 0.1), (1.0, 3, 0.5)]
    assert isinstance(seen[1][1], int)
    with pytest.raises(SimrealError, match="no setting 'pul'; did you mean 'pull'"):
        planted.with_settings({"pul": 1.0})
    with pytest.raises(SimrealError, match=r"steps: takes a whole number, not 2\.5"):
        planted.with_settings({"steps": 2.5})
    with pytest.raises(SimrealError, match="takes a number from 0, not"):
        planted.with_settings({"pull": -1.0})
    with pytest.raises(SimrealError, match="kept: takes a share from 0 to 1, not"):
        METHODS["pseudo-label"].with_settings({"kept": 3.0})
    with pytest.raises(SimrealError, match="no setting 'encoder'"):
        planted.with_settings({"encoder": 0.0})
    for each in METHODS.values():  # what learns by gradient steps asks the problem for its rate
        assert "LearnConfig(" not in inspect.getsource(inspect.getmodule(each.run)), each.id  # type: ignore[arg-type]


def test_other_settings_are_another_cell_and_none_the_same_as_ever(smoke_run: Path) -> None:
    source = Source.of_run(smoke_run)
    blur = parse_target("blur@3", source.env_id)
    plain, other = (cell(blur, "finetune", 901, 0, settings=text) for text in ("", '{"learning_rate": 0.1}'))
    assert plain.key(source) == cell(blur, "finetune", 901, 0).key(source) != other.key(source)


@given(st.sampled_from(TUNING_RUNS), st.integers(0, 1047), st.integers(0, 999), st.integers(0, 999))
def test_seeds_of_tuning_and_of_tests_never_meet(tuning: int, test: int, seed: int, other: int) -> None:
    """Of two runs no seed is shared: not of an episode, a demonstration or a training."""
    for purpose in Purpose:
        if test not in TUNING_RUNS:
            assert seed_for(purpose, tuning, seed << 10) >> 20 != seed_for(purpose, test, other << 10) >> 20
            # What cells are judged by is numbered by run and training seed together.
            judged = [run * 1000 + number for run, number in ((tuning, seed), (test, other))]
            assert judged[0] != judged[1]
            assert max(judged) < MAXIMUM


def test_a_search_draws_tuning_seeds_alone(
    smoke_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: set[tuple[Purpose, int]] = set()

    def noted(purpose: Purpose, run: int, index: int = 0) -> int:
        drawn.add((purpose, run))
        return seed_for(purpose, run, index)

    for module in (candidates, evaluate):
        monkeypatch.setattr(module, "seed_for", noted)
    monkeypatch.setattr(workers, "_here", True)  # in this process, where it is noted
    source = Source.of_run(smoke_run)
    targets = (parse_target("blur@1", source.env_id),)
    sizes: dict[str, Any] = {"seeds": 1, "fresh_seeds": 1, "budget": Budget(2, 10, 0)}
    tuning = Tuning(targets, 2, **sizes, updates=2, episodes=1, run_seed=905)
    found = tune(source, "pseudo-label", tuning, tmp_path)
    assert found.default == {"kept": method("pseudo-label").settings()["kept"], "rate_scale": 1.0}
    assert len(found.trials) == 2
    runs = {
        run // 1000 if purpose == Purpose.CHECK_EVALUATION else run
        for purpose, run in drawn
    }  # fmt: skip
    assert runs == {905}
    assert {purpose for purpose, _ in drawn} == {
        Purpose.DEMONSTRATION, Purpose.UNLABELLED, Purpose.TRAINING, Purpose.CHECK_EVALUATION,
    }  # fmt: skip

    # All of it again from the folder: nothing is left to compute.
    def refuse(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(computing, "run_cell", refuse)
    assert tune(source, "pseudo-label", tuning, tmp_path) == found


def test_a_test_seed_is_refused() -> None:
    with pytest.raises(SimrealError, match="run seed 700: tuning has 900 to 999"):
        Tuning((), run_seed=700)


def test_adapt_takes_settings_from_a_file(
    smoke_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "random-conv.json"
    path.write_text("largest: 3\nrate_scale: 5e-1\n")
    command = ["adapt", "--policy", str(smoke_run / "policy"), "--method", "random-conv", "--preset", "smoke"]
    more = ["--source", str(smoke_run), "--settings", str(path), "--quiet", "--out"]
    assert main([*command, *more, str(tmp_path / "a")]) == 0
    manifest = json.loads((tmp_path / "a" / "policy" / "policy.json").read_text())
    assert manifest["extra"]["used"]["settings"] == {"largest": 3, "rate_scale": 0.5}
    for text, words in (
        ("lagest: many", "unknown key 'lagest'; did you mean 'largest'?"),
        ("largest: many", "largest: takes a number, not 'many'"),
        ("rate_scale: -1", "rate_scale: takes a number from 0, not -1.0"),
    ):
        path.write_text(text)
        assert main([*command, *more, str(tmp_path / "b")]) == 2
        assert f"{path}: " in (error := capsys.readouterr().err)
        assert words in error
