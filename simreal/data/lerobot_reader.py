"""Read a LeRobot dataset v3.0 from local disk, an episode at a time."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from simreal.data.episodes import Episode
from simreal.data.lerobot_writer import VERSION
from simreal.data.parquet_rows import EpisodeRows
from simreal.errors import SimrealError, nearest

_IMAGES = "observation.images."
_CURE = "convert it by simreal collect --from PATH"


class LeRobotDataset:
    """A dataset on disk; only the episode asked for is read."""

    def __init__(self, path: Path, camera: str | None = None) -> None:
        """Read the dataset's description.

        Args:
            path: The folder that holds `meta` and `data`.
            camera: Which camera, if it has several.

        Raises:
            SimrealError: naming the file and what is wrong with it.
        """
        self.path = path
        self.info = self._read_info()
        self.fps = float(self.info["fps"])
        self.image_key = self._pick_camera(camera)
        self._episodes = self._read_episodes()
        self.lengths: list[int] = [row["length"] for row in self._episodes]

    @property
    def proprio_names(self) -> tuple[str, ...]:
        """Return the meaning of each element of `proprio`."""
        return tuple(self.info["features"]["observation.state"]["names"])

    @property
    def action_names(self) -> tuple[str, ...]:
        """Return the meaning of each element of an action."""
        return tuple(self.info["features"]["action"]["names"])

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Return (H, W, 3)."""
        return tuple(self.info["features"][self.image_key]["shape"])

    @property
    def action_scale(self) -> tuple[float, ...]:
        """Return what an action of 1 is; () where nobody has said it."""
        return tuple(self.info.get("simreal", {}).get("action_scale", ()))

    @property
    def images_only(self) -> bool:
        """Return whether proprioception and actions are unknown."""
        return bool(self.info.get("simreal", {}).get("images_only", False))

    def __len__(self) -> int:
        return len(self._episodes)

    def __iter__(self) -> Iterator[Episode]:
        """Yield every episode, in one pass over the files."""
        rows, checked = EpisodeRows(self._columns()), ""
        for row in self._episodes:
            place = self._place(row)
            with _faults_of(self.path / place):
                if place != checked:
                    _check_columns(self.path / place, self._columns())
                    checked = place
                table = rows.read(self.path / place, row["episode_index"], row["length"])
            yield self._episode(table, row, place)

    def read_episode(self, index: int) -> Episode:
        """Return one episode.

        Raises:
            SimrealError: naming the file, and the column that is missing or wrong.
        """
        row = self._episodes[index]
        place, columns, number = self._place(row), self._columns(), row["episode_index"]
        with _faults_of(self.path / place):
            _check_columns(self.path / place, columns)
            filters = [("episode_index", "=", number)]
            table = pq.read_table(self.path / place, columns=columns, filters=filters)
        return self._episode(table, row, place)

    def _place(self, row: dict[str, Any]) -> str:
        return str(
            self.info["data_path"].format(
                chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
            )
        )

    def _episode(self, table: pa.Table, row: dict[str, Any], place: str) -> Episode:
        index = row["episode_index"]
        if len(table) != row["length"]:
            raise SimrealError(
                f"{self.path / place}: episode {index} has {len(table)} rows, "
                f"meta/episodes says {row['length']}"
            )
        try:
            return Episode(
                self._images(table),
                _vectors(table, "observation.state"),
                _vectors(table, "action"),
                _scalars(table, "next.reward"),
                _scalars(table, "timestamp"),
                bool(np.any(table["next.success"].to_numpy()))
                if "next.success" in table.column_names
                else False,
            )
        except SimrealError as error:
            raise SimrealError(f"{self.path / place}: episode {index}: {error}") from None

    def _read_info(self) -> dict[str, Any]:
        path = self.path / "meta" / "info.json"
        if not path.is_file():
            raise SimrealError(f"{path}: missing, so {self.path} is no LeRobot dataset")
        try:
            info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise SimrealError(f"{path}: truncated or damaged: it is not whole JSON") from None
        version = info.get("codebase_version")
        if version != VERSION:
            raise SimrealError(f"{path}: codebase_version: {version!r}; only {VERSION!r} is read: {_CURE}")
        for key in ("fps", "features", "data_path"):
            if key not in info:
                raise SimrealError(f"{path}: {key}: missing")
        for name in ("observation.state", "action"):
            if name not in info["features"]:
                raise SimrealError(f"{path}: features: {name}: missing; {nearest(name, info['features'])}")
        return info

    def _pick_camera(self, camera: str | None) -> str:
        keys = [key for key in self.info["features"] if key.startswith(_IMAGES)]
        wanted = [key for key in keys if camera is None or key == f"{_IMAGES}{camera}"]
        names = ", ".join(key.removeprefix(_IMAGES) for key in keys) or "none"
        if len(wanted) != 1:
            which = "one camera is needed" if camera is None else f"no camera {camera!r}"
            raise SimrealError(f"{self.path}/meta/info.json: features: {which}; there are: {names}")
        if self.info["features"][wanted[0]]["dtype"] != "image":
            where = f"{self.path}/meta/info.json: features: {wanted[0]}"
            raise SimrealError(f"{where}: stored as video; images are read: {_CURE}")
        return wanted[0]

    def _read_episodes(self) -> list[dict[str, Any]]:
        columns = ["episode_index", "length", "data/chunk_index", "data/file_index"]
        rows: list[dict[str, Any]] = []
        for path in sorted((self.path / "meta" / "episodes").glob("chunk-*/file-*.parquet")):
            with _faults_of(path):
                _check_columns(path, columns)
                rows += pq.read_table(path, columns=columns).to_pylist()
        if not rows:
            raise SimrealError(f"{self.path}/meta/episodes: no episodes")
        return sorted(rows, key=lambda row: row["episode_index"])

    def _columns(self) -> list[str]:
        columns = [self.image_key, "observation.state", "action", "timestamp", "episode_index"]
        return columns + [n for n in ("next.reward", "next.success") if n in self.info["features"]]

    def _images(self, table: pa.Table) -> NDArray[np.uint8]:
        shape = tuple(self.info["features"][self.image_key]["shape"])
        images = []
        for number, entry in enumerate(table[self.image_key].to_pylist()):
            data = np.frombuffer(entry["bytes"] or b"", np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
            if image is None:
                raise SimrealError(f"{self.image_key}: frame {number} is not a readable image")
            if image.shape != shape:
                raise SimrealError(f"{self.image_key}: frame {number} is {image.shape}, not {shape}")
            images.append(image[..., ::-1])
        return np.ascontiguousarray(images)


def _check_columns(path: Path, columns: list[str]) -> None:
    present = pq.read_schema(path).names
    for name in columns:
        if name not in present:
            raise SimrealError(f"{path}: column {name}: missing; {nearest(name, present)}")


@contextlib.contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    """Tell what is wrong with a file in the user's terms."""
    if not path.is_file():
        raise SimrealError(f"{path}: missing")
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise SimrealError(f"{path}: truncated or damaged: {' '.join(str(error).split())}") from None


def _vectors(table: pa.Table, name: str) -> NDArray[np.float32]:
    return np.array(table[name].to_pylist(), np.float32).reshape(len(table), -1)


def _scalars(table: pa.Table, name: str) -> NDArray[np.float32]:
    if name not in table.column_names:
        return np.zeros(len(table), np.float32)
    return table[name].to_numpy().astype(np.float32)
