"""Scored rollouts: from the plan over the filled-in sheet to the verdict."""

import csv
import json
from collections import Counter
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import Policy
from simreal.bundles import describe
from simreal.check import binary, step
from simreal.check.outcomes import Outcomes, Rollout, read_outcomes
from simreal.check.rollouts import cells, compare_outcomes, interleaved, paired, primary_pair
from simreal.check.rollouts_report import report, sentence
from simreal.check.trial_sheet import plan_trials, read_conditions
from simreal.cli import main
from simreal.errors import SimrealError
from simreal.pretrain.architecture import student_config

SCHEMA = json.loads(files("simreal").joinpath("schemas/result.json").read_text())
PAIR = ("adapted", "zero-shot")


def result(folder: Path) -> dict:
    found = json.loads((folder / "result.json").read_text())
    jsonschema.validate(found, SCHEMA)
    return found


def fill(sheet: Path, key: Path, rates: dict[str, float], rows: int | None = None) -> None:
    """Do what a person would: run the rows from the top, and write down what happened."""
    names, rng = json.loads(key.read_text()), np.random.default_rng(0)
    with sheet.open(newline="") as file:
        found = list(csv.DictReader(file))
    for row in found[:rows]:
        row["outcome"] = "success" if rng.random() < rates[names[row["label"]]] else "failure"
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, found[0])
        writer.writeheader()
        writer.writerows(found)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "outcomes.csv"
    path.write_text(text)
    return path


def test_a_plan_has_each_policy_once_in_each_block() -> None:
    sheet = plan_trials(20, ["a", "b", "c"], ["left", "right", "far"], seed=1)
    blocks: dict[str, list[dict]] = {}
    for row in sheet.rows:
        blocks.setdefault(row["block"], []).append(row)
    assert len(blocks) == 20
    for rows in blocks.values():
        assert sorted(row["label"] for row in rows) == ["A", "B", "C"]
        assert len({(row["condition"], row["seed"]) for row in rows}) == 1
    assert [int(row["rollout"]) for row in sheet.rows] == list(range(1, 61))
    assert set(Counter(row["condition"] for row in sheet.rows).values()) <= {18, 21}
    firsts = Counter(rows[0]["label"] for rows in blocks.values())
    assert len(firsts) == 3  # nobody is always first
    assert sheet == plan_trials(20, ["a", "b", "c"], ["left", "right", "far"], seed=1)
    keys = {tuple(plan_trials(1, ["a", "b"], ["left"], seed).key.items()) for seed in range(10)}
    assert len(keys) == 2  # the order of naming does not tell the label


def test_conditions(tmp_path: Path) -> None:
    path = tmp_path / "conditions.csv"
    path.write_text("place,condition\n1,cube left\n2,cube right\n")
    assert read_conditions([str(path)]) == ["cube left", "cube right"]
    path.write_text("cube left\ncube right\n")
    assert read_conditions([str(path)]) == ["cube left", "cube right"]
    assert read_conditions(["near", "far"]) == ["near", "far"]
    with pytest.raises(SimrealError, match="no file of conditions"):
        read_conditions([str(tmp_path / "none.csv")])


def day(policies: list[str], rng: np.random.Generator) -> list[Rollout]:
    """Run policies of one worth in an order, on a robot that gets worse from morning to evening."""
    rates = np.linspace(1.0, 0.0, len(policies))
    lots = rng.random(len(policies)) < rates
    return [Rollout(name, "", bool(lot), False) for name, lot in zip(policies, lots, strict=True)]


def false_verdicts(orders: list[list[str]]) -> float:
    rng = np.random.default_rng(0)
    counts = []
    for order in orders:
        outcomes = Outcomes(day(order, rng), sorted(PAIR), 0)
        counts.append(cells(paired(outcomes, PAIR)))
    return float((binary.p_value(np.array(counts)) <= 0.05).mean())


def test_drift_deceives_one_after_the_other_but_not_the_sheet() -> None:
    sheets = [plan_trials(25, PAIR, ["here"], seed) for seed in range(200)]
    drawn = [[sheet.key[row["label"]] for row in sheet.rows] for sheet in sheets]
    assert false_verdicts(drawn) <= 0.05
    apart = [[PAIR[0]] * 25 + [PAIR[1]] * 25] * 200
    assert false_verdicts(apart) > 0.5
    rng = np.random.default_rng(0)
    assert not interleaved(Outcomes(day(apart[0], rng), sorted(PAIR), 0), PAIR)
    assert interleaved(Outcomes(day(drawn[0], rng), sorted(PAIR), 0), PAIR)


