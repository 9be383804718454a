"""`recommend`: which method to try on a target, with which budget, before training there."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from policies import PolicyBundle
from simreal.adapt import Given, open_source
from simreal.bundles import load_bundle
from simreal.commands.common import Common
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.data.target import TargetData
from simreal.errors import SimrealError, at_least
from simreal.progress import say
from simreal.study.arms import Limits
from simreal.study.cells import Source
from simreal.study.choice import Record
from simreal.study.gap import ROLLOUTS, Gap, measure, measured
from simreal.study.recommend import Recommendation, past_cases, recommend
from simreal.study.run import CELLS
from simreal.targets import parse_target

_SHOWN = 10  # of the ranking


@dataclass(frozen=True, kw_only=True)
class Recommend(Common):
    """A study + a few facts of a target -> which method to try, with which budget.

    Success of every method is predicted from the gap between source and target. By its record on the study's
    own targets, each left out in turn, it says whether that beats always taking one method.
    """

    study: Annotated[Path, tyro.conf.Positional] = Path("runs/study")
    """A study's run folder, or its table."""
    sources: tuple[Path, ...]
    """Pretraining runs whose cells to learn from; the first is the one to adapt."""
    target: str = "workshop"
    """Where demonstrations and frames are recorded, if only their number is given."""
    demos: str = "10"
    """A LeRobot dataset with demonstrations of the target, or how many may be used of a simulated one."""
    frames: str = "500"
    """A LeRobot dataset of unlabelled frames, or how many may be used."""
    steps: int = 0
    """Rewarded steps that may be used."""
    zero_shot: float | None = None
    """Success of the source policy there, if it was scored; in a simulated target it is run."""
    rollouts: int = ROLLOUTS
    """Of the source policy in a simulated target."""

    def work(self) -> dict[str, Any]:
        """Rank, and print with what it is worth."""
        at_least(0, steps=self.steps)
        at_least(1, rollouts=self.rollouts)
        if not self.sources:
            raise SimrealError("no source to learn from: give --sources RUN [RUN ...]")
        if self.zero_shot is not None and not 0 <= self.zero_shot <= 1:
            raise SimrealError(f"--zero-shot {self.zero_shot}: a success rate is from 0 to 1")
        sources = [Source.of_run(path) for path in self.sources]
        name, gap, limits = self._target(sources[0])
        path = self.study / CELLS if self.study.is_dir() else self.study
        found = recommend(past_cases(path, sources), name, gap, limits, self.seed)
        _show(found)
        return {"recommendation": found}

    def _target(self, source: Source) -> tuple[str, Gap, Limits]:
        """Return the target's name, its gap, and what may be used of it."""
        given = [text for text in (self.demos, self.frames) if not text.isdecimal()]
        if given:
            return self._recorded(given)
        target = parse_target(self.target, source.env_id)
        demos, frames = int(self.demos), int(self.frames)
        gap = measured(source, target, self.rollouts, demos, self.seed)
        return target.label, gap, Limits(demos, frames, self.steps)

    def _recorded(self, given: list[str]) -> tuple[str, Gap, Limits]:
        """Measure the gap on datasets alone; what is given as a number is not there."""
        bundle = load_bundle(self.sources[0] / "policy")
        shown = None if self.demos.isdecimal() else _read(bundle, Path(self.demos), labelled=True)
        seen = None if self.frames.isdecimal() else _read(bundle, Path(self.frames), labelled=False)
        frames = seen or shown
        assert frames is not None
        gap = measure(
            bundle.policy,
            open_source(self.sources[0], bundle),
            frames,
            np.random.default_rng(self.seed),
            shown,
            self.zero_shot,
        )
        demos = 0 if shown is None else shown.demonstrations
        return given[0], gap, Limits(demos, 0 if seen is None else len(seen), self.steps)


def _read(bundle: PolicyBundle, path: Path, labelled: bool) -> TargetData:
    dataset = LeRobotDataset(path)
    if labelled:
        return Given(demonstrations=dataset).problem(bundle, 0).demonstrated()
    frames = Given(frames=dataset).problem(bundle, 0).frames
    assert frames is not None
    return frames


def _show(found: Recommendation) -> None:
    say("gap of " + found.target + ": " + ", ".join(f"{name} {n:.2f}" for name, n in found.gap.items()))
    say(f"{'method':<18} {'demos':>5} {'frames':>6} {'steps':>6}  predicted  spread  gained elsewhere")
    for item in found.ranking[:_SHOWN]:
        gained = "-" if item.gained is None else f"{100 * item.gained:+.0f} points"
        say(
            f"{item.candidate:<18} {item.demos:>5} {item.frames:>6} {item.steps:>6}  {item.predicted:>9.2f}  "
            f"{item.spread:>6.2f}  {gained}"
        )
    _show_record(found.record)
    say(f"try {found.chosen}: {found.reason}")


def _show_record(past: Record) -> None:
    say(f"points lost to the best of {past.arms} in hindsight, on {past.targets} targets left out in turn:")
    for way in past.ways:
        value, low, high = (100 * end for end in dataclasses.astuple(way.regret))
        say(f"  {way.name:<12} {value:.1f} ({low:.1f} to {high:.1f})")
