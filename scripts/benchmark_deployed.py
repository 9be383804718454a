"""Sections `fifty_hertz` and `deployed` of scripts/benchmark_loop.py: the loop's rate, and what it costs."""

import contextlib
import dataclasses
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Literal

import benchmark_wire
import numpy as np

from policies import PolicyBundle
from simreal.check.statistics import t_interval
from simreal.deploy.run import deploy
from simreal.deploy.session import Session
from simreal.evaluate import episode_seeds, pack, run_episodes
from simreal.targets import parse_target

FAST_S = 0.02
_PAGE_KIB = 4
_SETTLED = 0.2  # of the time: caches and buffers are full by then


def fifty_hertz(
    bundle: PolicyBundle, seconds: float, name: Literal["quiet", "realtime", "busy"]
) -> dict[str, float]:
    """Run the loop at 50 Hz against a simulated robot in its own process, in real time.

    Args:
        bundle: Taken as one that was trained at 0.02 s: the rate is measured, not its success.
        seconds: For how long.
        name: `realtime` asks for SCHED_FIFO; `busy` runs beside a process that keeps a core busy.
    """
    manifest = dataclasses.replace(bundle.manifest, control_period_s=FAST_S)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "fast"
        PolicyBundle(bundle.policy, manifest).save(folder)
        neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if name == "busy" else None
        try:
            with _Memory() as memory:
                session = Session(folder, seconds=seconds, realtime=name == "realtime", confirmed=True)
                found = deploy(session, Path(scratch) / "out")
        finally:
            if neighbour is not None:
                neighbour.kill()
                neighbour.wait()
    keys = (
        "ticks",
        "late",
        "missed",
        "lateness_p50_ms",
        "lateness_p99_ms",
        "lateness_p99_9_ms",
        "lateness_max_ms",
    )
    figures = {f"{name}_{key}": float(found.timing[key]) for key in keys}
    return figures | {f"{name}_growth_kib": memory.growth_kib(seconds)}


def _served(robot: str) -> contextlib.AbstractContextManager[object]:
    """Run the robot that is reached over DDS; a simulated one comes with the loop."""
    return (
        benchmark_wire.served("--pacing", "lock-step") if robot == "ros2-server" else contextlib.nullcontext()
    )


class _Memory(threading.Thread):
    """Looks at this process's resident memory five times a second, while it is a context."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        # Made beforehand: a list would be part of the growth.
        self._seen = np.ones((100_000, 2))
        self._count = 0
        self._over = threading.Event()

    def __enter__(self) -> "_Memory":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.2):
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            self._seen[self._count] = time.monotonic(), pages * _PAGE_KIB
            self._count = min(self._count + 1, len(self._seen) - 1)

    def growth_kib(self, seconds: float) -> float:
        """Return how much the memory of the last tenth is above that of the first after settling, KiB.

        Only of the time in which the loop ran: the last seconds before the end write the dataset.
        """
        times, memory = self._seen[: self._count].T
        began = times[np.argmax(times > times[0] + 2.0)]  # opening the model comes first
        share = (times - began) / seconds
        early = memory[(share > _SETTLED) & (share < _SETTLED + 0.1)]
        late = memory[(share > 0.85) & (share < 0.95)]
        return float(np.median(late) - np.median(early))


def deployed(bundle: PolicyBundle, target: str, episodes: int, robot: str, name: str) -> dict[str, float]:
    """Compare success through the whole deployed path with `evaluate`'s, on the same episodes.

    The path: ONNX, safety filter, control loop, and the robot in its own process, over DDS for
    `ros2-server`, in lock-step.
    """
    world = parse_target(target, bundle.manifest.env_id)
    seeds = episode_seeds(0, episodes)
    wanted = [episode.success for episode in run_episodes(pack(bundle.policy), world, seeds)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "policy"
        bundle.save(folder)
        session = Session(
            folder, robot, domain=world.domain, pacing="lock-step", episodes=episodes, confirmed=True
        )
        with _served(robot):
            found = [bool(episode.success) for episode in deploy(session, Path(scratch) / "out").episodes]
    if len(found) != episodes:
        raise SystemExit(f"{name}: the loop stopped after {len(found)} of {episodes} episodes")
    differences = [float(a) - float(b) for a, b in zip(found, wanted, strict=True)]
    low, high = t_interval(differences)
    return {
        f"{name}_deployed": float(np.mean(found)),
        f"{name}_evaluated": float(np.mean(wanted)),
        f"{name}_difference": float(np.mean(differences)),
        f"{name}_low": low,
        f"{name}_high": high,
        f"{name}_changed_episodes": float(np.count_nonzero(differences)),
    }
