import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from setuptools import find_packages

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
