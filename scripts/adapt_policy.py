"""Adapt a policy to a target with a few demonstrations: python scripts/adapt_policy.py --run runs/train."""

import time
from dataclasses import dataclass
from pathlib import Path

from simreal.adapt import Given, adapt
from simreal.bundles import load_bundle
from simreal.collect import collect
from simreal.data.lerobot_reader import LeRobotDataset
from simreal.evaluate import evaluate
from simreal.exits import run_script
from simreal.presets import PRESETS, Preset
from simreal.results import write_result
from simreal.targets import parse_target


@dataclass
class Options:
    """Record demonstrations of a target, adapt to them, and compare before and after."""

    run: Path = Path("runs/train")
    """A pretraining run."""
    out: Path = Path("runs/adapt")
    target: str = "workshop"
    method: str = "cotrain"
    preset: Preset = "default"
    seed: int = 0
    json: Path | None = None
    """Write the result there as JSON."""


def main(options: Options) -> None:
    """Collect, adapt, evaluate."""
    started, sizes = time.perf_counter(), PRESETS[options.preset]
    source, expert = load_bundle(options.run / "policy"), load_bundle(options.run / "teacher")
    target = parse_target(options.target, source.manifest.env_id)
    demos = options.out / "dataset"
    collect(expert, target, sizes.demos, options.seed, demos, overwrite=True)
    given = Given(demonstrations=LeRobotDataset(demos), source=options.run, updates=sizes.updates)
    adapted = adapt(source, options.method, given, options.seed)
    adapted.save(options.out / "policy", overwrite=True)
    policies = {"zero-shot": source.policy, options.method: adapted.policy}
    rows = evaluate(policies, [target], sizes.evaluation_episodes, options.seed)
    for row in rows:
        print(f"{row.policy}: {row.success_rate:.2f} ({row.ci_low:.2f} to {row.ci_high:.2f})")
    if options.json:
        seconds = time.perf_counter() - started
        write_result(options.json, "adapt_policy", options.seed, seconds, evaluation=rows)


if __name__ == "__main__":
    run_script(main, Options)
