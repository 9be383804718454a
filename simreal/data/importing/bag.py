"""A ROS 2 bag: images, and for each the newest state before it and the command that followed.

An episode ends with a pause of the images longer than `gap_s`, at a message of the marker topic, and where
an image has no state newer than a control period and a half, or no command within as much after it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies import BundleManifest
from simreal.data.episodes import Episode
from simreal.data.importing.bag_files import one_line, open_bag
from simreal.data.importing.bag_messages import IMAGES, numbers_of, pixels_of, time_of
from simreal.data.importing.bag_zstd import unpacked
from simreal.data.importing.mapping import Element, Vector
from simreal.data.importing.rules import MOST_FRAMES, Rules
from simreal.errors import SimrealError, nearest

Times = NDArray[np.int64]
_LATE = 1.5  # control periods
_TOLERANCE = 0.05  # of a measured rate
_CLOCKS_NS = 10_000_000_000  # clocks further apart than that are two clocks


@dataclass(frozen=True)
class Track:
    """The numbers of a topic."""

    times: Times
    """(N,), ns, ascending."""
    columns: dict[str, Vector]


class BagSource:
    """Reads one episode after the other; the numbers of all are in memory, the images of one."""

    def __init__(self, path: Path, mapping: Path | None, manifest: BundleManifest) -> None:
        """Read what the mapping says.

        Args:
            path: Of a bag's folder or file.
            mapping: YAML; a bag has no usual topics.
            manifest: Of the policy that the data is for.

        Raises:
            SimrealError: if the mapping does not fit the policy.
        """
        if mapping is None:
            raise SimrealError(f"{path}: a bag needs --map: a YAML file that says which topic is what")
        self.path, self.notes = path, list[str]()
        self.rules = Rules.read(mapping, manifest, {})
        rule = self.rules.mapping
        if rule.camera is None:
            raise SimrealError(f"{rule.path}: image: from: no topic is named")
        if rule.success is None:
            raise SimrealError(f"{rule.path}: success: a bag does not tell: say all, none, or from and key")
        if rule.camera in rule.sources or rule.camera == rule.marker:
            raise SimrealError(
                f"{rule.path}: {rule.camera!r} is the image's topic: nothing else comes from it"
            )
        self._camera: str = rule.camera
        self._period_ns = round(manifest.control_period_s * 1e9)
        self._outcomes = {rule.success.source} if isinstance(rule.success, Element) else set()
        self._commands = {element.source for element in rule.action.values()}

    def episodes(self) -> Iterator[Episode]:
        """Yield the episodes."""
        with open_bag(self.path, self.notes) as reader:
            topics = {connection.topic: connection.msgtype for connection in reader.connections}
            if not topics:
                raise SimrealError("; ".join([f"{self.path}: not one topic can be read", *self.notes]))
            wanted = self.rules.mapping.sources | {self._camera}
            wanted |= {self.rules.mapping.marker} if self.rules.mapping.marker else set()
            for topic in sorted(wanted - set(topics)):
                raise SimrealError(f"{self.path}: no topic {topic!r}; {nearest(topic, topics)}")
            if topics[self._camera] not in IMAGES:
                raise SimrealError(
                    f"{self.rules.mapping.path}: image: from: {self._camera!r} has "
                    f"{topics[self._camera]}; takes {' or '.join(IMAGES)}"
                )
            images, tracks = self._numbers(reader, wanted)
            self._check_rates(images, tracks)
            plan = self._plan(images, tracks)
            yield from self._cut(reader, images, tracks, plan)

    def _messages(self, reader: Any, topics: set[str]) -> Iterator[tuple[str, int, Any]]:
        """Yield topic, time (ns) and message, as far as the bag can be read."""
        chosen = [connection for connection in reader.connections if connection.topic in topics]
        clock = self.rules.mapping.clock
        try:
            for connection, received, raw in reader.messages(chosen):
                message = reader.deserialize(unpacked(raw), connection.msgtype)
                when = time_of(message, received, clock)
                if abs(when - received) > _CLOCKS_NS:
                    raise SimrealError(
                        f"{self.path}: {connection.topic}: stamped {(received - when) / 1e9:.3g} s before it "
                        f"was received: say clock: received in {self.rules.mapping.path}"
                    )
                yield connection.topic, when, message
        except SimrealError:
            raise
        except Exception as error:  # rosbags raises what its storage and its parsers raise
            note = f"{self.path}: cut off or damaged: {one_line(error)}"
            if note not in self.notes:
                self.notes.append(note)

    def _numbers(self, reader: Any, topics: frozenset[str] | set[str]) -> tuple[Times, dict[str, Track]]:
        """Return the images' times and every other topic's numbers."""
        images: list[int] = []
        times: dict[str, list[int]] = {topic: [] for topic in topics}
        rows: dict[str, list[dict[str, float]]] = {topic: [] for topic in topics}
        for topic, when, message in self._messages(reader, set(topics)):
            if topic == self._camera:
                images.append(when)
                continue
            times[topic].append(when)
            rows[topic].append(numbers_of(message))
        for topic in sorted(topics):
            if not (images if topic == self._camera else rows[topic]):
                raise SimrealError(f"{self.path}: nothing on topic {topic!r}")
        tracks = {
            topic: self._track(topic, np.array(times[topic], np.int64), rows[topic])
            for topic in topics
            if topic != self._camera
        }
        return np.array(images, np.int64), tracks

    def _track(self, topic: str, times: Times, rows: list[dict[str, float]]) -> Track:
        mapping = self.rules.mapping
        elements = {f"proprio: {name}": item for name, item in mapping.proprio.items()}
        elements |= {f"action: {name}": item for name, item in mapping.action.items()}
        elements |= {"reward": mapping.reward} if mapping.reward else {}
        elements |= {"success": mapping.success} if isinstance(mapping.success, Element) else {}
        columns: dict[str, Vector] = {}
        order = np.argsort(times, kind="stable")
        for label, element in elements.items():
            for key in element.keys if element.source == topic else ():
                if missing := next((row for row in rows if key not in row), None):
                    raise SimrealError(
                        f"{mapping.path}: {label}: key: {key!r} is not in {topic!r}; {nearest(key, missing)}"
                    )
                columns[key] = np.array([row[key] for row in rows])[order]
        return Track(times[order], columns)

    def _check_rates(self, images: Times, tracks: dict[str, Track]) -> None:
        """Refuse images at another rate than the policy's, and numbers at a lower one."""
        wanted = 1e9 / self._period_ns
        steady = self.rules.mapping.sources - self._outcomes
        for topic, times in [
            (self._camera, images),
            *((name, tracks[name].times) for name in sorted(steady)),
        ]:
            gaps = np.diff(times)
            found = 1e9 / max(float(np.median(gaps)), 1.0) if len(gaps) else wanted
            off = abs(found - wanted) if topic == self._camera else wanted - found
            if off > _TOLERANCE * wanted:
                raise SimrealError(
                    f"{self.path}: {topic}: {found:.4g} Hz; the policy acts at {wanted:.4g} Hz"
                )

    def _plan(self, images: Times, tracks: dict[str, Track]) -> Times:
        """Return the number of the episode of every image, ascending; -1 for one that is left out."""
        late = round(_LATE * self._period_ns)
        good = np.diff(images, prepend=images[0] - 1) > 0
        for topic in self.rules.mapping.sources - self._outcomes:
            times = tracks[topic].times
            near = times[np.clip(_rows(self._commands, topic, times, images), 0, len(times) - 1)]
            ahead = near - images if topic in self._commands else images - near
            good &= (ahead >= 0) & (ahead <= late)
        starts = np.diff(images, prepend=images[0]) > round(self.rules.mapping.gap_s * 1e9)
        if self.rules.mapping.marker:
            marks = np.searchsorted(tracks[self.rules.mapping.marker].times, images, "right")
            starts |= np.diff(marks, prepend=marks[0]) > 0
        starts |= good & ~np.roll(good, 1)
        plan = np.where(good, np.cumsum(starts), -1)
        if self.notes and good.any():  # nothing but a cut has been noted so far
            self.notes.append(f"{self.path}: the episode that was cut off left out")
            plan[plan == plan.max()] = -1
        if out := int((~good).sum()):
            self.notes.append(f"{self.path}: {out} images without a state or a command near them left out")
        within = (np.diff(plan) == 0) & (plan[1:] >= 0)
        if lost := int((within & (np.diff(images) > _LATE * self._period_ns)).sum()):
            self.notes.append(
                f"{self.path}: {self._camera}: images are missing at {lost} places within episodes"
            )
        return plan

    def _cut(self, reader: Any, images: Times, tracks: dict[str, Track], plan: Times) -> Iterator[Episode]:
        """Go through the images again, and yield an episode whenever one is complete."""
        held: list[NDArray[np.uint8]] = []
        rows: list[int] = []
        for index, (_, _, message) in enumerate(self._messages(reader, {self._camera})):
            if index >= len(plan) or plan[index] < 0:
                continue
            if rows and (plan[index] != plan[rows[0]] or len(rows) == MOST_FRAMES):
                yield self._episode(held, images[rows], tracks, images[index])
                held, rows = [], []
            try:
                held.append(self.rules.image(pixels_of(message)))
            except SimrealError as error:
                raise SimrealError(f"{self.path}: {self._camera}: image {index}: {error}") from None
            rows.append(index)
        if rows:
            yield self._episode(held, images[rows], tracks)

    def _episode(
        self,
        held: list[NDArray[np.uint8]],
        times: Times,
        tracks: dict[str, Track],
        following: int | None = None,
    ) -> Episode:
        """Return an episode; `following` is when the next one begins, if there is one."""

        def column(source: str, key: str) -> Vector:
            track = tracks[source]
            return track.columns[key][_rows(self._commands, source, track.times, times)]

        return self.rules.episode(
            column, held, (times - times[0]) / 1e9, self._success(times, tracks, following)
        )

    def _success(self, times: Times, tracks: dict[str, Track], following: int | None) -> bool:
        """Tell whether anything true was said between an episode's first image and the next pause.

        Of an episode that lost messages split, what is said at its end is of the last part alone.
        """
        rule = self.rules.mapping.success
        if not isinstance(rule, Element):
            return rule == "all"
        track = tracks[rule.source]
        until = times[-1] + round(self.rules.mapping.gap_s * 1e9)
        during = (track.times >= times[0]) & (track.times <= until)
        if following is not None:
            during &= track.times < following
        return bool(rule.value([track.columns[key][during] for key in rule.keys]).any())


def _rows(commands: set[str], topic: str, times: Times, images: Times) -> Times:
    """Return which message of a topic belongs to each image: the next command, else the newest before."""
    if topic in commands:
        return np.searchsorted(times, images, "left")
    return np.searchsorted(times, images, "right") - 1
