"""Presets: how much work a run does. The one place where sizes are set for tests and for people."""

from dataclasses import dataclass
from typing import Literal

from simreal.pretrain.distill import DistillConfig
from simreal.pretrain.reinforce import ReinforceConfig
from simreal.pretrain.teacher import TeacherConfig
from simreal.transfer import UPDATES

Preset = Literal["default", "smoke"]


@dataclass(frozen=True)
class Sizes:
    """Sizes of every stage."""

    teacher: TeacherConfig
    distill: DistillConfig
    rl: ReinforceConfig
    seeds: int
    demos: int
    check_episodes: int
    evaluation_episodes: int
    updates: int
    """Of every transfer method."""
    tuning_updates: int
    """Most updates of target-only."""


PRESETS: dict[str, Sizes] = {
    "default": Sizes(TeacherConfig(), DistillConfig(), ReinforceConfig(), 8, 10, 50, 100, UPDATES, 1200),
    # Every stage runs; only the teacher learns enough to give demonstrations.
    "smoke": Sizes(
        TeacherConfig(steps=16_384),
        DistillConfig(frames=(400, 200), updates=(20, 20), batch_size=64),
        ReinforceConfig(steps=256, environments=2, rollout_steps=64, batch_size=64, buffer_size=500),
        seeds=2,
        demos=2,
        check_episodes=4,
        evaluation_episodes=4,
        updates=10,
        tuning_updates=20,
    ),
}
