"""Write episodes as a LeRobot dataset v3.0: parquet with the images inside, as the field's tools read it.

Format: https://github.com/huggingface/lerobot, `lerobot/datasets`, codebase version v3.0.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from simreal.data.episodes import Episode
from simreal.errors import SimrealError
from simreal.files import atomic_folder, write_json

VERSION = "v3.0"
CHUNK_SIZE = 1000
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"
_FILE_MEGABYTES = 100
_SCALARS = {
    "next.reward": "float32", "next.done": "bool", "next.success": "bool", "timestamp": "float32",
    "frame_index": "int64", "episode_index": "int64", "index": "int64", "task_index": "int64",
}  # fmt: skip


@dataclass(frozen=True)
class DatasetNames:
    """What the numbers of a dataset mean."""

    proprio: tuple[str, ...]
    action: tuple[str, ...]
    task: str
    """An instruction in a sentence."""
    robot_type: str = "panda"
    camera: str = "main"
    action_scale: tuple[float, ...] = ()
    """What an action of 1 is, in the units of the names; () where nobody has said it."""
    images_only: bool = False
    """Whether proprioception and actions are unknown, and zeros stand for them."""


def write_dataset(
    path: Path,
    episodes: Iterable[Episode],
    fps: float,
    names: DatasetNames,
    overwrite: bool = False,
) -> Path:
    """Write episodes one after the other; memory holds one, and an interruption leaves no half.

    Args:
        path: The dataset's folder.
        episodes: At least one.
        fps: Frames a second.
        names: Of every element of proprioception and action.
        overwrite: Whether a dataset there may be replaced.

    Raises:
        SimrealError: if there is no episode, or the folder exists.
    """
    if path.exists() and not overwrite:
        raise SimrealError(f"{path} exists already: choose another folder or add --overwrite")
    with atomic_folder(path, overwrite) as folder:
        writer = _Writer(folder, fps, names)
        for episode in episodes:
            writer.add(episode)
        writer.finish()
    return path


class _Writer:
    """Appends episodes, one row group each, to parquet files of limited size."""

    def __init__(self, folder: Path, fps: float, names: DatasetNames) -> None:
        self._folder, self._fps, self._names = folder, fps, names
        self._image_key = f"observation.images.{names.camera}"
        self._file: pq.ParquetWriter | None = None
        self._file_index, self._file_bytes, self._frames = 0, 0, 0
        self._rows: list[dict[str, Any]] = []
        self._statistics: list[dict[str, dict[str, Any]]] = []
        self._shape: tuple[int, ...] = ()

    def add(self, episode: Episode) -> None:
        self._shape = self._shape or episode.images.shape[1:]
        if episode.images.shape[1:] != self._shape:
            raise SimrealError(
                f"{self._folder}: episode {len(self._rows)}: images of {episode.images.shape[1:]} "
                f"among images of {self._shape}"
            )
        pictures = [_png(image) for image in episode.images]
        table = self._table(episode, pictures)
        if self._file is not None and self._file_bytes > _FILE_MEGABYTES << 20:
            self._file.close()
            self._file, self._file_bytes = None, 0
            self._file_index += 1
        if self._file is None:
            place = DATA_PATH.format(**self._place())
            (self._folder / place).parent.mkdir(parents=True, exist_ok=True)
            self._file = pq.ParquetWriter(self._folder / place, table.schema)
        self._file.write_table(table)
        self._file_bytes += sum(map(len, pictures))
        self._note(episode)

    def finish(self) -> None:
        if self._file is None:
            raise SimrealError("no episode to write: a dataset needs at least one")
        self._file.close()
        meta = self._folder / "meta"
        (meta / "episodes" / "chunk-000").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(self._rows), self._folder / EPISODES_PATH)
        _write_tasks(meta / "tasks.parquet", self._names.task)
        write_json(meta / "stats.json", _merged(self._statistics))
        write_json(meta / "info.json", self._info())

    def _place(self) -> dict[str, int]:
        chunk, file = divmod(self._file_index, CHUNK_SIZE)
        return {"chunk_index": chunk, "file_index": file}

    def _columns(self, episode: Episode) -> dict[str, NDArray[Any]]:
        count, last = len(episode), np.arange(len(episode)) == len(episode) - 1
        return {
            "observation.state": episode.proprio,
            "action": episode.actions,
            "next.reward": episode.rewards,
            "next.done": last,
            "next.success": last & episode.success,
            "timestamp": episode.timestamps,
            "frame_index": np.arange(count),
            "episode_index": np.full(count, len(self._rows)),
            "index": self._frames + np.arange(count),
            "task_index": np.zeros(count, np.int64),
        }

    def _table(self, episode: Episode, pictures: list[bytes]) -> pa.Table:
        image = pa.array(
            [{"bytes": picture, "path": f"frame-{i:06d}.png"} for i, picture in enumerate(pictures)],
            pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        )
        arrays: dict[str, pa.Array] = {self._image_key: image}
        for name, values in self._columns(episode).items():
            kind = pa.type_for_alias(_SCALARS.get(name, "float32"))
            array = pa.array(values.ravel(), kind)
            # A feature of shape [1] is a plain column to LeRobot, not a list of one.
            several = values.ndim == 2 and values.shape[1] > 1
            arrays[name] = pa.FixedSizeListArray.from_arrays(array, values.shape[1]) if several else array
        return pa.table(arrays).replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": self._hugging_face_features()}})}
        )

    def _hugging_face_features(self) -> dict[str, Any]:
        """Return what the `datasets` library reads to decode images and fixed-size vectors."""
        features: dict[str, Any] = {self._image_key: {"_type": "Image"}}
        for name, size in (
            ("observation.state", len(self._names.proprio)),
            ("action", len(self._names.action)),
        ):
            value: dict[str, Any] = {"dtype": "float32", "_type": "Value"}
            vector = {"feature": value, "length": size, "_type": "Sequence"}
            features[name] = vector if size > 1 else value
        return features | {n: {"dtype": d, "_type": "Value"} for n, d in _SCALARS.items()}

    def _note(self, episode: Episode) -> None:
        count, place = len(episode), self._place()
        statistics = {name: _statistics(column) for name, column in self._columns(episode).items()}
        pixels = episode.images.reshape(-1, 3) / 255
        statistics[self._image_key] = {
            key: value if key == "count" else np.reshape(value, (3, 1, 1)).tolist()
            for key, value in _statistics(pixels).items()
        } | {"count": [count]}
        self._statistics.append(statistics)
        row = {
            "episode_index": len(self._rows),
            "tasks": [self._names.task],
            "length": count,
            "data/chunk_index": place["chunk_index"],
            "data/file_index": place["file_index"],
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + count,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        for name, entry in statistics.items():
            row |= {f"stats/{name}/{key}": value for key, value in entry.items()}
        self._rows.append(row)
        self._frames += count

    def _info(self) -> dict[str, Any]:
        def vector(names: tuple[str, ...]) -> dict[str, Any]:
            return {"dtype": "float32", "shape": [len(names)], "names": list(names)}

        features: dict[str, Any] = {
            self._image_key: {
                "dtype": "image",
                "shape": list(self._shape),
                "names": ["height", "width", "channels"],
            },
            "observation.state": vector(self._names.proprio),
            "action": vector(self._names.action),
        }
        features |= {n: {"dtype": d, "shape": [1], "names": None} for n, d in _SCALARS.items()}
        return {
            "codebase_version": VERSION,
            "robot_type": self._names.robot_type,
            "total_episodes": len(self._rows),
            "total_frames": self._frames,
            "total_tasks": 1,
            "chunks_size": CHUNK_SIZE,
            "data_files_size_in_mb": _FILE_MEGABYTES,
            "video_files_size_in_mb": 500,
            "fps": self._fps if self._fps != round(self._fps) else round(self._fps),
            "splits": {"train": f"0:{len(self._rows)}"},
            "data_path": DATA_PATH,
            "video_path": None,
            "features": features,
            "simreal": {
                "action_scale": list(self._names.action_scale),
                "images_only": self._names.images_only,
            },
        }


def _png(image: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".png", image[..., ::-1])  # OpenCV counts channels as BGR
    if not done:
        raise SimrealError(f"an image of shape {image.shape} cannot be written as PNG")
    return bytes(data.tobytes())


def _statistics(column: NDArray[Any]) -> dict[str, Any]:
    values = column.reshape(len(column), -1).astype(np.float64)
    return {
        "min": values.min(axis=0).tolist(),
        "max": values.max(axis=0).tolist(),
        "mean": values.mean(axis=0).tolist(),
        "std": values.std(axis=0).tolist(),
        "count": [len(values)],
    }


def _merged(parts: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Combine the statistics of episodes (parallel variance, Chan et al. 1979)."""
    merged = {}
    for name in parts[0]:
        arrays = {key: np.array([part[name][key] for part in parts]) for key in parts[0][name]}
        counts = arrays["count"].reshape(-1, *[1] * (arrays["mean"].ndim - 1))
        mean = (arrays["mean"] * counts).sum(axis=0) / counts.sum()
        variance = ((arrays["std"] ** 2 + (arrays["mean"] - mean) ** 2) * counts).sum(axis=0) / counts.sum()
        merged[name] = {
            "min": arrays["min"].min(axis=0).tolist(),
            "max": arrays["max"].max(axis=0).tolist(),
            "mean": mean.tolist(),
            "std": np.sqrt(variance).tolist(),
            "count": [int(counts.sum())],
        }
    return merged


def _write_tasks(path: Path, task: str) -> None:
    """Write the table of tasks as pandas would, with the task as its index."""
    table = pa.table({"task_index": pa.array([0], pa.int64()), "task": [task]})
    column = {
        "field_name": "task",
        "name": "task",
        "numpy_type": "object",
        "pandas_type": "unicode",
        "metadata": None,
    }
    number = {
        "field_name": "task_index",
        "name": "task_index",
        "numpy_type": "int64",
        "pandas_type": "int64",
        "metadata": None,
    }
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [number, column],
        "pandas_version": "2.0.0",
    }
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), path)
