"""`pretrain`: source policy -> bundle."""

import dataclasses
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from envs import Domain
from policies import Policy, PolicyBundle
from simreal.bundles import describe, load_bundle
from simreal.errors import SimrealError
from simreal.files import write_json
from simreal.interruption import Interruption
from simreal.pretrain.augment import seen_domain
from simreal.pretrain.distill import Distillation, DistillConfig
from simreal.pretrain.reinforce import ReinforceConfig, reinforce
from simreal.pretrain.teacher import TeacherConfig, train_teacher
from simreal.progress import say
from simreal.results import to_plain
from simreal.rollout import cached_env
from simreal.targets import load_named


@dataclass(frozen=True)
class PretrainConfig:
    """How a source policy is made."""

    env: str = "simreal/PandaReach-v0"
    """Gymnasium id."""
    source: str = "source"
    """Domain to pretrain in: a name or a YAML file."""
    recipe: Literal["distill", "rl"] = "distill"
    """`distill`: PPO teacher, then a vision student; `rl`: PPO or SAC on the image itself."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    rl: ReinforceConfig = field(default_factory=ReinforceConfig)


@dataclass(frozen=True)
class PretrainResult:
    """Where the results of a pretraining are."""

    policy: Path
    """Bundle of the source policy."""
    teacher: Path | None
    """Bundle of the teacher, the expert of simulated targets."""
    seconds: float
    """Wall clock, interrupted parts included."""


def run(config: PretrainConfig, out: Path, seed: int = 0, resume: bool = False) -> PretrainResult:
    """Pretrain into the run folder `out`: `policy/`, `teacher/`, `source/`, `logs/`.

    Raises:
        SimrealError: if the folder holds another run, or nothing to resume.
    """
    started = time.perf_counter()
    domain = load_named(config.source)
    if config.recipe == "distill":
        domain = seen_domain(domain, config.distill.augment)
    _claim(config, out, seed, resume)

    def keep(policy: Policy) -> None:
        save(policy, config, domain, out / "policy", seed)

    try:
        with Interruption():
            if config.recipe == "rl":
                reinforce(config.env, domain, seed, config.rl, out, keep)
            else:
                teacher = _teacher(config, domain, out, seed)
                _distill(Distillation(config.env, domain, teacher, seed, config.distill, out), keep)
    except KeyboardInterrupt:
        say(f"interrupted; {out} goes on with --resume")
        raise
    finally:
        seconds = _add_seconds(out / "seconds.json", time.perf_counter() - started)
    expert = None if config.recipe == "rl" else out / "teacher"
    return PretrainResult(out / "policy", expert, seconds)


def save(policy: Policy, config: PretrainConfig, domain: Domain, folder: Path, seed: int) -> Path:
    """Save a policy trained in `config.env` as a bundle."""
    env = cached_env(config.env, image="image" in policy.config.observation_names, privileged=True)
    settings = {"recipe": config.recipe, "source": domain.to_plain()}
    bundle = describe(policy, env, config.env, domain.label, seed, settings)
    return bundle.save(folder, overwrite=True)


def _add_seconds(path: Path, seconds: float) -> float:
    """Add to what earlier, interrupted parts of the run took, and return the sum."""
    before = json.loads(path.read_text(encoding="utf-8"))["seconds"] if path.is_file() else 0.0
    write_json(path, {"seconds": before + seconds})
    return float(before + seconds)


def _distill(distillation: Distillation, keep: Callable[[Policy], None]) -> None:
    """Distil, keeping the student at every checkpoint; an interruption may come just before that."""
    distillation.resume()
    try:
        for student in distillation.run():
            keep(student)
    except KeyboardInterrupt:
        if distillation.resume():
            keep(distillation.learner.averaged())
        raise


def _teacher(config: PretrainConfig, domain: Domain, out: Path, seed: int) -> Policy:
    """Return the run's teacher, trained if the run has none yet."""
    folder = out / "teacher"
    if not folder.is_dir():
        teacher = train_teacher(config.env, domain, seed, config.teacher, out)
        save(teacher, config, domain, folder, seed)
    bundle: PolicyBundle = load_bundle(folder)
    return bundle.policy


def _claim(config: PretrainConfig, out: Path, seed: int, resume: bool) -> None:
    """Write the configuration into a new run folder, or check that a resumed one is the same."""
    path, mine = out / "config.json", to_plain(dataclasses.asdict(config)) | {"seed": seed}
    if path.is_file() and not resume:
        raise SimrealError(f"{out} holds a run already: add --resume, --overwrite, or choose another --out")
    if resume and path.is_file():
        theirs = json.loads(path.read_text(encoding="utf-8"))
        different = [key for key in mine if mine[key] != theirs.get(key)]
        if different:
            raise SimrealError(
                f"{path}: {different[0]} is not what this run was started with; resume with the same settings"
            )
        return
    shutil.rmtree(out / "source", ignore_errors=True)
    (out / "seconds.json").unlink(missing_ok=True)
    write_json(path, mine)
