"""A LeRobot dataset, v2.1 or v3.0, on local disk: images embedded, or in videos."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from policies import BundleManifest
from simreal.data.episodes import Episode
from simreal.data.importing.lerobot_meta import LeRobotMeta
from simreal.data.importing.mapping import Element, Vector
from simreal.data.importing.pictures import decode
from simreal.data.importing.rules import MOST_FRAMES, CutOffError, Rules, check_rate
from simreal.data.importing.videos import Videos
from simreal.data.parquet_rows import EpisodeRows
from simreal.errors import SimrealError, nearest

_TOLERANCE = 0.05  # of the rate of an episode's timestamps
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
        self.path, self.notes = path, list[str]()
        self._meta = LeRobotMeta(path)
        self._features = self._meta.features
        cameras = [name for name, feature in self._features.items() if feature["dtype"] in ("image", "video")]
        usual = _USUAL | ({"image": cameras[0]} if len(cameras) == 1 else {})
        self.rules = self._completed(Rules.read(mapping, manifest, usual))
        camera = self.rules.mapping.camera
        if camera is None or camera not in cameras:
            near = nearest(str(camera), cameras)
            raise SimrealError(f"{self.rules.mapping.path}: image: from: {camera!r}; {near}")
        self._camera = camera
        self._reader = EpisodeRows(self._columns())
        check_rate(f"{self._meta.info_path}: fps", self._meta.fps, manifest)

    def episodes(self) -> Iterator[Episode]:
        """Yield the episodes that can be read; what cannot is noted."""
        videos = Videos(self._meta.info_path, self._meta.fps)
        for row in self._meta.episodes(self._camera, self.notes):
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
        times = _column(table, "timestamp", 0)
        if length > 1:
            found_hz = 1 / max(float(np.median(np.diff(times))), 1e-9)
            check_rate(f"{self._meta.data_file(row)}: timestamp", found_hz, self.rules.manifest, _TOLERANCE)
        pictures = self._filmed(row, videos) if self._meta.is_video(self._camera) else self._embedded(table)
        images = [self.rules.image(picture) for picture in pictures]

        def column(source: str, key: str) -> Vector:
            return _column(table, source, self._names(source).index(key))

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
                f"{mapping.path}: success: {self._meta.info_path} has no next.success: "
                "say all, none, or from and key"
            )
        return dataclasses.replace(rules, mapping=mapping)

    def _table(self, row: dict[str, Any]) -> pa.Table:
        """Return the rows of an episode.

        Raises:
            CutOffError: if they cannot be read.
        """
        path = self._meta.data_file(row)
        try:
            table = self._reader.read(path, row["episode_index"], row["length"])
        except (pa.ArrowInvalid, OSError) as error:
            raise CutOffError(f"{path}: cut off or damaged: {' '.join(str(error).split())}") from None
        except (pa.ArrowKeyError, KeyError) as error:
            raise SimrealError(f"{path}: {error}") from None
        if len(table) != row["length"] or not len(table):
            raise CutOffError(f"{path}: {len(table)} of {row['length']} frames")
        return table

    def _filmed(self, row: dict[str, Any], videos: Videos) -> list[NDArray[np.uint8]]:
        path, length = self._meta.video_file(row, self._camera), row["length"]
        start, count = self._meta.video_start(row, self._camera)
        if count < length:  # what follows is another episode's
            raise CutOffError(f"{path}: its part of the video has {count} of {length} frames")
        return videos.frames(path, start, length)

    def _embedded(self, table: pa.Table) -> Iterator[NDArray[np.uint8]]:
        for number, entry in enumerate(table[self._camera].to_pylist()):
            image = decode(entry["bytes"] or b"")
            if image is None:
                raise CutOffError(
                    f"{self._camera}: frame {number} is not a readable image of 8 bits a channel"
                )
            yield image

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
        if not self._meta.is_video(self._camera):
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
