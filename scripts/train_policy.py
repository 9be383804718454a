"""Train a policy in randomized worlds: python scripts/train_policy.py --out runs/train."""

import time
from dataclasses import dataclass
from pathlib import Path

from simreal.exits import run_script
from simreal.presets import PRESETS, Preset
from simreal.pretrain import PretrainConfig, run
from simreal.results import write_result


@dataclass
class Options:
    """Train a source policy."""

    out: Path = Path("runs/train")
    preset: Preset = "default"
    seed: int = 0
    json: Path | None = None
    """Write the result there as JSON."""


def main(options: Options) -> None:
    """Train, and tell where the bundle is."""
    started, sizes = time.perf_counter(), PRESETS[options.preset]
    config = PretrainConfig(teacher=sizes.teacher, distill=sizes.distill, rl=sizes.rl)
    result = run(config, options.out, options.seed, resume=True)
    print(f"policy: {result.policy}   expert for simulated targets: {result.teacher}")
    if options.json:
        seconds = time.perf_counter() - started
        write_result(options.json, "train_policy", options.seed, seconds, policy=result.policy)


if __name__ == "__main__":
    run_script(main, Options)
