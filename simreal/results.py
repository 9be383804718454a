"""`result.json`: what every command leaves behind for programs; schemas are kept in `schemas/`."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simreal.check.statistics import wilson_interval
from simreal.files import write_json

SCHEMA = 1


@dataclass(frozen=True)
class EvaluationRow:
    """Success of one policy in one domain at one severity."""

    policy: str
    domain: str
    severity: int
    episodes: int
    success_rate: float
    ci_low: float
    ci_high: float
    """Wilson interval, 95%, over episodes."""
    mean_return: float

    @classmethod
    def of_episodes(
        cls, policy: str, domain: str, severity: int, successes: int, returns: list[float]
    ) -> "EvaluationRow":
        """Summarize episodes."""
        episodes = len(returns)
        low, high = wilson_interval(successes, episodes)
        mean = sum(returns) / episodes
        return cls(policy, domain, severity, episodes, successes / episodes, low, high, mean)


def write_result(path: Path, command: str, seed: int, seconds: float, **parts: Any) -> Path:
    """Write a command's result; dataclasses become objects.

    Args:
        path: The file.
        command: Which command it was.
        seed: Its seed.
        seconds: How long it took, wall clock.
        parts: `evaluation`, `check`, `benchmark` and whatever else the command tells.

    Raises:
        ValueError: if a number is not finite.
    """
    head = {"command": command, "schema": SCHEMA, "seed": seed, "seconds": round(seconds, 3)}
    return write_json(path, head | {name: to_plain(part) for name, part in parts.items()})


def to_plain(value: Any) -> Any:
    """Turn dataclasses, tuples and paths into what JSON has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def finite(value: Any) -> Any:
    """Turn a value into what JSON has; a number that is infinite or NaN on purpose becomes null."""
    plain = to_plain(value)
    if isinstance(plain, dict):
        return {name: finite(item) for name, item in plain.items()}
    if isinstance(plain, list):
        return [finite(item) for item in plain]
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
