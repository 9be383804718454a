"""A LeRobot dataset, v2.1 or v3.0, on local disk.

v2.1 has a file an episode: `data/chunk-000/episode_000000.parquet`, `meta/episodes.jsonl`, and videos as
`videos/chunk-000/KEY/episode_000000.mp4`. v3.0 has many episodes a file: `meta/episodes/*/*.parquet` says
which rows, and from which second of which video. Layout: https://github.com/huggingface/lerobot,
`lerobot/datasets`, and its `convert_dataset_v21_to_v30.py`.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from policies import BundleManifest
from simreal.data.episodes import Episode
from simreal.data.importing.mapping import Element, Vector
from simreal.data.importing.pictures import decode
from simreal.data.importing.rules import MOST_FRAMES, CutOffError, Rules, check_rate
from simreal.data.importing.videos import Videos
from simreal.data.parquet_rows import EpisodeRows
from simreal.errors import SimrealError, nearest

_VERSIONS = ("v2.1", "v3.0")
_USUAL = {"proprio": "observation.state", "action": "action"}


class LeRobotSource:
    """Reads one episode after the other."""

    def __init__(self, path: Path, mapping: Path | None, manifest: BundleManifest) -> None:
        """Read the description.

        Args:
            path: The folder that holds `meta` and `data`.
            mapping: YAML, or None.
            manifest: Of the policy that the data is for.

        Raises:
            SimrealError: if it is none, or the mapping names what it has not.
        """
        self.path, self._info_path = path, path / "meta" / "info.json"
        self.notes: list[str] = []
        self.info = self._read_info()
        self._features: dict[str, Any] = self.info["features"]
        cameras = [name for name, feature in self._features.items() if feature["dtype"] in ("image", "video")]
        usual = _USUAL | ({"image": cameras[0]} if len(cameras) == 1 else {})
        self.rules = self._completed(Rules.read(mapping, manifest, usual))
        camera = self.rules.mapping.camera
        if camera is None or camera not in cameras:
            near = nearest(str(camera), cameras)
            raise SimrealError(f"{self.rules.mapping.path}: image: from: {camera!r}; {near}")
        self._camera = camera
        self._reader = EpisodeRows(self._columns())
        check_rate(f"{self._info_path}: fps", float(self.info["fps"]), manifest)

    def episodes(self) -> Iterator[Episode]:
        """Yield the episodes that can be read; what cannot is noted."""
        videos = Videos()
        for row in self._rows():
            index = row["episode_index"]
            try:
                yield self._episode(row, videos)
            except CutOffError as error:
                self.notes.append(f"episode {index} left out: {error}")
            except SimrealError as error:
                raise SimrealError(f"{self.path}: episode {index}: {error}") from None

    def _episode(self, row: dict[str, Any], videos: Videos) -> Episode:
        table = self._table(row)
        length = len(table)
        if length > MOST_FRAMES:
            raise SimrealError(f"{length} frames; an episode has at most {MOST_FRAMES}")
        if self._features[self._camera]["dtype"] == "video":
            start = round(row.get(f"videos/{self._camera}/from_timestamp", 0.0) * self.info["fps"])
            pictures = videos.frames(self.path / self._place("video_path", row), start, length)
        else:
            pictures = list(self._embedded(table))
        images = [self.rules.image(picture) for picture in pictures]

        def column(source: str, key: str) -> Vector:
            return _column(table, source, self._names(source).index(key))

        times = _column(table, "timestamp", 0)
        return self.rules.episode(column, images, times, self.rules.succeeded(column))

    def _completed(self, rules: Rules) -> Rules:
        """Return the rules with reward and success from LeRobot's own features, where nothing is said."""
        mapping = rules.mapping
        if mapping.reward is None and "next.reward" in self._features:
            mapping = dataclasses.replace(mapping, reward=Element("next.reward", ("0",)))
        if mapping.success is None and "next.success" in self._features:
            mapping = dataclasses.replace(mapping, success=Element("next.success", ("0",)))
        if mapping.success is None:
            raise SimrealError(
                f"{mapping.path}: success: {self._info_path} has no next.success: "
                "say all, none, or from and key"
            )
        return dataclasses.replace(rules, mapping=mapping)

    def _table(self, row: dict[str, Any]) -> pa.Table:
        """Return the rows of an episode.

        Raises:
            CutOffError: if they cannot be read.
        """
        path = self.path / self._place("data_path", row)
        try:
            table = self._reader.read(path, row["episode_index"], row["length"])
        except (pa.ArrowInvalid, OSError) as error:
            raise CutOffError(f"{path}: cut off or damaged: {' '.join(str(error).split())}") from None
        except (pa.ArrowKeyError, KeyError) as error:
            raise SimrealError(f"{path}: {error}") from None
        if len(table) != row["length"] or not len(table):
            raise CutOffError(f"{path}: {len(table)} of {row['length']} frames")
        return table

    def _embedded(self, table: pa.Table) -> Iterator[NDArray[np.uint8]]:
        for number, entry in enumerate(table[self._camera].to_pylist()):
            image = decode(entry["bytes"] or b"")
            if image is None:
                raise CutOffError(f"{self._camera}: frame {number} is not a readable image")
            yield image

    def _place(self, key: str, row: dict[str, Any]) -> str:
        """Return the file that an episode is in."""
        index, kind = row["episode_index"], "data" if key == "data_path" else f"videos/{self._camera}"
        return str(self.info[key]).format(
            episode_index=index,
            episode_chunk=index // self.info.get("chunks_size", 1000),
            video_key=self._camera,
            chunk_index=row.get(f"{kind}/chunk_index", 0),
            file_index=row.get(f"{kind}/file_index", 0),
        )

    def _rows(self) -> list[dict[str, Any]]:
        """Return what `meta` says of every episode."""
        if self.info["codebase_version"] == "v2.1":
            return self._lines(self.path / "meta" / "episodes.jsonl")
        rows: list[dict[str, Any]] = []
        for path in sorted((self.path / "meta" / "episodes").glob("chunk-*/file-*.parquet")):
            try:
                names = [name for name in pq.read_schema(path).names if not name.startswith("stats/")]
                rows += pq.read_table(path, columns=names).to_pylist()
            except (pa.ArrowInvalid, OSError) as error:
                self.notes.append(f"{path} left out: {' '.join(str(error).split())}")
        return sorted(rows, key=lambda row: row["episode_index"])

    def _lines(self, path: Path) -> list[dict[str, Any]]:
        if not path.is_file():
            raise SimrealError(f"{path}: missing")
        rows = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                row = json.loads(line)
                rows.append({"episode_index": row["episode_index"], "length": row["length"]})
            except (json.JSONDecodeError, KeyError, TypeError):
                self.notes.append(
                    f"{path}: line {number} is cut off: what it and later lines tell is left out"
                )
                break
        return rows

    def _read_info(self) -> dict[str, Any]:
        try:
            info: dict[str, Any] = json.loads(self._info_path.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError, UnicodeDecodeError):
            raise SimrealError(
                f"{self._info_path}: missing, cut off or damaged: it is not whole JSON"
            ) from None
        version = info.get("codebase_version")
        if version not in _VERSIONS:
            raise SimrealError(
                f"{self._info_path}: codebase_version: {version!r}; read are {', '.join(_VERSIONS)}"
            )
        for key in ("fps", "features", "data_path"):
            if key not in info:
                raise SimrealError(f"{self._info_path}: {key}: missing")
        return info

    def _columns(self) -> list[str]:
        """Return the columns to read, after every element of the mapping was found in the features."""
        mapping = self.rules.mapping
        elements = {f"proprio: {name}": item for name, item in mapping.proprio.items()}
        elements |= {f"action: {name}": item for name, item in mapping.action.items()}
        if isinstance(mapping.success, Element):
            elements["success"] = mapping.success
        if mapping.reward is not None:
            elements["reward"] = mapping.reward
        for label, item in elements.items():
            if item.source not in self._features:
                near = nearest(item.source, self._features)
                raise SimrealError(f"{mapping.path}: {label}: from: {item.source!r}; {near}")
            for key in item.keys:
                if key not in (names := self._names(item.source)):
                    raise SimrealError(f"{mapping.path}: {label}: key: {key!r}; {nearest(key, names)}")
        columns = {"timestamp", "episode_index", *(item.source for item in elements.values())}
        if self._features[self._camera]["dtype"] == "image":
            columns.add(self._camera)
        return sorted(columns)

    def _names(self, feature: str) -> list[str]:
        """Return what the elements of a feature are called; their numbers where nobody has named them."""
        entry = self._features[feature]
        names = entry.get("names")
        if isinstance(names, dict) and len(names) == 1:
            (names,) = names.values()  # as v2 datasets of several recorders group them
        if isinstance(names, list) and names:
            return [str(name) for name in names]
        return [str(number) for number in range(int(np.prod(entry.get("shape", [1]))))]


def _column(table: pa.Table, name: str, index: int) -> Vector:
    values = np.array(table[name].to_pylist(), np.float64)
    return values.reshape(len(table), -1)[:, index]
