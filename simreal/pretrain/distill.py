"""DAgger distillation (Ross et al. 2011, arXiv:1011.0686) of the teacher into the vision student."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from envs import Domain
from policies import Policy
from simreal import workers
from simreal.data.batch import Batch
from simreal.data.source import SourceData
from simreal.errors import SimrealError
from simreal.evaluate import Packed, pack
from simreal.learning import LearnConfig, Learner
from simreal.pretrain.architecture import student_config
from simreal.pretrain.augment import AUGMENTATIONS, Augment, seen_domain, terms
from simreal.pretrain.collect_source import CollectJob, collect_frames, compose_batch
from simreal.progress import progress
from simreal.rollout import cached_env
from simreal.seeds import Purpose, seed_for

# From the 10th to the 90th of a hundred source images, in the feature that differs most: students that act
# had 0.9, after 40 updates 0.07; one whose second convolution had died, all units at 0, 5e-5.
_BLIND = 1e-3
_AHEAD = 16  # batches composed in advance: both workers stay busy, memory stays small


@dataclass(frozen=True)
class DistillConfig:
    """Rounds of collecting and learning. Settled on `source` with seeds 100 to 102."""

    frames: tuple[int, ...] = (8000, 6000, 6000)
    """Frames collected in each round; in the first the teacher acts, then mostly the student."""
    updates: tuple[int, ...] = (1200, 1200, 1600)
    """Gradient updates after each round."""
    batch_size: int = 64
    """At the same number of frames, 64 halved the error of 256: steps count more than their noise."""
    learning_rate: float = 2e-3
    teacher_noise: float = 0.3
    """Deviation of the noise on the teacher's actions, in action units."""
    checkpoint_every: int = 400
    """Updates between two checkpoints."""
    augment: Augment = "domain"
    """What is done to the images; see `simreal.pretrain.augment`."""

    def __post_init__(self) -> None:
        if len(self.frames) != len(self.updates) or not self.frames:
            raise ValueError(f"frames {self.frames} and updates {self.updates} need one entry for each round")
        if self.augment not in AUGMENTATIONS:
            raise ValueError(f"augment {self.augment!r} is not one of {', '.join(AUGMENTATIONS)}")


class BlindStudentError(SimrealError):
    """The student's image features are the same for nearly every image, and will stay so."""


class Distillation:
    """The student on its way: source data in `folder/source`, progress in `folder/checkpoint.pt`."""

    def __init__(
        self,
        env_id: str,
        domain: Domain,
        teacher: Policy,
        seed: int,
        config: DistillConfig,
        folder: Path,
    ) -> None:
        torch.manual_seed(seed)
        self.config, self.folder, self.seed = config, folder, seed
        self._env_id, self._domain = env_id, seen_domain(domain, config.augment)
        self._teacher = pack(teacher)
        self._data: SourceData | None = None
        learn = LearnConfig(sum(config.updates), config.learning_rate, warmup=50, average=0.995)
        student = student_config(cached_env(env_id, image=True, privileged=True))
        self.learner = Learner(Policy(student), learn, terms=terms(config.augment))
        self.round = 0

    def resume(self) -> bool:
        """Go back to the last checkpoint and tell whether there is one."""
        path = self.folder / "checkpoint.pt"
        if path.is_file():
            state = torch.load(path, weights_only=True)  # tensors and plain values only
            self.round = int(state.pop("round"))
            self._data = SourceData.open(self.folder / "source", writable=True)
            self._data.count = sum(self.config.frames[: self.round + 1])
            self.learner.load_state(state)
        return path.is_file()

    def run(self) -> Iterator[Policy]:
        """Train, yielding the student whenever a checkpoint has been written, and at the end.

        Raises:
            BlindStudentError: if training has collapsed.
        """
        with SummaryWriter(str(self.folder / "logs" / "student")) as writer:
            for index in range(self.round, len(self.config.frames)):
                self.round = index
                if self._missing_frames():
                    self._collect()
                yield from self._learn(writer)

    def _missing_frames(self) -> bool:
        wanted = sum(self.config.frames[: self.round + 1])
        return self._data is None or self._data.count < wanted

    def _collect(self) -> None:
        frames = self.config.frames[self.round]
        parts = 4 * workers.worker_count()  # small parts, so that the last one is not waited for
        student: Packed | None = pack(self.learner.averaged()) if self.round else None
        futures = [
            workers.submit(collect_frames, self._job(part, -(-frames // parts), student))
            for part in range(parts)
        ]
        name = f"source data, round {self.round + 1} of {len(self.config.frames)}"
        with progress(name, frames, "frames") as advance:
            for future in futures:
                found = future.result()
                if self._data is None:
                    capacity = sum(self.config.frames)
                    self._data = SourceData.create(self.folder / "source", capacity, found)
                before = self._data.count
                wanted = sum(self.config.frames[: self.round + 1])
                self._data.append(found, limit=wanted)
                advance(self._data.count - before)
        if self.round == 0:
            assert self._data is not None
            self.learner.policy.encoder.normalizer.set_statistics(*self._data.proprio_statistics())

    def _job(self, part: int, frames: int, student: Packed | None) -> CollectJob:
        first = seed_for(Purpose.SOURCE_EPISODE, self.seed, (self.round * 64 + part) << 12)
        noise = self.config.teacher_noise
        return CollectJob(self._env_id, self._domain, self._teacher, student, noise, frames, first)

    def _learn(self, writer: SummaryWriter) -> Iterator[Policy]:
        end = sum(self.config.updates[: self.round + 1])
        started, first = time.perf_counter(), self.learner.done
        with progress(f"student, round {self.round + 1}", end - first, "updates") as advance:
            for batch in self._batches(first, end):
                losses = self.learner.update(batch)
                done = self.learner.done
                advance(1)
                writer.add_scalar("loss/action", losses.action, done)
                writer.add_scalar("loss/goal_position", losses.auxiliary, done)
                if done == end:  # not sooner: in the middle of the first round it may not see yet
                    self._refuse_blind(batch)
                if done % self.config.checkpoint_every == 0 or done == end:
                    rate = (done - first) * self.config.batch_size / (time.perf_counter() - started)
                    writer.add_scalar("speed/frames_per_s", rate, done)
                    self._save()
                    yield self.learner.averaged()

    @torch.inference_mode()
    def _refuse_blind(self, batch: Batch) -> None:
        seen = self.learner.policy.encoder.perceive(batch.observation)
        if float((seen.quantile(0.9, dim=0) - seen.quantile(0.1, dim=0)).max()) < _BLIND:
            raise BlindStudentError(
                f"{self.folder}: the student went blind by update {self.learner.done:,}: its image features "
                "are the same for nearly every image, as when all units of a layer have died; start again "
                "with another --seed"
            )

    def _batches(self, first: int, end: int) -> Iterator[Batch]:
        """Have the workers compose batches a few ahead; batch k is the same whenever it is made."""
        assert self._data is not None
        pending: deque[Future[Any]] = deque()
        for index in range(first, end + _AHEAD):
            if index < end:
                seed = seed_for(Purpose.APPEARANCE, self.seed, index)
                data, config = self._data, self.config
                arguments = (data.folder, data.count, self._domain, seed, config.batch_size, config.augment)
                pending.append(workers.submit(compose_batch, *arguments))
            if (index >= first + _AHEAD or index >= end) and pending:
                yield pending.popleft().result()

    def _save(self) -> None:
        partial = self.folder / "checkpoint.pt.partial"
        torch.save({**self.learner.state(), "round": self.round}, partial)
        partial.replace(self.folder / "checkpoint.pt")
