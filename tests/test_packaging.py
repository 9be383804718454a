import re
import tomllib
from pathlib import Path

from setuptools import find_packages

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_packages_are_exactly_three() -> None:
    include = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    found = {name.split(".")[0] for name in find_packages(str(ROOT), include=include)}
    assert found == {"simreal", "envs", "policies"}


def test_data_files_exist() -> None:
    for package, patterns in PROJECT["tool"]["setuptools"]["package-data"].items():
        for pattern in patterns:
            assert list((ROOT / package).glob(pattern)), f"{package}: {pattern}"


def test_every_dependency_is_pinned() -> None:
    pins = dict(
        line.lower().split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    project = PROJECT["project"]
    wanted = project["dependencies"] + [
        name for extra in project["optional-dependencies"].values() for name in extra
    ]
    for requirement in wanted:
        name = re.split(r"[<>=]", requirement)[0].lower()
        assert name in pins or name.replace("-", "_") in pins, name
    assert pins["torch"] == "2.13.0"
