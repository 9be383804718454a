"""PyBullet worlds: robot + task + camera + domain, registered with Gymnasium."""

from typing import Any

import gymnasium

import envs.native  # noqa: F401  before anything imports pybullet
from envs.domain import Domain, domain_names, load_domain, suite
from envs.errors import DomainError
from envs.parameters import WorldParameters
from envs.robots import PANDA
from envs.tasks import Reach
from envs.world import RobotTaskEnv

__all__ = [
    "ENV_IDS",
    "Domain",
    "DomainError",
    "RobotTaskEnv",
    "WorldParameters",
    "domain_names",
    "load_domain",
    "suite",
]


def _panda_reach(**kwargs: Any) -> RobotTaskEnv:
    return RobotTaskEnv(PANDA, Reach, **kwargs)


_FACTORIES = {"simreal/PandaReach-v0": (_panda_reach, Reach)}
ENV_IDS = tuple(_FACTORIES)

for _id, (_factory, _task) in _FACTORIES.items():
    gymnasium.register(_id, entry_point=_factory, max_episode_steps=_task.max_steps)
