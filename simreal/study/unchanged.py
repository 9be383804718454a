"""Whether the frames of a source are those that its cells were computed from.

A cell is known by the weights of source and expert, not by the source's frames, which some methods train
on: with the same weights and other frames, a study would take results for those of what is there now.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from simreal.errors import SimrealError
from simreal.files import write_json
from simreal.study.cells import Source

_BLOCKS, _BLOCK = 64, 1 << 12  # of each file, evenly spaced: hundreds of megabytes take a moment


def check_data(path: Path, sources: Iterable[Source]) -> None:
    """Compare the sources' data with what `path` kept of them, and keep there what is new.

    Raises:
        SimrealError: if the data of a source are others, though its weights are the same; or if the file is
            damaged.
    """
    try:
        kept = dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (ValueError, TypeError):
        raise SimrealError(f"{path}: truncated or damaged: delete it if no source has changed") from None
    for source in sources:
        if not source.data.is_dir():
            continue  # what needs data is refused
        digest = _digest(source.data)
        if kept.setdefault(source.sha256, digest) != digest:
            raise SimrealError(
                f"{source.data}: not the data that {path.parent} was begun with, though the weights are the "
                "same: bring those back, or choose another --out, or add --overwrite to compute all anew"
            )
    write_json(path, kept)


def _digest(folder: Path) -> str:
    """Return the hash of names, sizes and samples of the files."""
    found = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        size = path.stat().st_size
        found.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
        with path.open("rb") as file:
            for block in range(_BLOCKS):
                file.seek(block * max(0, size - _BLOCK) // (_BLOCKS - 1))
                found.update(file.read(_BLOCK))
    return found.hexdigest()
