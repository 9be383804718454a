"""What the tests of recordings share: an untrained policy, real simulated episodes, other tools' files."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import envs
from policies import Policy, PolicyBundle
from simreal.bundles import describe
from simreal.data.demonstrations import roam
from simreal.data.episodes import Episode
from simreal.data.source import SourceData
from simreal.pretrain.architecture import student_config, teacher_config
from simreal.pretrain.collect_source import CollectJob, collect_frames


@pytest.fixture(scope="session")
def bundle(world: Any) -> PolicyBundle:
    torch.manual_seed(0)
    policy = Policy(student_config(world)).eval()
    settings = {"source": envs.load_domain("source").to_plain()}
    return describe(policy, world, "simreal/PandaReach-v0", "source", 0, settings)


@pytest.fixture(scope="session")
def bundle_path(bundle: PolicyBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle.save(tmp_path_factory.mktemp("bundle") / "policy")


@pytest.fixture(scope="session")
def episodes(world: Any, bundle: PolicyBundle) -> list[Episode]:
    """Three episodes of a simulated robot: one of 12 frames, and two of less."""
    found = roam(world, bundle.policy, 100, 3, noise=0.5)
    cut = (12, 7, 9)
    return [shortened(episode, count) for episode, count in zip(found, cut, strict=False)]


def shortened(episode: Episode, count: int) -> Episode:
    rewards = np.random.default_rng(count).normal(size=count).astype(np.float32)
    parts = (episode.images, episode.proprio, episode.actions)
    images, proprio, actions = (part[:count] for part in parts)
    return Episode(images, proprio, actions, rewards, episode.timestamps[:count], count != 7)


@pytest.fixture(scope="session")
def source_run(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretraining's folder with nothing but 40 frames of source data."""
    teacher, run = Policy(teacher_config(world)), tmp_path_factory.mktemp("source")
    job = CollectJob(
        "simreal/PandaReach-v0", envs.load_domain("source"), (teacher.config, teacher.to_arrays()),
        None, 0.3, 40, 0,
    )  # fmt: skip
    frames = collect_frames(job)
    SourceData.create(run / "source", len(frames), frames).append(frames, len(frames))
    return run


@pytest.fixture(scope="session")
def recordings() -> Any:
    """The module that writes what other tools write."""
    path = Path(__file__).parent / "recordings.py"
    spec = importlib.util.spec_from_file_location("recordings", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["recordings"] = module
    spec.loader.exec_module(module)
    return module
