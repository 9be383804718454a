"""What `meta` of a LeRobot dataset says: how it is laid out, and where every episode is.

v2.1 has a file an episode: `data/chunk-000/episode_000000.parquet`, `meta/episodes.jsonl`, and videos as
`videos/chunk-000/KEY/episode_000000.mp4`. v3.0 has many episodes a file: `meta/episodes/*/*.parquet` says
which rows, and from which second of which video. Layout: https://github.com/huggingface/lerobot,
`lerobot/datasets`, and its `convert_dataset_v21_to_v30.py`.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from simreal.errors import SimrealError

Row = dict[str, Any]
_USUAL_PATHS = {
    "v2.1": {
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    },
    "v3.0": {
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    },
}


class LeRobotMeta:
    """The description of a dataset."""

    def __init__(self, path: Path) -> None:
        """Read `meta/info.json`.

        Args:
            path: The dataset's folder.

        Raises:
            SimrealError: naming the key that is missing or wrong, and what would be right.
        """
        self.path, self.info_path = path, path / "meta" / "info.json"
        self._info = self._read_info()
        self.version = str(self._info["codebase_version"])
        self.features: dict[str, Any] = self._info["features"]
        fps = self._info["fps"]
        if isinstance(fps, bool) or not isinstance(fps, int | float) or fps <= 0:
            raise SimrealError(f"{self.info_path}: fps: {fps!r}; takes frames per second, above 0")
        self.fps = float(fps)

    def is_video(self, camera: str) -> bool:
        """Tell whether a camera's images are in video files."""
        return bool(self.features[camera]["dtype"] == "video")

    def data_file(self, row: Row) -> Path:
        """Return the file that an episode's numbers are in."""
        return self._place("data_path", row, "", "data")

    def video_file(self, row: Row, camera: str) -> Path:
        """Return the file that an episode's images are in."""
        return self._place("video_path", row, camera, f"videos/{camera}")

    def video_start(self, row: Row, camera: str) -> tuple[int, int]:
        """Return the number of an episode's first frame in its video, and how many are its own."""
        if self.version == "v2.1":
            return 0, row["length"]
        first, last = (row[f"videos/{camera}/{end}_timestamp"] * self.fps for end in ("from", "to"))
        return round(first), round(last) - round(first)

    def episodes(self, camera: str, notes: list[str]) -> list[Row]:
        """Return a row for every episode, in their order.

        Args:
            camera: Whose images are wanted.
            notes: What was left out is added.

        Raises:
            SimrealError: if there are none, or they do not say where an episode is.
        """
        if self.version == "v2.1":
            return _lines(self.path / "meta" / "episodes.jsonl", notes)
        folder = self.path / "meta" / "episodes"
        paths = sorted(folder.glob("chunk-*/file-*.parquet"))
        if not paths:
            raise SimrealError(f"{folder}: no episodes: takes chunk-000/file-000.parquet and so on")
        columns = ["episode_index", "length", "data/chunk_index", "data/file_index"]
        if self.is_video(camera):
            ends = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
            columns += [f"videos/{camera}/{end}" for end in ends]
        rows: list[Row] = []
        for path in paths:
            try:
                names = pq.read_schema(path).names
                if missing := next((name for name in columns if name not in names), None):
                    raise SimrealError(f"{path}: no {missing!r}, which says where an episode is")
                rows += pq.read_table(path, columns=columns).to_pylist()
            except (pa.ArrowInvalid, OSError) as error:
                notes.append(f"{path} left out: {' '.join(str(error).split())}")
        return sorted(rows, key=lambda row: row["episode_index"])

    def _place(self, key: str, row: Row, camera: str, kind: str) -> Path:
        index = row["episode_index"]
        template: Any = self._info.get(key)
        try:
            return self.path / template.format(
                episode_index=index,
                episode_chunk=index // self._info.get("chunks_size", 1000),
                video_key=camera,
                chunk_index=row.get(f"{kind}/chunk_index", 0),
                file_index=row.get(f"{kind}/file_index", 0),
            )
        except (AttributeError, KeyError, IndexError, ValueError):
            usual = _USUAL_PATHS[self.version][key]
            raise SimrealError(f"{self.info_path}: {key}: {template!r}; usual is {usual!r}") from None

    def _read_info(self) -> dict[str, Any]:
        try:
            info: dict[str, Any] = json.loads(self.info_path.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError, UnicodeDecodeError):
            raise SimrealError(
                f"{self.info_path}: missing, cut off or damaged: it is not whole JSON"
            ) from None
        version = info.get("codebase_version")
        if version not in _USUAL_PATHS:
            raise SimrealError(
                f"{self.info_path}: codebase_version: {version!r}; read are {', '.join(_USUAL_PATHS)}"
            )
        for key in ("fps", "features", "data_path"):
            if key not in info:
                raise SimrealError(f"{self.info_path}: {key}: missing")
        return info


def _lines(path: Path, notes: list[str]) -> list[Row]:
    if not path.is_file():
        raise SimrealError(f"{path}: missing")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            rows.append({"episode_index": row["episode_index"], "length": row["length"]})
        except (json.JSONDecodeError, KeyError, TypeError):
            notes.append(f"{path}: line {number} is cut off: what it and later lines tell is left out")
            break
    return rows
