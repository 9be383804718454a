"""The interface of every transfer method: what it needs, what it adapts, and what it is given."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from envs import Domain
from envs.distributions import Distribution
from policies import Policy
from simreal.data.batch import Batch
from simreal.data.motions import Motions
from simreal.data.source import SourceData
from simreal.data.target import TargetData
from simreal.errors import SimrealError, nearest
from simreal.learning import LearnConfig, Learner, Losses
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
RATE_SCALE = "rate_scale"
_PARTS = ("kept", "probing", "span")  # settings that are shares of a whole
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

    def motions(self) -> Motions:
        """Return what was done in all episodes and how the robot moved."""


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

    def motions(self) -> Motions:
        """Return what was done in all episodes and how the robot moved."""
        return self.data.motions()


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
    rate_scale: float = 1.0
    """What the method's learning rate is multiplied with."""

    def learning(self, learning_rate: float, updates: int | None = None) -> LearnConfig:
        """Return how to learn with a method's own rate, for all of the updates by default."""
        return LearnConfig(self.updates if updates is None else updates, learning_rate * self.rate_scale)

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

    def settings(self) -> dict[str, float]:
        """Return the numbers that its function takes, with their defaults; switches are none."""
        defaults = {name: each.default for name, each in inspect.signature(self.run).parameters.items()}
        return {
            name: value
            for name, value in defaults.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }

    def with_settings(self, settings: Mapping[str, float]) -> "Method":
        """Return the method with other numbers; `rate_scale` multiplies its learning rate.

        Raises:
            SimrealError: naming a setting that it does not have, with the nearest; or a value that cannot be.
        """
        defaults = self.settings() | {RATE_SCALE: 1.0}
        own: dict[str, float] = {}
        for name, value in settings.items():
            if name not in defaults:
                raise SimrealError(f"method {self.id!r} has no setting {name!r}; {nearest(name, defaults)}")
            if value < 0:
                raise SimrealError(f"method {self.id!r}: {name}: takes a number from 0, not {value!r}")
            if name in _PARTS and value > 1:
                raise SimrealError(f"method {self.id!r}: {name}: takes a share from 0 to 1, not {value!r}")
            own[name] = type(defaults[name])(value)
            if own[name] != value:
                raise SimrealError(f"method {self.id!r}: {name}: takes a whole number, not {value!r}")
        scale = own.pop(RATE_SCALE, 1.0)
        inner = functools.partial(self.run, **own)

        def run(problem: Problem, report: Report) -> Policy:
            return inner(dataclasses.replace(problem, rate_scale=scale), report)

        return dataclasses.replace(self, run=run if settings else self.run)

    def adapt(self, problem: Problem, report: Report = lambda losses: None) -> Policy:
        """Return an adapted policy.

        Raises:
            SimrealError: naming what the method needs and was not given.
        """
        self.refuse_without(
            {
                "demonstrations": problem.demonstrations,
                "source data": problem.source,
                "unlabelled frames": problem.frames,
                "rewarded steps": problem.rewarded,
            }
        )
        return self.run(problem, report)

    def refuse_without(self, given: Mapping[Need, object]) -> None:
        """Refuse to go on without what the method needs.

        Args:
            given: Need -> what there is of it; None for nothing.

        Raises:
            SimrealError: naming what is missing, and the options that give it.
        """
        missing = [need for need in self.needs if given.get(need) is None]
        if missing:
            hints = ", ".join(_FLAGS[need] for need in missing)
            raise SimrealError(f"method {self.id!r} needs {' and '.join(missing)}: give {hints}")


def fit(learner: Learner, problem: Problem, report: Report) -> Policy:
    """Take all of a learner's updates on the demonstrations and return the averaged policy."""
    data, rng = problem.demonstrated(), problem.generator()
    while learner.done < learner.config.updates:
        report(learner.update(data.batch(rng, BATCH_SIZE)))
    return learner.averaged()