def test_from_the_plan_to_the_verdict(tmp_path: Path, capsys) -> None:
    out = tmp_path / "trial"
    plan = ["check", "--plan", "20", "--policies", "zero-shot", "adapted", "--conditions", "left", "right"]
    plan += ["--out", str(out)]
    assert main(plan) == 0
    assert result(out)["plan"]["blocks"] == 20
    assert "adapted" not in (out / "trial.csv").read_text()
    assert main(plan) == 2  # a sheet that may be filled in is not replaced
    sheet, key = out / "trial.csv", out / "key.json"
    judge = [
        "check",
        "--outcomes",
        str(sheet),
        "--key",
        str(key),
        "--out",
        str(tmp_path / "v"),
        "--overwrite",
    ]
    assert main(judge) == 0  # a look before the first rollout
    empty = result(tmp_path / "v")["outcomes"]
    assert (empty["unfilled"], empty["comparisons"][0]["verdict"]) == (40, "inconclusive")
    assert (empty["declared"], empty["method"][:4]) == (20, "STEP")  # the sheet's size
    fill(sheet, key, {"zero-shot": 0.95, "adapted": 0.2}, rows=31)
    assert main([*judge, "--seed", "3"]) == 0
    found = result(tmp_path / "v")["outcomes"]
    (comparison,) = found["comparisons"]
    assert (comparison["candidate"], comparison["baseline"]) == PAIR
    assert comparison["verdict"] == "negative"
    assert (comparison["blocks"], comparison["unpaired"], found["unfilled"]) == (15, 1, 9)
    assert comparison["settled_after"] < 15
    assert main([*judge, "--rollouts", "0"]) == 0
    without = result(tmp_path / "v")["outcomes"]
    assert (without["declared"], without["comparisons"][0]["settled_after"]) == (None, None)
    assert main([*judge, "--rollouts", "14"]) == 2
    printed = capsys.readouterr().err
    assert "15 rollouts of each where at most 14 were declared" in printed
    assert "9 rows have no outcome yet" in printed
    assert "adapted against zero-shot" in printed


def test_who_knows_the_names_does_not_know_the_labels(tmp_path: Path) -> None:
    plan = ["check", "--plan", "1", "--policies", "a", "b", "--conditions", "left", "--out"]
    keys = []
    for number in range(20):
        out = tmp_path / str(number)
        assert main([*plan, str(out), "--quiet"]) == 0
        keys.append((out / "key.json").read_text())
    assert len(set(keys)) == 2  # alike twenty times once in half a million
    for out in (tmp_path / "x", tmp_path / "y"):
        assert main([*plan, str(out), "--quiet", "--seed", "5"]) == 0
    assert (tmp_path / "x" / "trial.csv").read_text() == (tmp_path / "y" / "trial.csv").read_text()


