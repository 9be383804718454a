"""Evaluate a policy on shifted worlds: python scripts/evaluate_shifts.py --policy runs/train/policy."""

import time
from dataclasses import dataclass
from pathlib import Path

from simreal.bundles import load_bundle
from simreal.evaluate import evaluate
from simreal.exits import run_script
from simreal.presets import PRESETS, Preset
from simreal.results import write_result
from simreal.targets import parse_target


@dataclass
class Options:
    """Evaluate a bundle at several severities of one domain."""

    policy: Path = Path("runs/train/policy")
    domain: str = "camera-shift"
    severities: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    preset: Preset = "default"
    seed: int = 0
    json: Path | None = None
    """Write the result there as JSON."""


def main(options: Options) -> None:
    """Evaluate, and print success by severity."""
    started, bundle = time.perf_counter(), load_bundle(options.policy)
    names = [f"{options.domain}@{severity}" for severity in options.severities]
    targets = [parse_target(name, bundle.manifest.env_id) for name in names]
    episodes = PRESETS[options.preset].evaluation_episodes
    rows = evaluate({"zero-shot": bundle.policy}, targets, episodes, options.seed)
    for row in rows:
        print(f"severity {row.severity}: {row.success_rate:.2f} ({row.ci_low:.2f} to {row.ci_high:.2f})")
    if options.json:
        seconds = time.perf_counter() - started
        write_result(options.json, "evaluate_shifts", options.seed, seconds, evaluation=rows)


if __name__ == "__main__":
    run_script(main, Options)
