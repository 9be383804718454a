"""Speed of the camera environment against panda-gym's with TinyRenderer, in one run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from envs.native import silenced
from simreal.exits import run_script
from simreal.results import write_result

SUBSTEPS = 20  # what panda-gym takes; as many for ours, 20 / 240 s


@dataclass
class Options:
    """Measure frames a second; a frame is one step and one 64x64 image."""

    steps: int = 300
    """Steps of ours in each of three rounds; panda-gym takes a tenth of that."""
    json: Path | None = None
    """Write the figures there as JSON."""


def ours() -> Callable[[], Any]:
    """Return a step of ours: a fresh appearance at every step, no frame reused."""
    env = gymnasium.make(
        "simreal/PandaReach-v0",
        domain="source",
        appearance_every="step",
        control_period_s=SUBSTEPS / 240,
    ).unwrapped
    env.reset(seed=0)
    action = np.array([0.1, 0.0, 0.0], np.float32)

    def step() -> None:
        if env.step(action)[2]:
            env.reset()

    return step


def panda_gym() -> Callable[[], Any]:
    """Return a step of panda-gym's PandaReach-v3 and its 64x64 TinyRenderer image."""
    import panda_gym  # noqa: F401  registers the ids

    with silenced():  # it prints its arguments
        env = gymnasium.make(
            "PandaReach-v3", render_mode="rgb_array", renderer="Tiny", render_width=64, render_height=64
        ).unwrapped
    env.reset(seed=0)
    action = np.array([0.1, 0.0, 0.0], np.float32)

    def step() -> None:
        env.step(action)
        env.render()

    return step


def rate(step: Callable[[], Any], count: int) -> float:
    """Return how often a second `step` can be done."""
    started = time.perf_counter()
    for _ in range(count):
        step()
    return count / (time.perf_counter() - started)


def main(options: Options) -> None:
    """Alternate between the two, and print the median of three rounds."""
    started = time.perf_counter()
    first, second = ours(), panda_gym()
    rounds = [(rate(first, options.steps), rate(second, max(3, options.steps // 10))) for _ in range(3)]
    mine, theirs = (float(np.median(column)) for column in zip(*rounds, strict=True))
    ratio = float(np.median([a / b for a, b in rounds]))
    figures = {"simreal_frames_per_s": mine, "panda_gym_frames_per_s": theirs, "ratio": ratio}
    for name, value in figures.items():
        print(f"{name:<24} {value:.1f}")
    if options.json:
        seconds = time.perf_counter() - started
        write_result(options.json, "benchmark_speed", 0, seconds, benchmark=figures)


if __name__ == "__main__":
    run_script(main, Options)
