"""A folder of images: unlabelled frames, with nothing known but what is seen."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from policies import BundleManifest
from simreal.data.episodes import Episode
from simreal.data.importing.pictures import decode
from simreal.data.importing.rules import MOST_FRAMES, Rules
from simreal.errors import SimrealError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")


class FolderSource:
    """Reads the images of a folder in the order of their names; each sub-folder is an episode of its own."""

    def __init__(self, path: Path, mapping: Path | None, manifest: BundleManifest) -> None:
        """Look at what there is.

        Args:
            path: The folder.
            mapping: YAML whose `image` section counts, or None.
            manifest: Of the policy that the frames are for.

        Raises:
            SimrealError: if the mapping is wrong.
        """
        self.path, self.notes = path, list[str]()
        self.rules = Rules.read(mapping, manifest, {"proprio": "", "action": ""})
        self._sizes = tuple(
            len(order)
            for order in (
                next(spec.order for spec in manifest.observations if spec.name == "proprio"),
                manifest.action.order,
            )
        )

    def episodes(self) -> Iterator[Episode]:
        """Yield the images; one that cannot be read is noted."""
        for folder in sorted({file.parent for file in image_files(self.path)}):
            files = sorted((file for file in image_files(folder) if file.parent == folder), key=_numbered)
            for first in range(0, len(files), MOST_FRAMES):
                if episode := self._episode(files[first : first + MOST_FRAMES]):
                    yield episode

    def _episode(self, files: list[Path]) -> Episode | None:
        images = []
        for file in files:
            image = decode(file.read_bytes())
            if image is None:
                self.notes.append(f"{file}: cut off, or no image of 8 bits a channel: left out")
                continue
            try:
                images.append(self.rules.image(image))
            except SimrealError as error:
                raise SimrealError(f"{file}: {error}") from None
        if not images:
            return None
        count = len(images)
        proprio, action = (np.zeros((count, size), np.float32) for size in self._sizes)
        times = (np.arange(count) * self.rules.manifest.control_period_s).astype(np.float32)
        return Episode(np.stack(images), proprio, action, np.zeros(count, np.float32), times, False)


def image_files(path: Path) -> list[Path]:
    """Return the images in a folder, and below it."""
    return [file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file()]


def _numbered(file: Path) -> list[tuple[int, str]]:
    """Return a key that puts 10 after 9."""
    parts = re.split(r"(\d+)", file.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
