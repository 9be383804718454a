"""Every command through the command line, on the smallest run there is."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from policies import PolicyBundle
from simreal.cli import main
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.targets import parse_target
from simreal.transfer import METHODS

SCHEMA = json.loads(files("simreal").joinpath("schemas/result.json").read_text())


def result(folder: Path) -> dict:
    found = json.loads((folder / "result.json").read_text())
    jsonschema.validate(found, SCHEMA)
    return found


def test_run(smoke_run: Path) -> None:
    found = result(smoke_run)
    assert {row["policy"] for row in found["evaluation"]} == {"zero-shot", "cotrain"}
    assert len({row["domain"] for row in found["evaluation"]}) == 8
    assert found["check"]["comparisons"][0]["primary"]
    assert found["check"]["comparisons"][0]["verdict"] == "inconclusive"  # two seeds
    verdict = PolicyBundle.load(smoke_run / "adapted").manifest.extra["verdict"]
    assert verdict == found["check"]["comparisons"][0]
    spending = found["check"]["spending"]
    assert spending["source"]["steps"] == 16_384 + 600
    assert spending["source"]["seconds"] == pytest.approx(found["pretrain_seconds"], abs=0.001)
    assert {name for name, spent in spending["spent"].items() if spent["steps"] == 0} == {"zero-shot"}
    assert all((spent["seconds"] == 0) == (spent["steps"] == 0) for spent in spending["spent"].values())
    assert set(spending["saved"]) == {"zero-shot", "cotrain"}
    page = (smoke_run / "report.html").read_text()
    assert "What it cost, and what that saved" in page
    assert set(found["settings"]["methods"]) == {"cotrain"}
    assert "cotrain its learning rate (" in page
    trials = {name: spent["trials"] for name, spent in spending["spent"].items()}
    assert trials == {name: 6 * (name != "zero-shot") for name in trials}
    assert "data:image/webp" in page
    assert "http://" not in page
    assert "https://" not in page


def test_the_student_never_sees_privileged_state(smoke_run: Path) -> None:
    manifest = PolicyBundle.load(smoke_run / "policy").manifest
    assert {spec.name for spec in manifest.observations} == {"image", "proprio"}


def test_collect_adapt_evaluate(smoke_run: Path, tmp_path: Path) -> None:
    quiet = ["--quiet", "--out"]
    expert = str(smoke_run / "teacher")
    demos, out = tmp_path / "demos", tmp_path / "adapted"
    # The smallest teacher is no expert: an easy target, and the error if even that is too hard.
    code = main(["collect", "--policy", expert, "--target", "nominal", "--demos", "1", *quiet, str(demos)])
    if code != 0:
        pytest.skip("the smoke teacher reached nothing")
    before = (smoke_run / "policy" / "policy.safetensors").read_bytes()
    adapt = ["adapt", "--policy", str(smoke_run / "policy"), "--method", "head-only", "--preset", "smoke"]
    assert main([*adapt, "--demos", str(demos / "dataset"), *quiet, str(out)]) == 0
    assert (smoke_run / "policy" / "policy.safetensors").read_bytes() == before
    source, adapted = PolicyBundle.load(smoke_run / "policy"), PolicyBundle.load(out / "policy")
    assert adapted.manifest.parent == source.weights_sha256
    for name, value in source.policy.to_arrays().items():
        same = np.array_equal(value, adapted.policy.to_arrays()[name])
        assert same != name.startswith("head."), name
    recorded = ["--target", "nominal", "--teacher", expert, "--demos", "2", *quiet, str(tmp_path / "r")]
    assert main([*adapt, *recorded]) == 0
    assert PolicyBundle.load(tmp_path / "r" / "policy").manifest.extra["used"]["demonstrations"] == 2
    policy = ["--policy", str(out / "policy"), "--target", "nominal", "blur@2", "--episodes", "3"]
    assert main(["evaluate", *policy, *quiet, str(tmp_path / "e")]) == 0
    rows = result(tmp_path / "e")["evaluation"]
    assert [(row["domain"], row["severity"]) for row in rows] == [("nominal", 0), ("blur", 2)]


def test_unlabelled_frames(smoke_run: Path, tmp_path: Path) -> None:
    quiet, bundle = ["--quiet", "--out"], ["--policy", str(smoke_run / "policy")]
    roam = ["collect", *bundle, "--target", "low-light@5", "--frames", "90", "--noise", "0.1"]
    assert main([*roam, *quiet, str(tmp_path / "c")]) == 0
    dataset = LeRobotDataset(tmp_path / "c" / "dataset")
    assert sum(dataset.lengths) == 90
    assert not all(episode.success for episode in dataset)  # nobody sorts out failures
    frames = ["--frames", str(dataset.path), "--source", str(smoke_run), "--preset", "smoke"]
    for method in ("mmd", "inverse-dynamics"):
        out = tmp_path / method
        assert main(["adapt", *bundle, *frames, "--method", method, *quiet, str(out)]) == 0
        manifest = PolicyBundle.load(out / "policy").manifest
        assert manifest.extra["used"] == {"unlabelled_frames": 90}
    assert main(["adapt", *bundle, "--method", "mmd", *quiet, str(tmp_path / "n")]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--target", "wrokshop"], "did you mean 'workshop'"),
        (["run", "--method", "cotrian"], "did you mean 'cotrain'"),
        (["evaluate", "--policy", "nowhere"], "no such bundle folder"),
        (["adapt", "--policy", "nowhere", "--method", "finetun"], "did you mean 'finetune'"),
        (["report"], "no finished run"),
        (["run", "--seeds", "-1"], "--seeds -1: must be at least 1"),
        (["evaluate", "--episodes", "0"], "--episodes 0: must be at least 1"),
        (["check", "--demos", "0"], "--demos 0: must be at least 1"),
        (["adapt", "--method", "cotrain"], "needs source data: give --source RUN"),
        (
            ["adapt", "--method", "finetune", "--steps", "9"],
            "is for methods that need rewarded steps",
        ),
        (
            ["adapt", "--method", "ppo", "--frames", "9"],
            "is for methods that need unlabelled frames",
        ),
        (["adapt", "--method", "finetune"], "--policy runs/run/policy: no such bundle folder"),
        (["run", "--method", "coral"], "needs unlabelled frames, and `run` records demonstrations alone"),
        (["run", "--method", "ppo"], "simreal adapt --method ppo --steps N"),
        (["run", "--target", "nosuch:make"], "No module named 'nosuch'"),
        (["run", "--seed", "2024"], "--seed 2024: must be from 0 to 1047"),
        (["run", "--method", "finetune", "cotrain#2"], "is compared with its first copy: add cotrain"),
        (["run", "--method", "cotrain", "cotrain"], "--method cotrain is named twice"),
        (["check", "--frames", "-5"], "--frames -5: must be at least 0"),
        (["adapt", "--method", "finetune", "--demos", "-3"], "--demos -3: must be at least 1, or a dataset"),
    ],
)
def test_errors_are_one_line(arguments: list[str], words: str, tmp_path: Path, capsys) -> None:
    assert main([*arguments, "--out", str(tmp_path / "x")]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in message
    assert not (tmp_path / "x").exists()


def test_what_would_be_in_the_way_is_told_before_anything_is_done(tmp_path: Path, capsys) -> None:
    (tmp_path / "a" / "policy").mkdir(parents=True)
    file = tmp_path / "file"
    file.touch()
    for arguments, words in (
        (["adapt", "--method", "finetune", "--out", str(tmp_path / "a")], "policy exists already"),
        (["check", "--out", str(file)], "is a file; results are a folder of files"),
    ):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line


def test_a_check_opens_its_source_first(smoke_run: Path, tmp_path: Path, capsys) -> None:
    bundles = ["--policy", str(smoke_run / "policy"), "--teacher", str(smoke_run / "teacher")]
    assert main(["check", *bundles, "--source", str(tmp_path), "--out", str(tmp_path / "k")]) == 2
    printed = capsys.readouterr().err
    assert "no usable source data" in printed
    assert "trainings" not in printed


def test_severities_are_of_every_target_that_names_none(smoke_run: Path, tmp_path: Path, capsys) -> None:
    policy = ["evaluate", "--policy", str(smoke_run / "policy"), "--episodes", "1", "--quiet", "--out"]
    names = ["--target", "blur", "glare@1", "nominal"]
    assert main([*policy, str(tmp_path / "e"), *names, "--severity", "2", "5"]) == 0
    rows = result(tmp_path / "e")["evaluation"]
    found = [(row["domain"], row["severity"]) for row in rows]
    assert found == [("blur", 2), ("blur", 5), ("glare", 1), ("nominal", 0)]
    assert main([*policy, str(tmp_path / "f"), "--severity", "9"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_report_needs_no_domain_file(smoke_run: Path, tmp_path: Path, capsys) -> None:
    """What was run in is in the result, and its file may be anywhere, or gone."""
    run, domain = tmp_path / "run", tmp_path / "my_lab.yaml"
    shutil.copytree(smoke_run, run, ignore=shutil.ignore_patterns("source", "logs", "*.webp", "*.html"))
    domain.write_text("name: my-lab\nextends: nominal\nappearance: {gamma: 0.5}\n")
    found = json.loads((run / "result.json").read_text())
    target = parse_target(str(domain), "simreal/PandaReach-v0")
    (run / "result.json").write_text(json.dumps(found | {"target": target.label, "world": target.to_plain()}))
    domain.unlink()
    assert main(["report", "--quiet", "--out", str(run)]) == 0
    assert "my-lab" in (run / "report.html").read_text()
    assert (run / "target.png").read_bytes() != (smoke_run / "target.png").read_bytes()
    (run / "result.json").write_text("{")
    assert main(["report", "--out", str(run)]) == 2
    assert "truncated or damaged" in capsys.readouterr().err


def test_foreign_worlds_have_no_expert(smoke_run: Path, tmp_path: Path, capsys) -> None:
    expert = ["--policy", str(smoke_run / "teacher"), "--target", "Pendulum-v1"]
    assert main(["collect", *expert, "--out", str(tmp_path / "x")]) == 2
    assert "only simreal's worlds" in capsys.readouterr().err


def test_methods_as_json(capsys) -> None:
    assert main(["methods", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["id"] for row in rows} >= {"head-only", "finetune", "cotrain"}
    assert all(set(row) == {"id", "family", "setting", "needs", "adapts", "paper"} for row in rows)


def test_methods_as_a_table(capsys) -> None:
    assert main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith("  ")]
    assert [row.split()[0] for row in rows] == list(METHODS)
    assert len(set(lines) - set(rows)) == len(lines) - len(rows)  # every family once
    settings = {each.setting for each in METHODS.values()}
    assert {row[20:35].strip() for row in rows} == settings  # under one another


def test_a_method_says_what_it_lacks(smoke_run: Path) -> None:
    from simreal.errors import SimrealError
    from simreal.transfer import Problem

    policy = PolicyBundle.load(smoke_run / "policy").policy
    with pytest.raises(SimrealError, match="needs demonstrations and source data"):
        METHODS["cotrain"].adapt(Problem(policy, 0))


@pytest.mark.parametrize(
    ("name", "need"),
    [(each.id, need) for each in METHODS.values() for need in each.needs if need != "demonstrations"],
)
def test_a_method_without_a_need_is_refused_before_anything_is_read(
    name: str, need: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {
        "source data": ["--source", "run"],
        "unlabelled frames": ["--frames", "5"],
        "rewarded steps": ["--steps", "5"],
    }
    given = [text for each in METHODS[name].needs if each != need for text in options.get(each, [])]
    assert main(["adapt", "--method", name, *given, "--policy", "none", "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"method {name!r} needs {need}: give {options[need][0]}" in line
    assert not list(tmp_path.iterdir())


def test_an_interrupted_pretraining_resumes(taught: Path) -> None:
    arguments = ["pretrain", "--preset", "smoke", "--quiet", "--out", str(taught)]
    assert main([*arguments, "--resume"]) == 0
    first = PolicyBundle.load(taught / "policy").policy.to_arrays()
    assert main(arguments) == 2  # nothing is overwritten unasked
    assert main([*arguments, "--resume"]) == 0
    second = PolicyBundle.load(taught / "policy").policy.to_arrays()
    spent = json.loads((taught / "seconds.json").read_text())["seconds"]
    assert spent > result(taught)["seconds"]  # the interrupted part counts too
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("name", "words"), [("coral", "give --frames N"), ("ppo", "simreal adapt --method ppo --steps N")]
)
def test_a_check_refuses_what_it_cannot_give(
    smoke_run: Path, tmp_path: Path, capsys, name: str, words: str
) -> None:
    """At once: not after the baseline was tuned."""
    bundles = ["--policy", str(smoke_run / "policy"), "--teacher", str(smoke_run / "teacher")]
    how = ["--source", str(smoke_run), "--preset", "smoke", "--method", name, "--out", str(tmp_path / "k")]
    assert main(["check", *bundles, *how]) == 2
    printed = capsys.readouterr().err
    assert words in printed.strip().splitlines()[-1]
    assert "trainings" not in printed


def test_doctor(tmp_path: Path) -> None:
    assert main(["doctor", "--quiet", "--out", str(tmp_path)]) == 0
    found = result(tmp_path)["benchmark"]
    assert found["torch"].startswith("2.13.0")
    assert found["camera_steps_per_s"] > 20


def test_check(smoke_run: Path, tmp_path: Path) -> None:
    bundles = ["--policy", str(smoke_run / "policy"), "--teacher", str(smoke_run / "teacher")]
    how = ["--source", str(smoke_run), "--preset", "smoke", "--target", "blur@2"]
    names = ["--method", "cotrain", "head-only", "--sequential"]
    assert main(["check", *bundles, *how, *names, "--quiet", "--out", str(tmp_path)]) == 0
    found = result(tmp_path)["check"]
    assert (found["domain"], found["severity"], found["seeds"]) == ("blur", 2, 2)
    assert {"zero-shot", "target-only", "cotrain", "head-only"} <= set(found["candidates"])
    assert [c["primary"] for c in found["comparisons"]].count(True) == 1
    assert (found["sequential"]["looks"], found["sequential"]["seeds_saved"]) == ([2], 0)