def test_scores_aborted_rollouts_and_parquet(tmp_path: Path) -> None:
    columns = {"policy": ["a", "b", "a", "b"], "score": [0.5, 0.4, 1.0, None]}
    path = tmp_path / "scores.parquet"
    pq.write_table(pa.table(columns), path)
    found = read_outcomes(path, threshold=0.5)
    assert [rollout.success for rollout in found.rollouts] == [True, False, True]
    assert found.unfilled == 1
    pq.write_table(pa.table({"policy": ["a", "b"], "outcome": [True, False]}), path)
    assert [rollout.success for rollout in read_outcomes(path).rollouts] == [True, False]
    semicolons = written(tmp_path, "\ufeffPolicy;Outcome\na;Aborted\nb;1\n\n")
    assert [(r.success, r.aborted) for r in read_outcomes(semicolons).rollouts] == [
        (False, True),
        (True, False),
    ]
    rewards = written(tmp_path, "policy,outcome,score,reward\na,,,-3.2\nb,,,-8\na,,,\nb,aborted,,-1\n")
    assert [r.success for r in read_outcomes(rewards, threshold=-5.0).rollouts] == [True, False, False]
    both = written(tmp_path, "policy,outcome,score\na,aborted,\nb,,0.7\n")
    assert [r.success for r in read_outcomes(both, threshold=0.6).rollouts] == [False, True]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("policy,outcome\na,sucess\n", {}, "row 2: outcome 'sucess': takes success, failure, aborted"),
        ("policy,score\na,1.5\n", {"threshold": 0.5}, "row 2: score '1.5': takes a number from 0 to 1"),
        (
            "policy,score\na,0.5\n",
            {},
            "has scores and no outcomes; say what counts as success with --threshold",
        ),
        ("policy,reward\na,0.5\n", {}, "has rewards and no outcomes; say what counts"),
        (
            "policy,reward\na,high\n",
            {"threshold": -3.0},
            "row 2: reward 'high': takes the sum of the rewards",
        ),
        ("policy,reward\na,1\n", {"threshold": float("nan")}, "--threshold nan: must be a finite number"),
        ("policy,outcome\na,1\n", {"threshold": 0.5}, "no column 'score'"),
        ("policy,score\na,0.5\n", {"threshold": 2.0}, "--threshold 2: must be between 0 and 1"),
        ("label,outcome\nA,1\n", {}, "no column 'policy'; give --key"),
        ("policy,result\na,1\n", {}, "no column 'outcome'; has policy, result"),
        ("policy,outcome\n,1\n", {}, "row 2: policy '': takes the name"),
        ("block,policy,outcome\n1,a,1\n1,a,0\n", {}, "row 3: block '1': row 2 has this policy"),
        ("policy,outcome\na,1,what, a day\n", {}, "row 2: 4 cells where the header has 2"),
        ("policy,outcome\n", {}, "no rows"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, text: str, options: dict, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SimrealError) as caught:
        read_outcomes(path, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_keys_are_named(tmp_path: Path) -> None:
    path, key = written(tmp_path, "label,outcome\nA,1\nC,0\n"), tmp_path / "key.json"
    with pytest.raises(SimrealError, match="no key file"):
        read_outcomes(path, key)
    key.write_text('{"A": "adapted", "B": "zero-shot"}')
    with pytest.raises(SimrealError, match="row 3: label 'C': the key has no such label"):
        read_outcomes(path, key)
    key.write_text('{"A": "adapted", "B": "adapted"}')
    with pytest.raises(SimrealError, match="each label to another policy"):
        read_outcomes(path, key)


def test_which_pair_is_primary() -> None:
    assert primary_pair(["adapted", "zero-shot"], None, None) == PAIR
    assert primary_pair(["target-only", "zero-shot"], None, None) == ("zero-shot", "target-only")
    assert primary_pair(["a", "b"], "a", None) == primary_pair(["a", "b"], None, "b") == ("a", "b")
    wrong: list[tuple] = [(["a", "b"], None, None), (["a", "b", "zero-shot"], "a", None), (["a"], "a", None)]
    for names, candidate, baseline in [*wrong, (["a", "b"], "a", "a"), (["a", "b"], "c", "a")]:
        with pytest.raises(SimrealError):
            primary_pair(names, candidate, baseline)


def test_more_policies_are_corrected() -> None:
    rollouts = [
        Rollout(name, str(block), success, False)
        for block in range(5)
        for name, success in (("base", False), ("first", True), ("second", True), ("third", True))
    ]
    outcomes = Outcomes(rollouts, ["base", "first", "second", "third"], 0)
    primary, second, third = compare_outcomes(outcomes, ("first", "base"), 0.05, 0)
    assert (primary.primary, second.primary) == (True, False)
    assert primary.verdict == "positive"
    assert second.p_value == third.p_value == pytest.approx(2 * primary.p_value)
    assert second.ci_low < primary.ci_low
    assert "Barnard" in sentence(primary)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--plan", "5"], "--policies: 0 named"),
        (["--plan", "5", "--policies", "a", "b", "--policy", "none"], "no such bundle folder; a plan draws"),
        (["--rollouts", "5"], "--rollouts is an option of `check --outcomes`"),
        (["--outcomes", "x.csv", "--rollouts", "900"], "--rollouts 900: must be from 0 to 200"),
        (["--plan", "0", "--policies", "a", "b"], "--plan 0: must be at least 1"),
        (["--plan", "5", "--policies", "a", "a"], "'a' is empty or named twice"),
        (["--plan", "5", "--outcomes", "x.csv"], "give one of them"),
        (["--policies", "a", "b"], "--policies is an option of `check --plan`"),
        (["--margin", "0.1"], "--margin is an option of `check --outcomes`"),
        (["--outcomes", "nowhere.csv"], "no file of outcomes 'nowhere.csv'"),
    ],
)
def test_wrong_options_are_one_line(arguments: list[str], words: str, tmp_path: Path, capsys) -> None:
    assert main(["check", *arguments, "--out", str(tmp_path / "x")]) == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "x").exists()


