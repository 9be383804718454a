"""Figures of the control loop: python scripts/benchmark_loop.py --policy BUNDLE.

Each section measures one part and names its figures; `--sections` picks some.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import benchmark_deployed
import benchmark_wire
import gymnasium
import numpy as np

import envs  # noqa: F401  registers the ids
from policies import Policy, PolicyBundle
from simreal.bundles import describe, load_bundle
from simreal.deploy.runtime import OnnxRuntime, Runtime, TorchRuntime
from simreal.exits import run_script
from simreal.export import export
from simreal.pretrain.architecture import student_config
from simreal.results import write_result

ENV_ID = "simreal/PandaReach-v0"
ROUNDS = 20  # both runtimes by turns, so that a busy moment of the machine meets both


@dataclass
class Options:
    """What to measure."""

    policy: Path | None = None
    """Bundle; an untrained one of the usual 64x64 architecture by default: as fast as a trained one."""
    decisions: int = 20_000
    """Of each runtime, in all rounds together."""
    seconds: float = 20.0
    """Of each of the four measurements over the wire."""
    trials: int = 100
    """Of killing the loop."""
    minutes: float = 10.0
    """At 50 Hz, with and without the real-time scheduler; a tenth of it beside a busy process."""
    adapted: Path | None = None
    """A bundle adapted to --target, for the section `deployed`."""
    target: str = "workshop"
    """Where `deployed` compares success."""
    robot: str = "ros2-server"
    """How `deployed` reaches its robot: over DDS, or `simulated`."""
    episodes: int = 300
    """Of each policy in `deployed`."""
    sections: tuple[str, ...] = ("inference",)
    json: Path | None = None
    """Write the figures there as JSON."""


def inference(options: Options) -> dict[str, float]:
    """Measure one decision in onnxruntime and in torch, one thread each: milliseconds and their ratio."""
    bundle = chosen(options)
    runtimes: dict[str, Runtime] = {"onnx": exported(bundle), "torch": TorchRuntime(bundle)}
    count = max(10, options.decisions // ROUNDS)
    rounds = [{name: durations(runtime, count) for name, runtime in runtimes.items()} for _ in range(ROUNDS)]
    figures: dict[str, float] = {}
    for name in runtimes:
        found = 1e3 * np.concatenate([part[name] for part in rounds])
        for label, quantile in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
            figures[f"{name}_{label}_ms"] = float(np.quantile(found, quantile))
    figures["torch_over_onnx"] = figures["torch_p50_ms"] / figures["onnx_p50_ms"]
    return figures


def durations(runtime: Runtime, count: int) -> np.ndarray:
    """Return the seconds (count,) that decisions took, after a few to warm up."""
    rng = np.random.default_rng(0)
    observation = {
        name: rng.integers(0, 256, shape).astype(np.uint8) if len(shape) == 3 else np.zeros(shape, np.float32)
        for name, shape in runtime.manifest.policy.observation_shapes.items()
    }
    found = np.zeros(count + 10)
    for index in range(len(found)):
        started = time.perf_counter()
        runtime.decide(observation)
        found[index] = time.perf_counter() - started
    return found[10:]


def untrained() -> PolicyBundle:
    """Return the bundle of a student that has learned nothing."""
    env = gymnasium.make(ENV_ID)
    return describe(Policy(student_config(env)).eval(), env, ENV_ID, "source", 0, {})


def chosen(options: Options) -> PolicyBundle:
    """Return the bundle that was asked for, or one that has learned nothing."""
    return load_bundle(options.policy) if options.policy else untrained()


def exported(bundle: PolicyBundle) -> OnnxRuntime:
    """Return a bundle as it is deployed."""
    with tempfile.TemporaryDirectory() as folder:
        return OnnxRuntime(export(bundle, Path(folder) / "policy.onnx", None, 0.01).model)


def wire(options: Options) -> dict[str, float]:
    """Measure the whole way of an observation and its command over DDS."""
    return benchmark_wire.wire(exported(chosen(options)), options.seconds)


def deadman(options: Options) -> dict[str, float]:
    """Measure how soon the robot holds when its loop is killed."""
    return benchmark_wire.deadman(options.trials)


def fifty_hertz(options: Options) -> dict[str, float]:
    """Measure how well 50 Hz are kept: alone, by the real-time scheduler, and beside a busy process."""
    bundle, seconds = chosen(options), 60 * options.minutes
    figures = benchmark_deployed.fifty_hertz(bundle, seconds, "quiet")
    print(figures, flush=True)  # ten minutes' work, and there is more to come
    figures |= benchmark_deployed.fifty_hertz(bundle, seconds, "realtime")
    print(figures, flush=True)
    return figures | benchmark_deployed.fifty_hertz(bundle, max(5.0, seconds / 10), "busy")


def deployed(options: Options) -> dict[str, float]:
    """Measure what the deployed path does to success, before and after adapting."""
    bundles = {"zero_shot": chosen(options)}
    if options.adapted:
        bundles["adapted"] = load_bundle(options.adapted)
    figures: dict[str, float] = {}
    for name, bundle in bundles.items():
        path = (bundle, options.target, options.episodes, options.robot, name)
        figures |= benchmark_deployed.deployed(*path)
    return figures


SECTIONS: dict[str, Callable[[Options], dict[str, float]]] = {
    "inference": inference,
    "wire": wire,
    "deadman": deadman,
    "fifty_hertz": fifty_hertz,
    "deployed": deployed,
}


def main(options: Options) -> None:
    """Measure, and print every figure."""
    started, figures = time.perf_counter(), dict[str, float]()
    for name in options.sections:
        figures |= SECTIONS[name](options)
    for name, value in figures.items():
        print(f"{name:<24} {value:.4g}")
    if options.json:
        seconds = time.perf_counter() - started
        write_result(options.json, "benchmark_loop", 0, seconds, benchmark=figures)


if __name__ == "__main__":
    run_script(main, Options)
