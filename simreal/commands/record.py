"""`record`: teleoperated demonstrations, scored by the person who makes them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from simreal.commands.common import Common
from simreal.deploy.recorder import clear_recording, record
from simreal.deploy.session import Session
from simreal.errors import SimrealError
from simreal.progress import say
from simreal.targets import load_named


@dataclass(frozen=True)
class Record(Common):
    """Robot + leader -> demonstrations, as a LeRobot dataset v3.0 in OUT/dataset that `adapt` takes."""

    policy: Path = Path("runs/run/policy")
    """Bundle that the demonstrations are for: whose actions, observations and rate are recorded."""
    robot: str = "simulated"
    """`simulated`, `ros2`, or `module:factory` of an object of LeRobot's robot interface."""
    leader: str = "keyboard"
    """`keyboard`, `gamepad`, `teacher` (simulated robots), or `module:factory` of a LeRobot teleoperator."""
    teacher: Path | None = None
    """Bundle that leads, with --leader teacher."""
    mapping: Path | None = None
    """YAML: which key of the robot, and of a leader arm, is which joint; LeRobot's naming by default."""
    limits: Path | None = None
    """YAML: what the robot may be sent; the manufacturer's limits by default."""
    domain: Annotated[str, tyro.conf.arg(aliases=("--target",))] = "nominal"
    """Of the simulated robot: a domain, `domain@severity`, or a domain file."""
    pacing: Literal["real-time", "lock-step"] = "real-time"
    """Of the simulated robot: as the clock goes, or a period with each command."""
    episodes: int = 10
    """Demonstrations that succeed to record."""
    steps: int = 600
    """Decisions in an episode at most."""
    scorer: str = "operator"
    """Name of the person who scores."""
    resume: bool = False
    """Go on with the recording in OUT."""

    def work(self) -> dict[str, Any]:
        """Record, and say what there is now."""
        begun = (self.folder() / "scores.csv").is_file()
        if begun and self.overwrite:
            clear_recording(self.folder())
        elif begun and not self.resume:
            raise SimrealError(f"{self.folder()} holds a recording: add --resume to go on, or --overwrite")
        session = Session(
            policy=self.policy,
            robot=self.robot,
            mapping=self.mapping,
            limits=self.limits,
            domain=load_named(self.domain) if self.robot == "simulated" else None,
            pacing=self.pacing,
            episodes=self.episodes,
            seed=self.seed,
        )
        made = record(session, self.folder(), self.leader, self.teacher, self.scorer, self.steps)
        say(f"{made.successes} successes, {made.failures} failures, {made.frames} frames: {made.dataset}")
        return {"recording": made}
