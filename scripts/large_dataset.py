"""Adapt to a dataset that is larger than the memory the adaptation takes, and measure that memory."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import numpy as np

import envs  # noqa: F401  registers the ids
from policies import Policy, PolicyBundle
from simreal.bundles import describe
from simreal.data.episodes import Episode
from simreal.data.lerobot_writer import DatasetNames, write_dataset
from simreal.exits import run_script
from simreal.presets import Preset
from simreal.pretrain.architecture import student_config
from simreal.results import write_result

FRAMES = 250  # of an episode
SIZE = (64, 64, 3)
# Linux tells the most memory that a process ever held, pages of mapped files included.
ADAPT = """
import sys
from simreal.cli import main
code = main(sys.argv[1:])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(code)
"""


@dataclass
class Options:
    """Write a dataset of noise, which PNG cannot make smaller, and adapt an untrained policy to it."""

    gigabytes: float = 2.0
    """Of the dataset on disk."""
    method: str = "finetune"
    """One that needs demonstrations alone."""
    preset: Preset = "default"
    """How many updates."""
    out: Path = Path("runs/large")
    """Folder for the dataset, which is removed afterwards."""
    json: Path | None = None
    """Write the figures there as JSON."""


def episodes(count: int) -> Iterator[Episode]:
    """Yield episodes of noise."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield Episode(
            rng.integers(0, 256, (FRAMES, *SIZE), dtype=np.uint8),
            rng.normal(size=(FRAMES, 11)).astype(np.float32),
            rng.uniform(-1, 1, (FRAMES, 3)).astype(np.float32),
            np.zeros(FRAMES, np.float32),
            (np.arange(FRAMES) / 20).astype(np.float32),
            True,
        )


def untrained() -> PolicyBundle:
    """Return a bundle of an untrained policy."""
    with gymnasium.make("simreal/PandaReach-v0", privileged=True) as env:
        return describe(Policy(student_config(env)), env, "simreal/PandaReach-v0", "source", 0, {})


def main(options: Options) -> None:
    """Write, adapt in a process of its own, measure, remove."""
    started = time.perf_counter()
    bundle = untrained()
    proprio = next(spec for spec in bundle.manifest.observations if spec.name == "proprio")
    names = DatasetNames(proprio.order, bundle.manifest.action.order, "noise")
    policy = bundle.save(options.out / "policy", overwrite=True)
    count = max(1, round(options.gigabytes * 1e9 / (FRAMES * np.prod(SIZE))))
    dataset = write_dataset(options.out / "dataset", episodes(count), 20, names, overwrite=True)
    size = sum(file.stat().st_size for file in dataset.rglob("*") if file.is_file())
    adapted = ["--out", str(options.out / "adapted"), "--preset", options.preset, "--overwrite", "--quiet"]
    arguments = ["adapt", "--policy", str(policy), "--demos", str(dataset), "--method", options.method]
    command = [sys.executable, "-c", ADAPT, *arguments, *adapted]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    shutil.rmtree(dataset)
    if done.returncode:
        sys.exit(done.stderr)
    figures = {
        "dataset_bytes": size,
        "frames": count * FRAMES,
        "peak_resident_bytes": int(done.stdout.split()[-1]) * 1024,
        "adapt_seconds": round(time.perf_counter() - begun, 1),
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    if options.json:
        write_result(options.json, "benchmark", 0, time.perf_counter() - started, benchmark=figures)


if __name__ == "__main__":
    run_script(main, Options)
