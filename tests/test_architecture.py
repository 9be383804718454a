import ast
from pathlib import Path

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
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            imported.add(node.module.split(".")[0])
    return (imported & HOUSE) - ALLOWED[package]


def test_imports_run_one_way() -> None:
    files = [(package, path) for package in ALLOWED for path in (ROOT / package).rglob("*.py")]
    assert len(files) > 40
    wrong = {str(path): found for package, path in files if (found := violations(package, path.read_text()))}
    assert not wrong


def test_a_planted_violation_is_found() -> None:
    assert violations("envs", "from policies import Policy") == {"policies"}
    assert violations("policies", "import simreal.run") == {"simreal"}
