import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "envs": {"envs"},
    "policies": {"policies"},
    "simreal": {"simreal", "envs", "policies"},
    "scripts": {"simreal", "envs", "policies"},
}
HOUSE = {*ALLOWED, "tests"}


def violations(package: str, source: str) -> set[str]:
    imported = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                imported |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module), level=0):
                imported.add(module)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                imported.add(module)
    return ({name.split(".")[0] for name in imported} & HOUSE) - ALLOWED[package]


def wrong_imports(root: Path) -> dict[str, set[str]]:
    files = [(package, path) for package in ALLOWED for path in (root / package).rglob("*.py")]
    return {
        str(path.relative_to(root)): found
        for package, path in files
        if (found := violations(package, path.read_text()))
    }


def test_imports_run_one_way() -> None:
    assert all(list((ROOT / package).rglob("*.py")) for package in ALLOWED)
    assert wrong_imports(ROOT) == {}


@pytest.mark.parametrize(
    ("package", "source", "found"),
    [
        ("envs", "from policies import Policy", {"policies"}),
        ("envs", "import simreal.run", {"simreal"}),
        ("policies", "def late():\n    import envs.domain as domain", {"envs"}),
        ("policies", "from simreal.errors import SimrealError", {"simreal"}),
        ("simreal", "from scripts.train_policy import main", {"scripts"}),
        ("simreal", "import importlib\nimportlib.import_module('tests.conftest')", {"tests"}),
        ("simreal", "import envs, policies, simreal.run", set()),
        ("envs", "from .policies import x\nimport numpy", set()),
    ],
)
def test_a_planted_import_is_judged(tmp_path: Path, package: str, source: str, found: set[str]) -> None:
    planted = tmp_path / package / "deep" / "planted.py"
    planted.parent.mkdir(parents=True)
    planted.write_text(source)
    assert wrong_imports(tmp_path) == ({f"{package}/deep/planted.py": found} if found else {})
