"""Errors of the environments."""

import difflib
from collections.abc import Iterable


class DomainError(ValueError):
    """A domain, or a value in a domain file, that cannot be used; the message says what would be right."""


def suggestion(name: str, valid: Iterable[str]) -> str:
    """Name the nearest valid name, or list all of them when none is near."""
    names = sorted(valid)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(names)}"
