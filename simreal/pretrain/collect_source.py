"""Source data: workers roll the teacher, or the student under its eyes, and keep what they saw."""

import functools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Domain
from envs.camera import stack
from policies import Policy
from simreal.data.batch import Batch
from simreal.data.source import Frames, SourceData
from simreal.evaluate import Packed
from simreal.pretrain.augment import Augment, augmented
from simreal.rollout import Observation, Step, cached_env, rollout


@dataclass(frozen=True)
class CollectJob:
    """Frames that one worker collects."""

    env_id: str
    domain: Domain
    teacher: Packed
    student: Packed | None
    """Acts in the episodes that are its turn (DAgger); None: the teacher acts in all."""
    noise: float
    """Deviation of the noise on the actions of the teacher, so that it visits its own mistakes."""
    frames: int
    first_seed: int


def collect_frames(job: CollectJob) -> Frames:
    """Collect `job.frames` frames, each labelled with what the teacher would do."""
    env = cached_env(job.env_id, image=job.student is not None, privileged=True)
    world = env.unwrapped
    teacher = Policy.from_arrays(*job.teacher)
    student = None if job.student is None else Policy.from_arrays(*job.student)
    rng = np.random.default_rng(job.first_seed)
    layers: list[Any] = []
    columns: defaultdict[str, list[NDArray[Any]]] = defaultdict(list)
    seed = job.first_seed

    def before(observation: Observation) -> None:
        layers.append(world.render_layers())  # type: ignore[attr-defined]
        columns["proprio"].append(observation["proprio"])
        columns["action"].append(teacher.act(observation))
        columns["goal_position"].append(observation["privileged"][:3])
        columns["episode"].append(np.asarray(seed))

    def after(step: Step) -> None:
        columns["executed"].append(step.action)

    while len(layers) < job.frames:
        act: Callable[[Observation], NDArray[np.float32]] = (
            student.act
            if student is not None and rng.random() < 0.8
            else functools.partial(_noisy, teacher, job.noise, rng)
        )
        rollout(env, act, seed, before=before, after=after, options={"domain": job.domain})
        seed += 1
    batch = stack(layers[: job.frames])
    rendered = {name: getattr(batch, name) for name in ("shade", "segment", "depth", "camera")}
    return Frames(rendered | {name: np.stack(values[: job.frames]) for name, values in columns.items()})


def _noisy(
    teacher: Policy, noise: float, rng: np.random.Generator, observation: Observation
) -> NDArray[np.float32]:
    action = teacher.act(observation)
    return np.clip(action + rng.normal(0, noise, action.shape), -1, 1).astype(np.float32)


def compose_batch(
    folder: Path, count: int, domain: Domain, seed: int, size: int, augment: Augment = "domain"
) -> Batch:
    """Draw, compose and augment one batch in a worker; `count` tells which state of the data to read."""
    rng = np.random.default_rng(seed)
    return augmented(_opened(folder, count).batch(domain, rng, size), augment, rng)


@functools.lru_cache(maxsize=1)
def _opened(folder: Path, count: int) -> SourceData:
    data = SourceData.open(folder)
    return SourceData(folder, data._arrays, count)
