"""A study's file: what it means, and what is said of a wrong one."""

from pathlib import Path

import pytest

from simreal.check.candidates import TARGET_ONLY, ZERO_SHOT
from simreal.check.target_only import Tuned
from simreal.check.tuning import Found, Scaled
from simreal.errors import SimrealError
from simreal.study.cells import Cell
from simreal.study.plan import Budget, StudyPlan
from simreal.targets import parse_target

ENV = "simreal/PandaReach-v0"
LEAST = "sources: [runs/a]\ntargets: [blur]\nmethods: [finetune]\n"


def read(folder: Path, text: str) -> StudyPlan:
    path = folder / "study.yaml"
    path.write_text(text)
    return StudyPlan.read(path)


def tune(each: Cell) -> Found:
    return Tuned(1e-3, 10 * each.demos, 0.0) if each.candidate == TARGET_ONLY else Scaled(3.0, 0.0)


def test_targets_without_a_severity_get_those_of_the_plan(tmp_path: Path) -> None:
    plan = read(tmp_path, LEAST.replace("[blur]", "[blur, nominal, glare@5]") + "severities: [1, 3]\n")
    assert [target.label for target in plan.worlds(ENV)] == ["blur@1", "blur@3", "nominal", "glare@5"]
    assert plan.sources == (tmp_path / "runs/a",)
    whole = read(tmp_path, LEAST.replace("[blur]", "[suite, blur@3]"))
    labels = [target.label for target in whole.worlds(ENV)]
    assert len(labels) == len(set(labels)) > 20


def test_each_candidate_takes_what_it_needs_of_a_budget(tmp_path: Path) -> None:
    plan = read(tmp_path, LEAST.replace("[finetune]", "[finetune, coral, finetune]") + "seeds: 2\n")
    cells = plan.cells(parse_target("blur@3", ENV), Budget(demos=7, frames=60), tune)
    assert list(cells) == [ZERO_SHOT, TARGET_ONLY, "finetune", "coral"]
    used = {name: (found[0].demos, found[0].frames) for name, found in cells.items()}
    assert used == {ZERO_SHOT: (0, 0), TARGET_ONLY: (7, 0), "finetune": (7, 0), "coral": (0, 60)}
    assert [each.seed for each in cells["coral"]] == [0, 1]
    assert cells[TARGET_ONLY][0].updates == 70
    settings = {name: found[0].settings for name, found in cells.items()}
    assert settings == {ZERO_SHOT: "", TARGET_ONLY: "", "finetune": '{"rate_scale": 3.0}', "coral": ""}
    assert TARGET_ONLY not in plan.cells(parse_target("blur@3", ENV), Budget(demos=0), tune)


def test_a_budget_may_be_for_some_candidates_only(tmp_path: Path) -> None:
    budgets = "budgets: [{demos: 3, only: [finetune]}, {demos: 10}, {demos: 300, only: [target-only]}]\n"
    plan = read(tmp_path, LEAST + budgets + "seeds: 1\nthreshold: 0.9\n")
    target = parse_target("blur@3", ENV)
    taken = [list(plan.cells(target, budget, tune)) for budget in plan.budgets]
    assert taken == [[ZERO_SHOT, "finetune"], [ZERO_SHOT, TARGET_ONLY, "finetune"], [ZERO_SHOT, TARGET_ONLY]]
    assert plan.threshold == 0.9
    assert read(tmp_path, LEAST).threshold == 0.75


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("sources: [a]\ntargets: [blur]\n", "methods: missing"),
        (LEAST + "sead: 3\n", "unknown key 'sead'.*seed"),
        (LEAST.replace("finetune", "finetun"), "methods: no method 'finetun'.*finetune"),
        (LEAST.replace("[blur]", "blur"), "targets: takes a list with at least one entry, not 'blur'"),
        (LEAST.replace("[blur]", "[3]"), "targets: takes names, not 3"),
        (LEAST + "severities: [6]\n", "severities: takes a whole number from 1 to 5, not 6"),
        (LEAST + "seeds: 0\n", "seeds: takes a whole number from 1 to 1000, not 0"),
        (LEAST + "episodes: 2.5\n", "episodes: takes a whole number of at least 1, not 2.5"),
        (LEAST + "budgets: [{demonstrations: 3}]\n", "budgets: unknown key 'demonstrations'"),
        (LEAST + "budgets: [{demos: 3, only: [finetun]}]\n", "only: no candidate 'finetun'.*'finetune'"),
        (LEAST + "budgets: [{demos: 3, only: finetune}]\n", "only: takes a list"),
        (LEAST + "threshold: 75\n", "threshold: takes a success rate above 0 and up to 1, not 75"),
        (LEAST + "threshold: 0\n", "threshold: takes a number above 0, not 0"),
        (LEAST.replace("[runs/a]", "[runs/a, old/a]"), "sources: two are called 'a'"),
        ("sources: [", "not readable as YAML"),
    ],
)
def test_a_wrong_plan_is_one_clear_error(tmp_path: Path, wrong: str, message: str) -> None:
    with pytest.raises(SimrealError, match=message) as caught:
        read(tmp_path, wrong)
    assert "study.yaml" in str(caught.value)


def test_a_target_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SimrealError, match="blurr"):
        read(tmp_path, LEAST.replace("blur", "blurr")).worlds(ENV)


def test_a_key_given_twice_is_no_silent_choice(tmp_path: Path) -> None:
    with pytest.raises(SimrealError, match="the key 'targets' is given twice"):
        read(tmp_path, LEAST + "targets: [glare]\n")
