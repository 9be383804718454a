"""Errors of the environments."""

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring, _SHORT.maxother = 3, 8, 4, 60, 60


class DomainError(ValueError):
    """A domain, or a value in a domain file, that cannot be used; the message says what would be right."""


def suggestion(name: str, valid: Iterable[str]) -> str:
    """Name the nearest valid name, or list all of them when none is near."""
    names = sorted(valid)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(names)}"


def shown(value: Any) -> str:
    """Return a value as one short line for a message, however large or deep it is."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python prints no whole number of more than 4,300 digits
        return "a number of thousands of digits"