def test_goals_are_those_of_the_task(tmp_path: Path, world) -> None:
    policy = Policy(student_config(world)).eval()
    describe(policy, world, "simreal/PandaReach-v0", "source", 0, {}).save(tmp_path / "policy")
    plan = ["check", "--plan", "4", "--policies", *PAIR, "--policy", str(tmp_path / "policy")]
    assert main([*plan, "--target", "workshop", "--out", str(tmp_path / "a")]) == 0
    with (tmp_path / "a" / "trial.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = [f"goal_{axis}_m (robot base frame)" for axis in "xyz"]
    assert set(names) < set(rows[0])
    assert "condition" not in rows[0]
    goals = {row["block"]: tuple(float(row[name]) for name in names) for row in rows}
    assert len(set(goals.values())) == 4  # a block each
    assert Counter(row["block"] for row in rows) == dict.fromkeys(goals, 2)
    for row in rows:
        assert goals[row["block"]] == tuple(float(row[name]) for name in names)
        observation, _ = world.reset(seed=int(row["seed"]), options={"domain": "nominal"})
        assert observation["privileged"][:3] == pytest.approx(goals[row["block"]], abs=6e-4)
    assert not any(name in (tmp_path / "a" / "trial.csv").read_text() for name in PAIR)
    assert read_outcomes(tmp_path / "a" / "trial.csv", tmp_path / "a" / "key.json").planned == 4
    assert main([*plan, "--target", "nowhere:make", "--out", str(tmp_path / "b")]) == 2


@st.composite
def days(draw: st.DrawFn) -> list[tuple[str, str, bool]]:
    """Draw (policy, block, success) of a day in the order of running; a block may lack a rollout."""
    rows = []
    for block in range(draw(st.integers(1, 12))):
        rows += [
            (name, str(block), draw(st.booleans())) for name in draw(st.permutations(PAIR)) if draw(_KEPT)
        ]
    return rows


_KEPT = st.sampled_from([True] * 9 + [False])
_MIRROR = {"positive": {"negative"}, "negative": {"positive"}}


def outcomes_of(rows: list[tuple[str, str, bool]]) -> Outcomes:
    return Outcomes([Rollout(*row, False) for row in rows], sorted(PAIR), 0)


@settings(max_examples=6, deadline=None)
@given(rows=days(), declared=st.sampled_from([None, 12]))
def test_swapped_policies_mirror_the_verdict(rows, declared) -> None:
    (one,) = compare_outcomes(outcomes_of(rows), PAIR, 0.05, 0, declared)
    (other,) = compare_outcomes(outcomes_of(rows), PAIR[::-1], 0.05, 0, declared)
    assert other.verdict in _MIRROR.get(one.verdict, {"safe", "inconclusive", "positive", "negative"})
    assert (one.verdict in _MIRROR) == (other.verdict in _MIRROR)
    assert (other.ci_low, other.ci_high) == pytest.approx((-one.ci_high, -one.ci_low), abs=1e-6)
    assert (other.p_value, other.blocks) == (pytest.approx(one.p_value), one.blocks)
    assert other.settled_after == one.settled_after
    assert other.barnard_p == pytest.approx(one.barnard_p) if one.barnard_p else other.barnard_p is None


@settings(max_examples=30, deadline=None)
@given(rows=days(), data=st.data())
def test_the_order_within_a_block_does_not_matter(rows, data) -> None:
    """All that is said is of these pairs, and of how many rollouts of each policy there are."""
    blocks = [[row for row in rows if row[1] == block] for block in dict.fromkeys(row[1] for row in rows)]
    shuffled = outcomes_of([row for block in blocks for row in data.draw(st.permutations(block))])
    assert paired(shuffled, PAIR).tolist() == paired(outcomes_of(rows), PAIR).tolist()
    moved = outcomes_of([row for block in data.draw(st.permutations(blocks)) for row in block])
    assert cells(paired(moved, PAIR)).tolist() == cells(paired(outcomes_of(rows), PAIR)).tolist()


def test_a_fixed_number_of_rollouts_has_one_p_whatever_their_order() -> None:
    rng = np.random.default_rng(0)
    rows = [(name, str(block), bool(rng.random() < 0.5)) for block in range(4) for name in PAIR]
    found = compare_outcomes(outcomes_of(rows), PAIR, 0.05, 0)
    for _ in range(4):
        rows = [rows[2 * block + k] for block in range(4) for k in rng.permutation(2)]
        assert compare_outcomes(outcomes_of(rows), PAIR, 0.05, 0) == found
    rows = [rows[2 * block + k] for block in rng.permutation(4) for k in (0, 1)]
    assert compare_outcomes(outcomes_of(rows), PAIR, 0.05, 0) == found


@settings(max_examples=30, deadline=None)
@given(rows=days())
def test_a_verdict_by_step_stands_whatever_follows(rows) -> None:
    end = step.decide(paired(outcomes_of(rows), PAIR), 12)
    early = [step.decide(paired(outcomes_of(rows[:cut]), PAIR), 12) for cut in range(len(rows))]
    assert {decision for decision in early if decision is not None} <= {end}


def test_what_is_said_where_a_number_was_declared() -> None:
    rows = [(name, str(block), name == PAIR[0] or block % 4 == 0) for block in range(6) for name in PAIR]
    told = "\n".join(report(outcomes_of(rows), PAIR, 0.05, 0, 20)[1])
    assert "the 14 blocks that remain settle this with a probability of" in told
    rows += [(name, f"more {block}", name == PAIR[0]) for block in range(6) for name in PAIR]
    found, sentences = report(outcomes_of(rows), PAIR, 0.05, 0, 20)
    (comparison,) = found["comparisons"]
    assert comparison.verdict == "positive"
    assert f"Settled after {comparison.settled_after} of at most 20 blocks by STEP" in sentences[-1]
    alike = [(name, str(block), True) for block in range(20) for name in PAIR]
    assert "All 20 blocks that were declared are done" in report(outcomes_of(alike), PAIR, 0.05, 0, 20)[1][-1]


def test_more_policies_share_the_error_with_a_number_too() -> None:
    rollouts = [
        Rollout(name, str(block), success, False)
        for block in range(12)
        for name, success in (("base", False), ("first", True), ("second", True), ("third", block % 2 == 0))
    ]
    outcomes = Outcomes(rollouts, ["base", "first", "second", "third"], 0)
    first, second, third = compare_outcomes(outcomes, ("first", "base"), 0.05, 0, 20)
    assert first.verdict == second.verdict == "positive"
    assert first.settled_after is not None
    assert second.settled_after is not None
    assert second.settled_after >= first.settled_after
    assert third.settled_after is None or third.settled_after > second.settled_after


def test_a_sheet_that_a_spreadsheet_sorted_is_read_as_it_was_run(tmp_path: Path) -> None:
    sheet, key = plan_trials(30, ["a", "b"], ["left", "right"], seed=1).write(tmp_path)
    fill(sheet, key, {"a": 0.5, "b": 0.5})
    as_run = read_outcomes(sheet, key)
    with sheet.open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["outcome"], row["label"]), reverse=True)
    table = tmp_path / "sorted.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert read_outcomes(table, key) == as_run
    twice = table.read_text().replace(f"\n{rows[1]['rollout']},", f"\n{rows[0]['rollout']},", 1)
    table.write_text(twice)
    with pytest.raises(SimrealError, match="has this number already"):
        read_outcomes(table, key)


def test_rows_that_were_deleted_leave_the_plan_what_it_was(tmp_path: Path) -> None:
    sheet, key = plan_trials(30, ["a", "b"], ["left", "right"], seed=1).write(tmp_path)
    fill(sheet, key, {"a": 0.5, "b": 0.5}, rows=24)
    lines = sheet.read_text().splitlines()
    without = [lines[0], *lines[1:25], lines[-1]]
    sheet.write_text("\n".join(without) + "\n")
    assert read_outcomes(sheet, key).planned == 30


def test_a_word_without_a_score_is_an_outcome(tmp_path: Path) -> None:
    path = written(tmp_path, "policy,outcome,score\na,,0.9\na,failure,\na,success,\na,,\n")
    found = read_outcomes(path, threshold=0.5)
    assert [rollout.success for rollout in found.rollouts] == [True, False, True]
    assert found.unfilled == 1
