"""An environment of any spaces, to make models for."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

_ACTION = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([1.0, 0.5], np.float32))


class Blank(gymnasium.Env[Any, Any]):
    """An environment of given spaces where nothing is worth anything."""

    def __init__(self, observation: spaces.Space[Any], action: spaces.Space[Any] = _ACTION) -> None:
        self.observation_space, self.action_space = observation, action

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, True, {}


@pytest.fixture(scope="session")
def blank() -> type[Blank]:
    return Blank
