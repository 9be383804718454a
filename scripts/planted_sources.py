"""The sources of scripts/planted_cases.py: one as it should be, and three that are wrong on purpose."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from policies import Policy
from simreal.bundles import load_bundle, source_domain
from simreal.data.source import SourceData
from simreal.learning import LearnConfig, Learner
from simreal.presets import PRESETS, Sizes
from simreal.pretrain import PretrainConfig, run
from simreal.progress import progress

MIRRORED = "name: mirrored\nextends: source\ndynamics: {action_gain: [1, -1, 1]}\n"
# The hue of the first distractor of `nominal` (215 degrees); distractors stay 45 degrees from the goal's.
OTHER_GOAL = """name: other-goal
extends: source
appearance:
  goal_hue_deg: {uniform: [201, 229]}
  distractor_hue_deg: {uniform: [[-100, -100, -100, -100, -100, -100], [170, 170, 170, 170, 170, 170]]}
"""
_LABELS = ("action", "goal_position")
_UPDATES = 1000  # to learn that the labels say nothing takes few


def good(folder: Path, seed: int, sizes: Sizes = PRESETS["default"]) -> Path:
    """Return the run at `folder`, made if it is not there."""
    if (folder / "policy").is_dir():
        return folder
    return _pretrained(folder, "source", seed, sizes)


def mirrored(folder: Path, seed: int, sizes: Sizes = PRESETS["default"]) -> Path:
    """Return a run on a robot whose sideways actions do the opposite."""
    return _pretrained(folder, _domain(folder, MIRRORED), seed, sizes)


def other_goal(folder: Path, good: Path, seed: int, sizes: Sizes = PRESETS["default"]) -> Path:
    """Return a run whose goal has the colour that a distractor has in `nominal`.

    Its teacher is the good run's, which knows where the goal is and sees no colours.
    """
    if not (folder / "teacher").is_dir():
        shutil.copytree(good / "teacher", folder / "teacher")
    return _pretrained(folder, _domain(folder, OTHER_GOAL), seed, sizes)


def shuffled(folder: Path, good: Path, seed: int, sizes: Sizes = PRESETS["default"]) -> Path:
    """Return the good run with the labels of each frame in the place of another's, and a student of those."""
    if (folder / "policy").is_dir():
        return folder
    shutil.copytree(good / "source", folder / "source", dirs_exist_ok=True)
    rng, count = np.random.default_rng(seed), SourceData.open(folder / "source").count
    order = rng.permutation(count)
    for name in _LABELS:
        labels = np.load(good / "source" / f"{name}.npy")
        labels[:count] = labels[order]
        np.save(folder / "source" / f"{name}.npy", labels)
    data, bundle = SourceData.open(folder / "source"), load_bundle(good / "policy")
    policy, domain = Policy(bundle.policy.config), source_domain(bundle)
    policy.encoder.normalizer.set_statistics(*data.proprio_statistics())
    updates, settings = min(_UPDATES, sum(sizes.distill.updates)), sizes.distill
    learner = Learner(policy, LearnConfig(updates, settings.learning_rate, warmup=50, average=0.995))
    with progress("a student of shuffled labels", updates, "updates") as advance:
        for _ in range(updates):
            learner.update(data.batch(domain, rng, settings.batch_size))
            advance(1)
    dataclasses.replace(bundle, policy=learner.averaged()).save(folder / "policy")
    return folder


def _domain(folder: Path, text: str) -> str:
    """Write the domain of a run beside it, and return where."""
    path = folder.with_suffix(".yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def _pretrained(folder: Path, source: str, seed: int, sizes: Sizes) -> Path:
    """Return the run of a source, made or finished if need be; of a finished one nothing is done again."""
    config = PretrainConfig(source=source, teacher=sizes.teacher, distill=sizes.distill)
    run(config, folder, seed, resume=True)
    return folder
