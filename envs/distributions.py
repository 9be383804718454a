"""Distributions of one world parameter, as written in a domain file, checked against its bounds."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import DomainError, shown, suggestion
from envs.parameters import FIELDS

KINDS = ("uniform", "log_uniform", "normal", "choice")


@dataclass(frozen=True)
class Distribution:
    """A checked distribution of the parameter `key`; `kind` is `fixed` or one of `KINDS`."""

    key: str
    kind: str
    arguments: tuple[Any, ...]
    """fixed: (value,); uniform, log_uniform: (low, high); normal: (mean, std, low, high); choice: options."""

    def sample(self, rng: np.random.Generator, count: int) -> NDArray[Any]:
        """Draw `count` values: shape (count,) for a scalar parameter, (count, n) for a vector."""
        if self.kind == "fixed":
            value = np.asarray(self.arguments[0])
            return np.broadcast_to(value, (count, *value.shape))
        if self.kind == "choice":
            return np.asarray(self.arguments)[rng.integers(len(self.arguments), size=count)]
        low, high = (np.asarray(bound, dtype=float) for bound in self.arguments[-2:])
        size = (count, *low.shape)
        if self.kind == "uniform":
            return rng.uniform(low, high, size)
        if self.kind == "log_uniform":
            return np.exp(rng.uniform(np.log(low), np.log(high), size))
        mean, std = (np.asarray(value, dtype=float) for value in self.arguments[:2])
        return np.clip(rng.normal(mean, std, size), low, high)

    def to_plain(self) -> Any:
        """Return the notation of a domain file."""
        if self.kind == "fixed":
            return _plain(self.arguments[0])
        if self.kind == "normal":
            mean, std, low, high = (_plain(value) for value in self.arguments)
            return {"normal": [mean, std], "clip": [low, high]}
        return {self.kind: [_plain(value) for value in self.arguments]}


def parse(key: str, raw: Any, where: str) -> Distribution:
    """Read the notation of a domain file for the parameter `key`.

    Raises:
        DomainError: naming `where` (the file), the key, the value and what would be right.
    """
    if not isinstance(raw, dict):
        return Distribution(key, "fixed", (_value(key, raw, where),))
    kinds = [name for name in raw if name != "clip"]
    if len(kinds) != 1 or kinds[0] not in KINDS:
        wrong = next((name for name in kinds if name not in KINDS), "")
        raise DomainError(
            f"{where}: {key}: {shown(raw)} is no distribution; {suggestion(wrong, KINDS)}"
            if wrong
            else f"{where}: {key}: {shown(raw)} must have exactly one of {', '.join(KINDS)}"
        )
    kind = kinds[0]
    if "clip" in raw and kind != "normal":
        raise DomainError(f"{where}: {key}: clip belongs to normal, not to {kind}")
    items = raw[kind]
    if not isinstance(items, list) or not items or (kind != "choice" and len(items) != 2):
        wanted = "a list of options" if kind == "choice" else "a list of two, [low, high]"
        wanted = "a list of two, [mean, std]" if kind == "normal" else wanted
        raise DomainError(f"{where}: {key}: {kind} takes {wanted}, not {shown(items)}")
    if kind == "choice":
        return Distribution(key, kind, tuple(_value(key, item, where) for item in items))
    return _continuous(key, kind, items, raw.get("clip"), where)


def _continuous(key: str, kind: str, items: list[Any], clip: Any, where: str) -> Distribution:
    if not _is_real(key):
        raise DomainError(f"{where}: {key}: takes whole numbers or names: use choice, not {kind}")
    if kind == "normal":
        if not isinstance(clip, list) or len(clip) != 2:
            raise DomainError(f"{where}: {key}: normal needs clip: [low, high]")
        mean, std = _value(key, items[0], where), _vector_or_number(key, items[1], where)
        if np.any(np.asarray(std) < 0):
            raise DomainError(f"{where}: {key}: normal has a negative standard deviation {shown(items[1])}")
        return Distribution(key, kind, (mean, std, *_range(key, clip, where)))
    low, high = _range(key, items, where)
    if kind == "log_uniform" and np.any(np.asarray(low) <= 0):
        raise DomainError(f"{where}: {key}: log_uniform needs a low end above 0, not {shown(items[0])}")
    return Distribution(key, kind, (low, high))


def _range(key: str, items: list[Any], where: str) -> tuple[Any, Any]:
    low, high = _value(key, items[0], where), _value(key, items[1], where)
    if np.any(np.asarray(low) > np.asarray(high)):
        raise DomainError(f"{where}: {key}: range {shown(items)} is upside down (low end first)")
    return low, high


def _is_real(key: str) -> bool:
    default = FIELDS[key].default
    return isinstance(default, float | tuple)


def _value(key: str, raw: Any, where: str) -> Any:
    """Check one value of the parameter: type, length and bounds."""
    item = FIELDS[key]
    choices = item.metadata.get("choices")
    if choices is not None:
        if raw not in choices:
            raise DomainError(f"{where}: {key}: {shown(raw)} is not known; {suggestion(raw, choices)}")
        return raw
    value = _vector_or_number(key, raw, where)
    low, high = item.metadata["low"], item.metadata["high"]
    if np.any(np.asarray(value) < low) or np.any(np.asarray(value) > high):
        raise DomainError(
            f"{where}: {key}: {shown(raw)} is out of bounds; {low:g} to {high:g} ({item.metadata['doc']})"
        )
    return value


def _vector_or_number(key: str, raw: Any, where: str) -> Any:
    default = FIELDS[key].default
    if isinstance(default, tuple):
        if not isinstance(raw, list | tuple) or len(raw) != len(default) or not all(map(_finite, raw)):
            raise DomainError(f"{where}: {key}: takes a list of {len(default)} numbers, not {shown(raw)}")
        return tuple(float(value) for value in raw)
    if not _finite(raw):
        raise DomainError(f"{where}: {key}: takes a number, not {shown(raw)}{_hint(key, raw)}")
    if isinstance(default, int):
        if raw != int(raw):
            raise DomainError(f"{where}: {key}: takes a whole number, not {shown(raw)}")
        return int(raw)
    return float(raw)


def _finite(raw: Any) -> bool:
    try:
        return isinstance(raw, int | float) and not isinstance(raw, bool) and math.isfinite(raw)
    except OverflowError:  # a whole number beyond all floats
        return False


def _hint(key: str, raw: Any) -> str:
    """Say what was meant: YAML takes quoted numbers, and 1e-3 without a point, for text."""
    if isinstance(raw, list) and len(raw) == 2:
        return f"; for several, {{{'uniform' if _is_real(key) else 'choice'}: {shown(raw)}}}"
    try:
        number = float(raw) if isinstance(raw, str) else math.nan
    except ValueError:
        return ""
    return f"; write {number!r}, without quotes" if math.isfinite(number) else ""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
