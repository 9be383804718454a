"""`doctor`: what is installed, what renders, how fast this machine is."""

import importlib.metadata
import platform
import time
from typing import Any

import gymnasium
import numpy as np

import envs  # noqa: F401  registers the ids
from simreal.learning import has_bfloat16
from simreal.workers import worker_count

_PACKAGES = (
    "torch",
    "numpy",
    "gymnasium",
    "stable-baselines3",
    "pybullet",
    "opencv-python-headless",
    "pyarrow",
)
_STEPS = 100


def examine() -> dict[str, Any]:
    """Return versions and speeds, flat."""
    found: dict[str, Any] = {"python": platform.python_version(), "cores": worker_count()}
    for name in _PACKAGES:
        found[name] = importlib.metadata.version(name)
    found["bfloat16"] = has_bfloat16()
    found["state_steps_per_s"] = round(_speed(image=False), 1)
    found["camera_steps_per_s"] = round(_speed(image=True), 1)
    return found


def _speed(image: bool) -> float:
    env: gymnasium.Env[Any, Any] = gymnasium.make("simreal/PandaReach-v0", image=image)
    env.reset(seed=0)
    action = np.zeros(3, np.float32)
    started = time.perf_counter()
    for _ in range(_STEPS):
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    env.close()
    return _STEPS / (time.perf_counter() - started)
