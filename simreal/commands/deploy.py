"""`export`, `deploy`: what takes a bundle to a robot."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from simreal.bundles import load_bundle
from simreal.commands.common import Common
from simreal.deploy.config import LoopConfig, OnDrift
from simreal.deploy.deployment import Deployment
from simreal.deploy.log import clear_log
from simreal.deploy.opening import SIMULATED
from simreal.deploy.replay import replay
from simreal.deploy.run import deploy
from simreal.deploy.scored import Scoring
from simreal.deploy.session import Session
from simreal.deploy.shadow import shadow
from simreal.errors import SimrealError, at_least
from simreal.export import MODEL, export
from simreal.progress import say
from simreal.targets import load_named


@dataclass(frozen=True)
class Export(Common):
    """Bundle -> ONNX in OUT/policy.onnx; preprocessing, normalization, scale and limits are in it."""

    policy: Path = Path("runs/run/policy")
    """Bundle to export."""
    source: Path | None = None
    """Pretraining run whose source data the drift watch learns from; without it the watch is off."""
    false_alarms: float = 0.01
    """Share of decisions at which the drift watch may fire in the source's worlds."""

    def work(self) -> dict[str, Any]:
        """Export, and say what the model holds."""
        bundle = load_bundle(self.policy)
        result = export(bundle, self.folder() / MODEL, self.source, self.false_alarms, self.seed)
        say(f"model: {result.model}")
        if result.drift is None:
            say("the drift watch is off: it needs --source RUN, the run that the policy was pretrained in")
            drift = None
        else:
            drift = {
                "false_alarms": result.drift.false_alarms,
                "false_alarms_per_episode": result.drift.false_alarms_per_episode,
                "episodes": result.drift.episodes,
            }
            say(
                f"drift watch: fires at up to {result.drift.false_alarms:.2%} of decisions in source worlds, "
                f"in {result.drift.false_alarms_per_episode:.1%} of {result.drift.episodes} held-out episodes"
            )
        return {"model": result.model, "weights_sha256": result.weights_sha256, "drift": drift}


