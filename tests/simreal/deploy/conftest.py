"""DDS stays on this machine, each test in a domain of its own."""

import itertools
import os

import pytest

_DOMAINS = itertools.count(os.getpid() % 150 + 20)


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> int:
    from simreal.deploy.ros2_node import LOOPBACK

    number = next(_DOMAINS)
    monkeypatch.setenv("CYCLONEDDS_URI", LOOPBACK)
    monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
    return number
