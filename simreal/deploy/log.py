"""What a loop logs: every tick in parquet, and afterwards a LeRobot dataset v3.0 made of it.

Memory is bounded: ticks go into one of two buffers of fixed size; a full one, of `FLUSH_S` seconds, is
written by a thread as a file of its own while the other one fills. So a loop that is killed leaves all but
its last seconds readable: `ticks/part-*.parquet`, written whole or not at all. If the disk is slower than the
loop, ticks are dropped and counted. Transitions and ends of episodes are few: they are written at once, line
by line.
"""

import csv
import math
import queue
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from policies import BundleManifest
from simreal.deploy.braking import Array
from simreal.deploy.deciding import Choice
from simreal.deploy.robot_side import Seen
from simreal.deploy.safety import Filtered
from simreal.deploy.states import State, Transition

FLUSH_S = 5.0


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
        self.folder, self.dropped = folder, 0
        self.failure = ""
        """Why nothing can be written any more."""
        self._size = max(16, math.ceil(FLUSH_S / command_period_s))
        layout = _layout(manifest, joints)
        self._free: queue.Queue[NDArray[Any]] = queue.Queue()
        for _ in range(2):
            self._free.put(np.zeros(self._size, layout))
        self._full: queue.Queue[tuple[NDArray[Any], int] | None] = queue.Queue()
        self._buffer: NDArray[Any] | None = self._free.get()
        self._used, self._part = 0, 0
        (folder / "ticks").mkdir(parents=True)
        self._transitions = _lines(folder / "transitions.csv", "time_s,before,after,cause")
        self._episodes = _lines(folder / "episodes.csv", "episode,seed,steps,success,ended")
        self._thread = threading.Thread(target=self._write_parts, name="log", daemon=True)
        self._thread.start()

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
        if self._buffer is None:
            self._buffer = self._free.get_nowait() if not self._free.empty() else None
        if self._buffer is None:
            self.dropped += 1
            return
        row = self._buffer[self._used]
        for name, value in tick.row().items():
            row[name] = value
        self._used += 1
        if self._used == self._size:
            self._hand_over()

    def flush(self) -> None:
        """Have written what there is, as at the end of an episode; not if that would cost the next ticks."""
        if self._used and not self._free.empty():
            self._hand_over()

    def close(self) -> None:
        """Write what is left."""
        self._hand_over()
        self._full.put(None)
        self._thread.join()
        self._transitions.close()
        self._episodes.close()

    def _hand_over(self) -> None:
        if self._buffer is not None:
            self._full.put((self._buffer, self._used))
        self._buffer, self._used = None, 0

    def _write_parts(self) -> None:
        while (item := self._full.get()) is not None:
            buffer, count = item
            try:
                self._write_part(buffer[:count])
            except OSError as error:  # a full disk: the loop goes on, and what it drops is counted
                self.failure, self.dropped = str(error), self.dropped + count
            self._free.put(buffer)

    def _write_part(self, rows: NDArray[Any]) -> None:
        if len(rows):
            path = self.folder / "ticks" / f"part-{self._part:05d}.parquet"
            scratch = path.with_name(f".{path.name}")
            pq.write_table(_table(rows), scratch)
            scratch.replace(path)
            self._part += 1


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


def _table(rows: NDArray[Any]) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for name in rows.dtype.names or ():
        values = rows[name]
        if name == "image":
            pictures = [_png(row["image"]) if row["decided"] else None for row in rows]
            columns[name] = pa.array(pictures, pa.binary())
        elif values.ndim == 2:
            flat = pa.array(np.ascontiguousarray(values).ravel())
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        else:
            columns[name] = pa.array(np.ascontiguousarray(values))
    return pa.table(columns)


def _png(image: NDArray[np.uint8]) -> bytes | None:
    if image.size == 0:
        return None
    return bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
