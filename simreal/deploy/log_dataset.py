"""From the ticks that a loop logged to a LeRobot dataset v3.0, also after the loop was killed."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from policies import BundleManifest
from simreal.data.episodes import Episode
from simreal.data.lerobot_writer import DatasetNames, write_dataset

MOST_FRAMES = 1000  # of an episode of the dataset: a longer one is cut, so that memory stays bounded


def write_log_dataset(
    folder: Path, manifest: BundleManifest, task: str, robot: str, camera: str = "main"
) -> Path | None:
    """Write `folder/dataset` from `folder/ticks`: every decision that was acted on, with what was seen.

    Args:
        folder: What `Log` wrote.
        manifest: Of the policy that ran.
        task: An instruction in a sentence.
        robot: The robot's type.
        camera: Name of the camera.

    Returns:
        The dataset; None if there was no decision, or nothing but vectors was seen.
    """
    specs = {spec.name: spec for spec in manifest.observations}
    first = next(decisions(folder), None)
    if first is None or first["image"] is None:
        return None
    names = DatasetNames(
        specs["proprio"].order, manifest.action.order, task, robot, camera, manifest.action.scale
    )
    fps = 1 / manifest.control_period_s
    return write_dataset(folder / "dataset", _episodes(folder, fps), fps, names)


def tick_files(folder: Path) -> list[Path]:
    """Return the parts of a log that were written, in order."""
    return sorted((folder / "ticks").glob("part-*.parquet"))


def decisions(folder: Path, more: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Yield the ticks of a log in which the policy decided, with these columns and more."""
    columns = ["episode", "decided", "action", "proprio", "image", *more]
    for path in tick_files(folder):
        table = pq.read_table(path, columns=columns)
        yield from table.filter(pc.field("decided")).to_pylist()


def _episodes(folder: Path, fps: float) -> Iterator[Episode]:
    """Yield the episodes of a log; one is in memory at a time."""
    succeeded = _successes(folder)
    rows: list[dict[str, Any]] = []
    for row in decisions(folder):
        if rows and row["episode"] != rows[0]["episode"]:
            yield episode_of(rows, fps, succeeded.get(rows[0]["episode"], False))
            rows = []
        elif len(rows) == MOST_FRAMES:
            yield episode_of(rows, fps, False)
            rows = []
        rows.append(row)
    if rows:
        yield episode_of(rows, fps, succeeded.get(rows[0]["episode"], False))


def episode_of(rows: list[dict[str, Any]], fps: float, success: bool) -> Episode:
    """Return the episode that these ticks make."""
    rewards = np.zeros(len(rows), np.float32)
    rewards[-1] = success
    return Episode(
        images=np.stack([rgb(row["image"]) for row in rows]),
        proprio=np.array([row["proprio"] for row in rows], np.float32),
        actions=np.array([row["action"] for row in rows], np.float32),
        rewards=rewards,
        timestamps=(np.arange(len(rows)) / fps).astype(np.float32),
        success=success,
    )


def rgb(png: bytes) -> NDArray[np.uint8]:
    """Return the image (H, W, 3) that a tick holds."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(image)[..., ::-1], np.uint8)


def _successes(folder: Path) -> dict[int, bool]:
    path = folder / "episodes.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {int(row["episode"]): row["success"] == "True" for row in csv.DictReader(file)}
