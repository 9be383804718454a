"""What the README shows is run, at the smallest size."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

import envs
from simreal.bundles import load_bundle
from simreal.cli import main
from simreal.data.importing.rules import Rules
from simreal.study.plan import StudyPlan

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = {
    "pretrain": ["--preset", "smoke", "--resume"],
    "evaluate": ["--target", "nominal", "--episodes", "2"],
    "collect": ["--target", "blur@1", "--demos", "2"],
    "adapt": ["--preset", "smoke"],
    "deploy": ["--pacing", "lock-step", "--episodes", "1"],
    "check": ["--preset", "smoke", "--target", "blur@1"],
    "select": ["--preset", "smoke"],
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def small_study() -> str:
    """Return the README's study, cut down."""
    (block,) = blocks("yaml study")
    sizes = {"episodes": 1, "updates": 2, "tuning_updates": 2, "seeds": 1}
    budgets = [{"demos": 1, "frames": 10}]
    cut = {"targets": ["blur"], "severities": [1], "budgets": budgets}
    return yaml.safe_dump(yaml.safe_load(block) | sizes | cut)


def commands() -> list[list[str]]:
    lines = [line.split("  #")[0] for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("simreal ") and "--help" not in line]


def test_commands(smoke_run: Path, taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(taught, "runs/p")
    shutil.copytree(smoke_run, "runs/demo")
    Path("study.yaml").write_text(small_study())
    assert len(commands()) >= 5
    for arguments in commands():
        code = main([*arguments, *SMALL.get(arguments[0], []), "--quiet"])
        assert code == 0, arguments


def test_python_blocks() -> None:
    assert blocks("python")
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})


def test_domain_file(tmp_path: Path) -> None:
    for block in blocks("yaml"):
        path = tmp_path / "my_lab.yaml"
        path.write_text(block)
        assert envs.load_domain(str(path)).name == "my-lab"


def test_mapping_file(smoke_run: Path, tmp_path: Path) -> None:
    (block,) = blocks("yaml mapping")
    path = tmp_path / "map.yaml"
    path.write_text(block)
    rules = Rules.read(path, load_bundle(smoke_run / "policy").manifest, {})
    assert set(rules.mapping.sources) == {"/joint_states", "/action"}


def test_study_file(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(blocks("yaml study")[0])
    assert StudyPlan.read(path).seeds == 10


def test_what_it_links_to_exists() -> None:
    for link in re.findall(r"\]\((docs/[^)]+)\)", README):
        path, _, anchor = link.partition("#")
        assert (ROOT / path).is_file(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, link
