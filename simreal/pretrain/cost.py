"""What a pretraining took: so that a check can tell what was saved with the source paid for."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simreal.errors import SimrealError


@dataclass(frozen=True)
class SourceCost:
    """Of a source policy."""

    seconds: float
    """Wall clock of the pretraining, on the machine it ran on, interrupted parts included."""
    steps: int
    """Environment steps in simulation: of the teacher, and frames that the student was shown."""


def source_cost(folder: Path | None) -> SourceCost | None:
    """Return what the pretraining in a run folder took; None if the folder holds none.

    Raises:
        SimrealError: if what it wrote of itself is damaged.
    """
    if folder is None or not all((folder / name).is_file() for name in ("config.json", "seconds.json")):
        return None
    path = folder / "config.json"
    try:
        steps = _environment_steps(json.loads(path.read_text(encoding="utf-8")))
        path = folder / "seconds.json"
        return SourceCost(float(json.loads(path.read_text(encoding="utf-8"))["seconds"]), steps)
    except (OSError, ValueError, KeyError, TypeError):
        raise SimrealError(f"{path}: truncated or damaged: what pretraining took is read from it") from None


def _environment_steps(config: dict[str, Any]) -> int:
    """Return the steps of a `PretrainConfig` as `config.json` has it."""
    if config["recipe"] == "distill":
        return _rounded_up(config["teacher"]) + sum(config["distill"]["frames"])
    return _rounded_up(config["rl"])


def _rounded_up(learner: dict[str, Any]) -> int:
    """Return the steps asked for, rounded up to whole rollouts of all environments, as they are taken."""
    at_once = learner["environments"]
    if learner.get("algorithm") != "sac":  # which learns after every step
        at_once *= learner["rollout_steps"]
    return int(-(-learner["steps"] // at_once) * at_once)
