"""Read small YAML files of settings, with errors that name file, key and value."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from envs.domain_file import UniqueKeyLoader
from simreal.errors import SimrealError, nearest


def load_yaml(path: Path, what: str) -> Any:
    """Read a YAML file by the safe loader; a key given twice is an error.

    Raises:
        SimrealError: if it is missing or no YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), UniqueKeyLoader)
    except FileNotFoundError:
        raise SimrealError(f"no {what} file {str(path)!r}") from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SimrealError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None


def mapping(path: Path, raw: Any, where: str, valid: Iterable[str]) -> dict[str, Any]:
    """Return `raw` as a dictionary with no other keys than `valid` ones.

    Raises:
        SimrealError: naming the key and the nearest valid one.
    """
    prefix, names = f"{path}: {where}: " if where else f"{path}: ", tuple(valid)
    if not isinstance(raw, dict):
        raise SimrealError(f"{prefix}takes a mapping, not {raw!r}")
    for key in raw:
        if key not in names:
            raise SimrealError(f"{prefix}unknown key {key!r}; {nearest(str(key), names)}")
    return raw


def number(path: Path, raw: Any, where: str, above: float = -math.inf) -> float:
    """Return `raw` as a finite number above `above`.

    Raises:
        SimrealError: naming the key and the value.
    """
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        raise SimrealError(f"{path}: {where}: takes a number, not {raw!r}")
    if raw <= above:
        raise SimrealError(f"{path}: {where}: takes a number above {above:g}, not {raw!r}")
    return float(raw)


def numbers(path: Path, raw: Any, where: str, count: int) -> tuple[float, ...]:
    """Return `raw` as a list of `count` finite numbers.

    Raises:
        SimrealError: naming the key and the value.
    """
    if not isinstance(raw, list) or len(raw) != count:
        raise SimrealError(f"{path}: {where}: takes {count} numbers, not {raw!r}")
    return tuple(number(path, item, where) for item in raw)
