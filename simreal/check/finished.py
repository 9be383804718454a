"""Trainings that are done, kept in one file, so that an interrupted check, or script, goes on."""

import hashlib
import json
from pathlib import Path
from typing import Any

from simreal.errors import SimrealError
from simreal.files import write_json
from simreal.results import to_plain


class Finished:
    """What has been computed so far: name of a training -> plain values."""

    def __init__(self, path: Path | None, settings: Any, resume: bool) -> None:
        """Start empty, or with what an interruption left.

        Args:
            path: The file; None keeps nothing.
            settings: Everything that decides the results.
            resume: Whether to go on with the file.

        Raises:
            SimrealError: if the file is damaged, or was kept with other settings.
        """
        self._path = path
        self._key = hashlib.sha256(json.dumps(to_plain(settings), sort_keys=True).encode()).hexdigest()
        self._values: dict[str, Any] = {}
        if resume and path is not None and path.is_file():
            self._values = self._read(path)

    def get(self, name: str) -> Any:
        """Return what was kept under this name, or None."""
        return self._values.get(name)

    def keep(self, name: str, value: Any) -> None:
        """Keep plain values; the file is whole after every call."""
        self._values[name] = to_plain(value)
        if self._path is not None:
            write_json(self._path, {"settings": self._key, "finished": self._values})

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            key, values = raw["settings"], dict(raw["finished"])
        except (OSError, ValueError, KeyError, TypeError):
            raise SimrealError(f"{path}: truncated or damaged: delete it to start over") from None
        if key != self._key:
            raise SimrealError(f"{path}: kept with other settings: go on with the same ones, or delete it")
        return values
