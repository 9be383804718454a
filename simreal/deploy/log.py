"""What a loop logs: every tick in parquet, and afterwards a LeRobot dataset v3.0 made of it.

Memory is bounded: ticks go into one of two buffers of fixed size; a full one, of `FLUSH_S` seconds, is
written by another process as a file of its own while the other one fills: `ticks/part-*.parquet`, whole or
not at all. A loop that is killed leaves its last ticks to that process; if that is killed too, all but the
last seconds can be read. If the disk is slower than the loop, ticks are dropped and counted. Transitions and
ends of episodes are few: they are written at once, line by line.
"""

import contextlib
import csv
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from policies import BundleManifest
from simreal.deploy.braking import Array
from simreal.deploy.deciding import Choice
from simreal.deploy.log_process import Buffers
from simreal.deploy.robot_side import Seen
from simreal.deploy.safety import Filtered
from simreal.deploy.states import State, Transition
from simreal.errors import SimrealError

FLUSH_S = 5.0
_LAST_S = 60.0  # for the last buffers; a second is enough, unless the disk hangs


@dataclass(frozen=True, eq=False)
class Tick:
    """One command period."""

    time_s: float
    """Monotonic clock, when the command had been sent."""
    lateness_s: float
    work_s: float
    """From the tick's begin until then."""
    episode: int
    step: int
    """Decisions of this episode so far."""
    state: State
    seen: Seen
    choice: Choice | None
    """What the policy decided in this tick; only then are action, proprio and image logged."""
    commanded_rad: Array
    """What was wanted; NaN if nothing."""
    filtered: Filtered
    sent_rad: Array
    """What the robot says it was sent."""

    def row(self) -> dict[str, Any]:
        """Return the columns of the log."""
        seen, choice = self.seen, self.choice
        own = ("time_s", "lateness_s", "work_s", "episode", "step", "state", "commanded_rad", "sent_rad")
        return {name: getattr(self, name) for name in own} | {
            "age_s": self.time_s - seen.time_s,
            "width_m": seen.width_m,
            "observed_rad": seen.joints_rad,
            "filtered_rad": self.filtered.sent,
            "changed": ",".join(self.filtered.changed),
            "decided": choice is not None,
            "drift": np.nan if choice is None else choice.drift,
            "action": np.nan if choice is None else choice.action,
            "proprio": seen.policy["proprio"],
            "image": seen.policy.get("image", 0),
        }


@dataclass(frozen=True)
class Episode:
    """How an episode of a loop ended."""

    index: int
    steps: int
    """Decisions."""
    ended: str
    success: bool | None = None
    """None where nobody can tell."""
    seed: int | None = None


def _layout(manifest: BundleManifest, joints: int) -> np.dtype[Any]:
    numbers = ("time_s", "lateness_s", "work_s", "age_s", "width_m", "drift")
    vectors = ("commanded_rad", "filtered_rad", "sent_rad", "observed_rad")
    proprio = next((spec.shape for spec in manifest.observations if spec.name == "proprio"), (0,))
    image = manifest.policy.observation_shapes.get("image", (0, 0, 3))
    return np.dtype([
        *((name, np.float64) for name in numbers),
        *((name, np.float64, (joints,)) for name in vectors),
        ("episode", np.int64), ("step", np.int64), ("decided", np.bool_),
        ("state", "U8"), ("changed", "U96"), ("action", np.float64, manifest.action.shape),
        ("proprio", np.float32, proprio), ("image", np.uint8, image),
    ])  # fmt: skip


class Log:
    """Writes ticks and transitions of one loop into a folder."""

    def __init__(self, folder: Path, manifest: BundleManifest, joints: int, command_period_s: float) -> None:
        self.folder, self._dropped = folder, 0
        self._size = max(16, math.ceil(FLUSH_S / command_period_s))
        (folder / "ticks").mkdir(parents=True)
        self._transitions = _lines(folder / "transitions.csv", "time_s,before,after,cause")
        self._episodes = _lines(folder / "episodes.csv", "episode,seed,steps,success,ended")
        self._open(_layout(manifest, joints))
        self._index = 0

    @property
    def dropped(self) -> int:
        """Return how many ticks are not in the log: the disk was too slow, or full."""
        return self._dropped + int(self._buffers.lost[0])

    @property
    def process_id(self) -> int:
        """Return the id of the process that writes."""
        return self._process.pid

    def transition(self, change: Transition) -> None:
        """Log a change of state, at once."""
        csv.writer(self._transitions).writerow(
            [f"{change.time_s:.6f}", change.before, change.after, change.cause]
        )

    def episode(self, outcome: Episode) -> None:
        """Log the end of an episode, at once."""
        csv.writer(self._episodes).writerow(
            [outcome.index, outcome.seed, outcome.steps, outcome.success, outcome.ended]
        )

    def add(self, tick: Tick) -> None:
        """Log a tick; never waits for the disk."""
        buffers = self._buffers
        if buffers.full[self._index]:
            self._dropped += 1
            return
        used = int(buffers.used[self._index])
        row = buffers.rows[self._index, used]
        for name, value in tick.row().items():
            row[name] = value
        buffers.used[self._index] = used + 1
        if used + 1 == self._size:
            self._hand_over()

    def flush(self) -> None:
        """Have written what there is, as at the end of an episode; not if that would cost the next ticks."""
        if self._buffers.used[self._index] and not self._buffers.full[1 - self._index]:
            self._hand_over()

    def close(self) -> None:
        """Write what is left."""
        try:
            self._process.communicate(timeout=_LAST_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._dropped += int(self._buffers.used.sum())  # by nobody any more
        self._buffers.used[:] = 0
        self._transitions.close()
        self._episodes.close()

    def _hand_over(self) -> None:
        self._buffers.full[self._index] = True
        self._index = 1 - self._index
        with contextlib.suppress(BrokenPipeError):  # a writer that was killed: the loop goes on
            os.write(self._input, b"+")

    def _open(self, layout: np.dtype[Any]) -> None:
        """Start the process that writes."""
        memory = Path("/dev/shm")  # where there is none, a file will do
        descriptor, path = tempfile.mkstemp(".log", "simreal-", memory if memory.is_dir() else None)
        os.truncate(descriptor, Buffers.size_of(layout, self._size))
        os.close(descriptor)
        self._buffers = Buffers(Path(path), layout, self._size)
        fields = json.dumps(
            [(name, layout[name].base.str, layout[name].shape) for name in layout.names or ()]
        )
        command = [sys.executable, "-m", "simreal.deploy.log_process", path, str(self.folder / "ticks")]
        self._process = subprocess.Popen(
            [*command, fields, str(self._size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            # Ctrl-C is for the loop to handle. Not a session of its own, in which `nice` would not count.
            process_group=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin.fileno()
        os.set_blocking(self._input, False)
        if self._process.stdout.readline() != b"ready\n":  # before anything moves: it takes part of a second
            raise SimrealError(f"{self.folder}: the process that writes the log did not start")


def clear_log(folder: Path) -> None:
    """Remove an earlier log, and nothing else."""
    for name in ("ticks", "dataset"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("transitions.csv", "episodes.csv"):
        (folder / name).unlink(missing_ok=True)


def _lines(path: Path, head: str) -> TextIO:
    file = path.open("w", encoding="utf-8", buffering=1, newline="")
    file.write(f"{head}\n")
    return file
