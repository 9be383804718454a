import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from setuptools import find_packages

import envs

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
PINS_TEXT = (ROOT / "constraints.txt").read_text().splitlines()
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([0-9][A-Za-z0-9.]*)")


def requirements() -> list[Requirement]:
    extras = PROJECT["project"]["optional-dependencies"].values()
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    return [Requirement(line) for line in lines]


def pins() -> dict[str, Version]:
    found = [match for line in PINS_TEXT if (match := PIN.fullmatch(line))]
    return {canonicalize_name(match[1]): Version(match[2]) for match in found}


def test_packages_are_exactly_three() -> None:
    found = set(find_packages(str(ROOT), include=SETUPTOOLS["packages"]["find"]["include"]))
    assert {name.split(".")[0] for name in found} == {"simreal", "envs", "policies"}
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("simreal", "envs", "policies")
        for path in (ROOT / package).rglob("*.py")
    }
    assert folders == found, "a folder of code without __init__.py is left out of the wheel"


def test_package_data_is_exactly_the_data_files() -> None:
    for package, patterns in SETUPTOOLS["package-data"].items():
        matched = {pattern: set((ROOT / package).glob(pattern)) for pattern in patterns}
        assert all(matched.values()), matched
        files = {path for path in (ROOT / package).rglob("*") if path.is_file()}
        data = {path for path in files if path.suffix not in {".py", ".pyc"}}
        assert set().union(*matched.values()) == data


def test_console_script_is_callable() -> None:
    for target in PROJECT["project"]["scripts"].values():
        module, name = target.split(":")
        assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_dependency_is_pinned_within_its_bound(requirement: Requirement) -> None:
    version = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version), f"{requirement} but {version}"


def test_constraints_are_plain_pins() -> None:
    wrong = [line for line in PINS_TEXT if not line.startswith("#") and not PIN.fullmatch(line)]
    assert not wrong, "no hosts, paths or local versions"
    assert len(pins()) == len([line for line in PINS_TEXT if not line.startswith("#")])
    assert pins()["torch"] == Version("2.13.0")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the checkout gets no `build/`, and installed apart."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for package in ("simreal", "envs", "policies"):
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    run("-m", "build", "--wheel", "--no-isolation", cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    options = ("--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check")
    run("-m", "pip", "install", *options, "--target", str(folder / "target"), str(wheel), cwd=folder)
    return folder / "target"


def run(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_command_runs_from_anywhere(installed: Path, tmp_path: Path) -> None:
    methods = json.loads(run("-m", "simreal.cli", "methods", "--json", cwd=tmp_path, path=installed))
    assert {"finetune", "cotrain"} <= {method["id"] for method in methods}
    assert list(tmp_path.iterdir()) == []


def test_the_installed_copy_holds_its_data_files(installed: Path, tmp_path: Path) -> None:
    program = """
import json
from importlib.resources import files
from importlib.util import find_spec
from jinja2 import Environment
import envs
from envs.domain import DOMAIN_FOLDER
template, schema = (files("simreal") / name for name in ("report/page.html.jinja", "schemas/result.json"))
Environment().parse(template.read_text())
modules = [find_spec(name).origin for name in ("envs", "policies", "simreal.cli")]
places = [*modules, str(DOMAIN_FOLDER), str(template), str(schema)]
names = [domain.label for domain in envs.suite(3)]
print(json.dumps([places, names, json.loads(schema.read_text())["type"]]))
"""
    places, names, kind = json.loads(run("-c", program, cwd=tmp_path, path=installed))
    assert all(Path(place).is_relative_to(installed) for place in places), places
    assert kind == "object"
    assert names == [domain.label for domain in envs.suite(3)]
