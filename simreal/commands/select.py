"""`select`: which source to start from on a target, or none."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from policies import PolicyBundle
from simreal.adapt import Given, open_source
from simreal.bundles import load_bundle
from simreal.check.scores import Scores, score
from simreal.check.source_selection import Selection
from simreal.check.source_selection import select as select_source
from simreal.check.trials import run_trials
from simreal.commands.common import Common
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.data.target import TargetData
from simreal.errors import SimrealError
from simreal.evaluate import pack
from simreal.presets import PRESETS, Preset
from simreal.progress import say


@dataclass(frozen=True, kw_only=True)
class Select(Common):
    """Sources + a few demonstrations of a target -> which source to start from, or none.

    Nothing is run on the target. Each source is adapted to four fifths of the demonstrations, by turns, and
    judged on the rest, against training from nothing on the same.
    """

    sources: tuple[Path, ...]
    """Run folders of `pretrain`, or bundles; without source data there is no A-distance."""
    demos: Path
    """A LeRobot dataset with demonstrations of the target."""
    preset: Preset = "default"
    """How many updates."""

    def work(self) -> dict[str, Any]:
        """Rank, choose, and print why."""
        if not self.sources:
            raise SimrealError("no source to choose from: give --sources RUN [RUN ...]")
        if twice := [path for path in self.sources if self.sources.count(path) > 1]:
            raise SimrealError(f"--sources {twice[0]}: given twice; name different ones")
        dataset, sizes = LeRobotDataset(self.demos), PRESETS[self.preset]
        bundles = {path: load_bundle(_bundle(path)) for path in self.sources}
        for path, bundle in bundles.items():
            self._check_unseen(path, bundle)
        given = {path: _demonstrations(bundle, dataset) for path, bundle in bundles.items()}
        scores = {str(path): self._score(path, bundles[path], data) for path, data in given.items()}
        packed = [pack(bundle.policy) for bundle in bundles.values()]
        data = given[self.sources[0]]
        trials = run_trials(packed, data, sizes.updates, sizes.tuning_updates, self.seed)
        selection = select_source(scores, trials)
        _show(selection)
        return {"selection": selection}

    def _check_unseen(self, path: Path, bundle: PolicyBundle) -> None:
        """Refuse a policy that has learned from these demonstrations: none could be held out from it."""
        places = str(bundle.manifest.extra.get("target", "")).split(" and ")
        if self.demos.resolve() in {Path(place).resolve() for place in places if place}:
            raise SimrealError(
                f"--sources {path}: adapted to {self.demos}, which is to judge it: take demonstrations that "
                "it has not seen, or the source that it was adapted from"
            )

    def _score(self, path: Path, bundle: PolicyBundle, data: TargetData) -> Scores:
        access = open_source(path, bundle) if (path / "source").is_dir() else None
        return score(bundle.policy, data, access, np.random.default_rng(self.seed))


def _bundle(path: Path) -> Path:
    """Return where the bundle of a source is: in a run folder it is `policy`."""
    return path / "policy" if (path / "policy").is_dir() else path


def _demonstrations(bundle: PolicyBundle, dataset: LeRobotDataset) -> TargetData:
    return Given(demonstrations=dataset).problem(bundle, 0).demonstrated()


def _show(found: Selection) -> None:
    say(f"held-out error of {found.baseline}: {found.baseline_error:.4f}")
    columns = "error  times baseline        A-distance  LogME  H-score  own actions' error"
    say(f"{'source':<32} {columns}")
    for item in found.ranking:
        interval = f"{item.error_ratio:.2f} ({item.ci_low:.2f} to {item.ci_high:.2f})"
        own = item.scores
        a_distance, h_score = (
            "-" if value is None else f"{value:.2f}" for value in (own.a_distance, own.h_score)
        )
        say(
            f"{item.source:<32} {item.held_out_error:.4f} {interval:<21} {a_distance:>10} "
            f"{own.logme:>6.2f} {h_score:>8} {own.action_error:>18.4f}"
        )
    say(f"start from {found.chosen}: {found.reason}" if found.chosen else f"start from none: {found.reason}")
