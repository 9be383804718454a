"""`Session`: what to deploy, where, and for how long."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from envs import Domain
from simreal.deploy.config import LoopConfig
from simreal.deploy.scored import Scoring
from simreal.deploy.simulated_process import Pacing


@dataclass(frozen=True)
class Session:
    """What to deploy, where, and for how long."""

    policy: Path
    """Bundle or exported model."""
    robot: str = "simulated"
    robot_config: Path | None = None
    """Topics, joints and gripper of a ROS 2 robot."""
    mapping: Path | None = None
    limits: Path | None = None
    domain: Domain | None = None
    pacing: Pacing = "real-time"
    episodes: int = 10
    seconds: float | None = None
    """One episode of this length instead of `episodes`."""
    steps: int | None = None
    """Decisions in an episode; the task's limit by default."""
    rate_hz: float | None = None
    source: Path | None = None
    override: str | None = None
    realtime: bool = False
    confirmed: bool = False
    """Do not wait for the Enter key before the policy may move a robot that is not simulated."""
    seed: int = 0
    loop: LoopConfig = LoopConfig()
    scoring: Scoring | None = None
    """Have every episode scored, and go on where the table of outcomes ends."""
    adapt: Literal["pad"] | None = None
    """Have the bundle's encoder adapt beside the loop."""
