"""What a program leaves behind when it ends: a line for the user, and a code."""

from typing import Any

import pytest

from envs import DomainError
from policies import BundleError
from simreal.errors import SimrealError
from simreal.exits import exit_code


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (None, 0, ""),
        (SimrealError("--seeds 1: must be at least 2"), 2, "tool: --seeds 1: must be at least 2\n"),
        (DomainError("my.yaml: name: missing"), 2, "tool: my.yaml: name: missing\n"),
        (BundleError("runs/a: no such bundle folder"), 2, "tool: runs/a: no such bundle folder\n"),
        (KeyboardInterrupt(), 130, "tool: interrupted\n"),
    ],
)
def test_a_line_and_a_code(raised: BaseException | None, code: int, line: str, capsys: Any) -> None:
    def work() -> None:
        if raised is not None:
            raise raised

    assert exit_code("tool", work) == code
    assert capsys.readouterr().err == line


def test_an_error_of_the_program_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_code("tool", lambda: print(1 // 0))
