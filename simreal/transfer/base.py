"""The interface of every transfer method: what it needs, what it adapts, and what it is given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from envs import Domain
from policies import Policy
from simreal.data.source import SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.learning import Losses

Need = Literal["source data", "demonstrations", "unlabelled frames", "rewarded steps"]
Setting = Literal["inductive", "transductive", "unsupervised", "semi-supervised"]
_FLAGS: dict[Need, str] = {
    "source data": "--source RUN",
    "demonstrations": "--demos N|DATASET",
    "unlabelled frames": "--frames N|DATASET",
    "rewarded steps": "--steps N",
}
Report = Callable[[Losses], None]
UPDATES = 300  # gradient updates of a learning candidate: more gained nothing on tuning seeds


@dataclass(frozen=True)
class SourceAccess:
    """Source data together with the domain whose appearances its frames take on."""

    data: SourceData
    domain: Domain


@dataclass(frozen=True)
class Problem:
    """What a method is given. The source policy is never changed: methods work on a copy."""

    policy: Policy
    seed: int
    demonstrations: TargetData | None = None
    source: SourceAccess | None = None
    frames: TargetData | None = None
    """Unlabelled frames of the target; their actions are what the robot did, not what was right."""
    updates: int = UPDATES
    """Gradient updates to take."""

    def copy_of_policy(self) -> Policy:
        """Return a copy of the source policy to adapt."""
        return Policy.from_arrays(self.policy.config, self.policy.to_arrays()).train()

    def generator(self) -> np.random.Generator:
        """Return the source of the method's randomness."""
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class Method:
    """A transfer method: its declaration, and the function that carries it out."""

    id: str
    family: str
    setting: Setting
    needs: tuple[Need, ...]
    adapts: str
    paper: str
    run: Callable[[Problem, Report], Policy]

    def adapt(self, problem: Problem, report: Report = lambda losses: None) -> Policy:
        """Return an adapted policy.

        Raises:
            SimrealError: naming what the method needs and was not given.
        """
        given: dict[Need, object] = {
            "demonstrations": problem.demonstrations,
            "source data": problem.source,
            "unlabelled frames": problem.frames,
        }
        missing = [need for need in self.needs if given.get(need) is None]
        if missing:
            hints = ", ".join(_FLAGS[need] for need in missing)
            raise SimrealError(f"method {self.id!r} needs {' and '.join(missing)}: give {hints}")
        return self.run(problem, report)
