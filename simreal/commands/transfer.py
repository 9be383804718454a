"""`collect`, `adapt`, `methods`: target data, and what is made of it."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies import PolicyBundle
from simreal import adapt as adapting
from simreal.bundles import load_bundle
from simreal.collect import collect
from simreal.commands.common import Common
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.errors import SimrealError
from simreal.progress import say
from simreal.targets import parse_target
from simreal.transfer import METHODS, method


@dataclass(frozen=True)
class Collect(Common):
    """Demonstrations from a target, as a LeRobot dataset v3.0 in OUT/dataset."""

    policy: Path = Path("runs/run/teacher")
    """Bundle of the expert; in a simulated target the teacher of a pretraining."""
    target: str = "workshop"
    """A domain, `domain@severity`, or a domain file."""
    demos: int = 10
    """Successful demonstrations to record."""

    def work(self) -> dict[str, Any]:
        """Record."""
        bundle = load_bundle(self.policy)
        target = parse_target(self.target, bundle.manifest.env_id)
        path = self.folder() / "dataset"
        frames = collect(bundle, target, self.demos, self.seed, path, self.overwrite)
        say(f"{self.demos} demonstrations, {frames} frames: {path}")
        return {"dataset": path, "demonstrations": self.demos, "frames": frames}


@dataclass(frozen=True)
class Adapt(Common):
    """Bundle + target data + method -> adapted bundle in OUT/policy."""

    policy: Path = Path("runs/run/policy")
    """Bundle to adapt; it is never changed."""
    demos: str = "10"
    """A LeRobot dataset with demonstrations of the target, or how many to record in a simulated one."""
    target: str = "workshop"
    """Where they are recorded, if --demos is a number."""
    teacher: Path = Path("runs/run/teacher")
    """Bundle of the expert that records them."""
    method: str = "cotrain"
    """Transfer method; see `simreal methods`."""
    source: Path | None = None
    """Pretraining run whose source data a method needs."""

    def work(self) -> dict[str, Any]:
        """Adapt."""
        if "source data" in method(self.method).needs and self.source is None:
            raise SimrealError(f"method {self.method!r} needs source data: give --source RUN")
        bundle, path = load_bundle(self.policy), self.folder() / "policy"
        if path.resolve() == self.policy.resolve():
            raise SimrealError(f"{path} is the bundle being adapted: choose another --out")
        dataset = LeRobotDataset(self._demonstrations(bundle))
        started = time.perf_counter()
        adapted = adapting.adapt(bundle, self.method, dataset, self.source, self.seed)
        adapted.save(path, overwrite=self.overwrite)
        say(f"adapted bundle: {path}")
        seconds = time.perf_counter() - started
        return {"policy": path, "method": self.method, "adapt_seconds": round(seconds, 3)}

    def _demonstrations(self, bundle: PolicyBundle) -> Path:
        """Return the dataset to adapt to, recorded now if only their number was given."""
        if not self.demos.isdecimal():
            return Path(self.demos)
        path = self.folder() / "dataset"
        target = parse_target(self.target, bundle.manifest.env_id)
        collect(load_bundle(self.teacher), target, int(self.demos), self.seed, path, self.overwrite)
        return path


@dataclass(frozen=True)
class Methods(Common):
    """The transfer methods: what each needs and adapts."""

    def execute(self) -> None:
        """Print a table, or JSON."""
        import json

        rows = [
            {
                "id": item.id,
                "family": item.family,
                "setting": item.setting,
                "needs": list(item.needs),
                "adapts": item.adapts,
                "paper": item.paper,
            }
            for item in METHODS.values()
        ]
        if self.json:
            print(json.dumps(rows, indent=1))
            return
        for row in rows:
            needs, adapts = " + ".join(row["needs"]), row["adapts"]
            print(f"{row['id']:<12} {row['setting']:<12} {needs:<30} {adapts:<18} {row['paper']}")
