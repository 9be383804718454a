"""From a recording to a dataset that `adapt` reads: source -> episodes -> `write_dataset`."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from policies import BundleManifest
from simreal.data.episodes import Episode
from simreal.data.importing.bag import BagSource
from simreal.data.importing.bag_files import is_bag
from simreal.data.importing.folder import FolderSource, image_files
from simreal.data.importing.lerobot import LeRobotSource
from simreal.data.lerobot_writer import DatasetNames, write_dataset
from simreal.errors import SimrealError

Source = LeRobotSource | BagSource | FolderSource


@dataclass(frozen=True)
class Converted:
    """What came of a recording."""

    episodes: int
    successes: int
    frames: int
    left_out: tuple[str, ...]
    """What could not be read, and where."""


def convert(
    path: Path, mapping: Path | None, manifest: BundleManifest, out: Path, overwrite: bool = False
) -> Converted:
    """Write a recording as a LeRobot dataset v3.0; memory holds one episode.

    Args:
        path: A LeRobot dataset v2.1 or v3.0, a ROS 2 bag, or a folder of images.
        mapping: YAML that says which field is which; None if all have the policy's names.
        manifest: Of the policy that the data is for.
        out: The dataset's folder.
        overwrite: Whether a dataset there may be replaced.

    Raises:
        SimrealError: naming what is wrong with recording or mapping.
    """
    if out.resolve() == path.resolve() or out.resolve() in path.resolve().parents:
        raise SimrealError(f"{out} is, or holds, what is to be read: choose another --out")
    source = open_source(path, mapping, manifest)
    proprio = next(spec for spec in manifest.observations if spec.name == "proprio")
    names = DatasetNames(
        proprio.order,
        manifest.action.order,
        source.rules.mapping.task,
        action_scale=manifest.action.scale,
        images_only=isinstance(source, FolderSource),
    )
    lengths: list[tuple[int, bool]] = []

    def counted() -> Iterator[Episode]:
        for episode in source.episodes():
            lengths.append((len(episode), episode.success))
            yield episode

    episodes = counted()
    first = next(episodes, None)
    if first is None:
        why = f": {source.notes[0]}" if source.notes else ""
        raise SimrealError(f"{path}: not one episode is whole{why}")
    whole = itertools.chain([first], episodes)
    write_dataset(out, whole, 1 / manifest.control_period_s, names, overwrite)
    return Converted(
        len(lengths),
        sum(success for _, success in lengths),
        sum(length for length, _ in lengths),
        tuple(source.notes),
    )


def open_source(path: Path, mapping: Path | None, manifest: BundleManifest) -> Source:
    """Return the reader of a recording.

    Raises:
        SimrealError: if it is of no kind that is read here.
    """
    if not path.exists():
        raise SimrealError(f"--from {path}: there is nothing")
    if (path / "meta").is_dir():
        return LeRobotSource(path, mapping, manifest)
    if is_bag(path):
        return BagSource(path, mapping, manifest)
    if path.is_dir() and image_files(path):
        return FolderSource(path, mapping, manifest)
    raise SimrealError(
        f"--from {path}: neither a LeRobot dataset (meta/info.json), nor a ROS 2 bag (.db3 or .mcap, "
        "with or without .zstd), nor a folder of images"
    )
