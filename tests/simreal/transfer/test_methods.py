"""What the docstring of every method tells: its formula, shapes, its paper, and the shift that it is for."""

import inspect
import re

import pytest

from simreal.transfer import METHODS


@pytest.mark.parametrize("name", METHODS)
def test_a_docstring_tells_what_a_method_does_and_what_for(name: str) -> None:
    found = inspect.getdoc(METHODS[name].run) or ""
    lines, text = found.splitlines(), " ".join(found.split())
    assert len(lines) <= 40
    assert re.search(r"\.\. math:: \S", text), "no formula"
    assert re.search(r"\([A-Zn],( \w+(, \w+)*)?\)", text), "no shapes"
    assert METHODS[name].paper.lower() in text.lower(), "not the paper that `simreal methods` prints"
    assert "Exists for" in text
