"""Packages that only some need: imported when they are, and missed in one line."""

import importlib
from typing import Any

from simreal.errors import SimrealError


def extra(module: str, what: str, name: str) -> Any:
    """Return a module.

    Args:
        module: Its name.
        what: That needs it.
        name: The extra of this package that brings it.

    Raises:
        SimrealError: saying how to get it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SimrealError(
            f"{what} needs the extra {name}: pip install 'simreal[{name}]' ({error})"
        ) from None
