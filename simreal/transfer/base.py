"""The interface of every transfer method: what it needs, what it adapts, and what it is given."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from envs import Domain
from envs.distributions import Distribution
from policies import Policy
from simreal.data.batch import Batch
from simreal.data.source import SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.learning import Learner, Losses
from simreal.transfer.rewarded import RewardedSteps

Need = Literal["source data", "demonstrations", "unlabelled frames", "rewarded steps"]
Setting = Literal["inductive", "transductive", "unsupervised", "semi-supervised"]
_FLAGS: dict[Need, str] = {
    "source data": "--source RUN",
    "demonstrations": "--demos N|DATASET",
    "unlabelled frames": "--frames N|DATASET",
    "rewarded steps": "--steps N",
}
Report = Callable[[Losses], None]
Once = Callable[[str, Callable[[], Policy]], Policy]


def each_time(name: str, make: Callable[[], Policy]) -> Policy:
    """Make it; keep nothing."""
    return make()


EncoderMode = Literal["frozen", "slow", "free"]
# Of reinforcement: the encoder's learning rate over the head's.
ENCODER_RATES: dict[EncoderMode, float] = {"frozen": 0.0, "slow": 0.1, "free": 1.0}
BATCH_SIZE = 64  # target frames in every update, for every method and for target-only
UPDATES = 300  # gradient updates of a learning candidate: more gained nothing on tuning seeds


class LabelledFrames(Protocol):
    """Frames with the right action; `TargetData` is one too, where the source is recorded data."""

    def __len__(self) -> int:
        """Return the number of frames."""

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        """Draw frames with replacement."""

    def at(self, indices: NDArray[np.int64], rng: np.random.Generator) -> Batch:
        """Return the frames at `indices`."""

    def pairs(self, rng: np.random.Generator, size: int) -> tuple[Batch, Batch]:
        """Draw frames and the ones after them; what was done in between is the first ones' `executed`."""


@dataclass(frozen=True)
class SourceAccess:
    """Source data together with the domain whose appearances its frames take on."""

    data: SourceData
    domain: Domain

    def __len__(self) -> int:
        return self.data.count

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        """Draw frames, in order and each in a fresh appearance."""
        return self.data.batch(self.domain, rng, size)

    def at(self, indices: NDArray[np.int64], rng: np.random.Generator) -> Batch:
        """Return the frames at `indices`, each in a fresh appearance."""
        return self.data.compose(indices, self.domain, rng)

    def narrowed(self, rng: np.random.Generator) -> "SourceAccess":
        """Return the same frames in a single appearance drawn from the domain."""
        columns = self.domain.sample_columns(rng, 1)
        fixed = {key: Distribution(key, "fixed", (column[0],)) for key, column in columns.items()}
        return SourceAccess(self.data, dataclasses.replace(self.domain, distributions=fixed))

    def pairs(self, rng: np.random.Generator, size: int) -> tuple[Batch, Batch]:
        """Draw pairs of successive frames, each pair in a fresh appearance."""
        return self.data.pairs(self.domain, rng, size)


@dataclass(frozen=True)
class Problem:
    """What a method is given. The source policy is never changed: methods work on a copy."""

    policy: Policy
    seed: int
    demonstrations: TargetData | None = None
    source: LabelledFrames | None = None
    frames: TargetData | None = None
    """Unlabelled frames of the target; their actions are what the robot did, not what was right."""
    updates: int = UPDATES
    """Gradient updates to take."""
    gripper: tuple[int, ...] = ()
    """Which elements of the proprioception are the gripper's position; all of it if nobody knows."""

    rewarded: RewardedSteps | None = None
    """Steps in the target that tell their reward."""
    encoder: EncoderMode = "frozen"
    """How reinforcement treats the encoder."""
    once: Once = each_time
    """Asked for what a method makes of source, seed and budget alone, whatever the target; may keep it."""

    def copy_of_policy(self) -> Policy:
        """Return a copy of the source policy to adapt."""
        return Policy.from_arrays(self.policy.config, self.policy.to_arrays()).train()

    def demonstrated(self) -> TargetData:
        """Return the demonstrations, for a method that declared its need of them."""
        assert self.demonstrations is not None
        return self.demonstrations

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
            "rewarded steps": problem.rewarded,
        }
        missing = [need for need in self.needs if given.get(need) is None]
        if missing:
            hints = ", ".join(_FLAGS[need] for need in missing)
            raise SimrealError(f"method {self.id!r} needs {' and '.join(missing)}: give {hints}")
        return self.run(problem, report)


def fit(learner: Learner, problem: Problem, report: Report) -> Policy:
    """Take all of a learner's updates on the demonstrations and return the averaged policy."""
    data, rng = problem.demonstrated(), problem.generator()
    while learner.done < learner.config.updates:
        report(learner.update(data.batch(rng, BATCH_SIZE)))
    return learner.averaged()