@dataclass(frozen=True)
class Deploy(Common):
    """Bundle + robot -> control loop; its log, and a LeRobot dataset of it, in OUT."""

    policy: Path = Path("runs/run/policy")
    """Bundle, or what `simreal export` made of it."""
    robot: str = "simulated"
    """`simulated`, `ros2`, `ros2-server` (scripts/robot_server.py), or `module:factory` of an object of
    LeRobot's robot interface."""
    robot_config: Path | None = None
    """YAML: topics, joints and gripper of a ROS 2 robot."""
    mapping: Path | None = None
    """YAML: which key of the robot is which joint; LeRobot's naming by default."""
    limits: Path | None = None
    """YAML: what the robot may be sent; the manufacturer's limits by default."""
    domain: Annotated[str, tyro.conf.arg(aliases=("--target",))] = "nominal"
    """Of the simulated robot: a domain, `domain@severity`, or a domain file."""
    pacing: Literal["real-time", "lock-step"] = "real-time"
    """Of the simulated robot: as the clock goes, or a period with each command."""
    episodes: int = 10
    """Episodes to run."""
    seconds: float | None = None
    """Run one episode of this length instead."""
    steps: int | None = None
    """Decisions in an episode; the task's limit by default."""
    rate: float | None = None
    """Decisions a second; the bundle's by default, and another one only with --override."""
    source: Path | None = None
    """Pretraining run that the drift watch of a bundle learns from; without it the watch is off."""
    override: str | None = None
    """Why a bundle that is refused for its rate or its verdict is to run all the same."""
    realtime: bool = False
    """Use the real-time scheduler SCHED_FIFO."""
    yes: bool = False
    """Do not wait for the Enter key before the policy moves a robot."""
    command_multiple: int = 1
    """Commands in a control period, interpolated."""
    max_age: float | None = None
    """Oldest observation that is acted on, seconds."""
    on_drift: OnDrift = "hold"
    """What follows when the drift watch fires."""

    mode: Literal["run", "shadow", "replay"] = "run"
    """`shadow` looks on and sends nothing, `replay` needs no robot: what the policy would have done."""
    log: Path | None = None
    """For `replay`: a LeRobot dataset, or the run folder of an earlier `deploy`."""
    adapt: Literal["pad"] | None = None
    """Have the encoder adapt beside the loop, self-supervised; needs --source RUN, and a bundle."""
    outcomes: Path | None = None
    """CSV that every episode's outcome is added to; --episodes counts those that are there."""
    scorer: str | None = None
    """Person who scores at the prompt, for --outcomes; a simulated robot's world does by default."""
    label: str | None = None
    """What --outcomes and the prompt call the policy, so that the person does not know which it is."""

    def execute(self) -> None:
        """Deploy; a fault is told after the result has been written."""
        super().execute()
        written = json.loads((self.folder() / "result.json").read_text(encoding="utf-8"))
        if self.mode == "run" and (fault := written["deployment"]["fault"]):
            raise SimrealError(f"stopped: {fault}")

    def work(self) -> dict[str, Any]:
        """Run the loop, and print a summary."""
        at_least(1, episodes=self.episodes, steps=self.steps)
        for name in ("seconds", "rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise SimrealError(f"--{name} {value:g}: must be above 0")
        if self.overwrite:
            clear_log(self.folder())
        self.folder().mkdir(parents=True, exist_ok=True)
        if self.mode != "run":
            return {"comparison": self._compare()}
        deployment = deploy(self._session(), self.folder())
        _show(deployment)
        return {"deployment": deployment}

    def _scoring(self) -> Scoring | None:
        if self.outcomes is None:
            return None
        return Scoring(self.outcomes, self.label or str(self.policy), self.scorer)

    def _compare(self) -> dict[str, Any]:
        if (self.mode == "replay") != (self.log is not None):
            raise SimrealError("--mode replay and --log LOG go together")
        session, folder = self._session(), self.folder()
        found = shadow(session, folder) if self.log is None else replay(session, self.log, folder)
        _show_comparison(found)
        return found

    def _session(self) -> Session:
        return Session(
            policy=self.policy,
            robot=self.robot,
            robot_config=self.robot_config,
            mapping=self.mapping,
            limits=self.limits,
            domain=load_named(self.domain) if self.robot in SIMULATED else None,
            pacing=self.pacing,
            episodes=self.episodes,
            seconds=self.seconds,
            steps=self.steps,
            rate_hz=self.rate,
            source=self.source,
            override=self.override,
            realtime=self.realtime,
            confirmed=self.yes,
            seed=self.seed,
            loop=LoopConfig(self.command_multiple, self.max_age, on_drift=self.on_drift),
            scoring=self._scoring(),
            adapt=self.adapt,
        )


def _show(found: Deployment) -> None:
    for change in found.transitions[:20]:
        say(f"{change['time_s']:8.2f} s  {change['before']} -> {change['after']}: {change['cause']}")
    if len(found.transitions) > 20:
        say(f"           ... {len(found.transitions) - 20} more in transitions.csv")
    if found.success_rate is not None:
        interval = f"{found.ci_low:.2f} to {found.ci_high:.2f}"
        say(f"success {found.success_rate:.2f} ({interval}) in {len(found.episodes)} episodes")
    if found.pacing == "real-time":
        timing = found.timing
        say(f"{timing['ticks']:,} ticks, {timing['late']} late, {timing['missed']} deadlines missed")
        for name in ("lateness", "jitter", "age", "work"):
            shares = (
                f"{label} {timing[f'{name}_{label}_ms']:.2f}" for label in ("p50", "p99", "p99_9", "max")
            )
            say(f"{name:<9} {', '.join(shares)} ms")
    if found.adaptation is not None:
        used = "adapted weights in use" if found.adaptation.swaps else "original weights in use"
        end = found.adaptation.rolled_back or found.adaptation.error or used
        say(f"adaptation: {found.adaptation.updates} updates, {found.adaptation.swaps} swaps; {end}")
    limits = ", ".join(f"{name} {count:,}" for name, count in found.changed.items()) or "nothing"
    say(f"changed by limits: {limits}")
    if found.dataset is not None:
        say(f"dataset: {found.dataset}")


def _show_comparison(found: dict[str, Any]) -> None:
    say(f"{found['observations']:,} observations; the policy's action minus the operator's, m or rad:")
    say(f"  {'':<16} {'p50':>7} {'p90':>7} {'p99':>7} {'bias':>8}  same direction")
    for row in (*found["action"], *found["joints"]):
        same = "-" if row["same_direction"] is None else f"{row['same_direction']:.0%} of {row['moving']:,}"
        say(
            f"  {row['name']:<16} {row['error_p50']:7.4f} {row['error_p90']:7.4f} {row['error_p99']:7.4f} "
            f"{row['bias']:+8.4f}  {same}"
        )
    if found["drift"] is not None:
        say(f"drift p50 {found['drift']['p50']:.2f}, above 1 at {found['drift']['above_threshold']:.1%}")
