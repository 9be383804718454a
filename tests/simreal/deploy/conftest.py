"""What deployment tests share: an untrained policy, and DDS that stays here, each test in its own domain."""

import itertools
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from policies import Policy, PolicyBundle
from simreal.bundles import describe
from simreal.export import export
from simreal.pretrain.architecture import student_config

_DOMAINS = itertools.count(os.getpid() % 150 + 20)
sys.path.insert(0, str(Path(__file__).parent))  # `learners` is imported by other processes too


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> int:
    from simreal.deploy.ros2_node import LOOPBACK

    number = next(_DOMAINS)
    monkeypatch.setenv("CYCLONEDDS_URI", LOOPBACK)
    monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
    return number


@pytest.fixture(scope="session")
def untrained(world: Any) -> PolicyBundle:
    torch.manual_seed(0)
    return describe(Policy(student_config(world)).eval(), world, "simreal/PandaReach-v0", "source", 0, {})


@pytest.fixture(scope="session")
def untrained_model(untrained: PolicyBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(untrained, tmp_path_factory.mktemp("model") / "policy.onnx", None, 0.01).model
