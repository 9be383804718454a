"""A folder or an object store that every node of a cluster reaches: what workers start from, and the table.

Files of a source go by the hash of their content, and so does the list of them: what is there already is
not put again, and a node fetches a source once, to its own disk.
"""

import hashlib
import json
import os
import socket
import tempfile
import uuid
from pathlib import Path, PurePosixPath
from typing import Any

from simreal.errors import SimrealError
from simreal.files import atomic_folder, sha256_of_file

PARTS = ("policy", "teacher", "source")
"""Folders of a pretraining run that cells start from."""


class Store:
    """A place of fsspec's: a path, or an address such as `s3://bucket/folder`."""

    def __init__(self, url: str) -> None:
        """Reach the store.

        Raises:
            SimrealError: if it cannot be: no such protocol, or a package that it needs is missing.
        """
        import fsspec  # of the extra ray

        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
            self.url: str = self._files.unstrip_protocol(self._root)
            self._files.makedirs(self._root, exist_ok=True)
        except Exception as error:  # of many kinds, by protocol
            raise SimrealError(f"store {url}: cannot be used: {error}") from None

    def put_source(self, run: Path) -> str:
        """Put what cells start from, and return its address.

        Raises:
            SimrealError: if the store cannot be reached.
        """
        paths = [path for part in PARTS for path in sorted((run / part).rglob("*")) if path.is_file()]
        listed = {path.relative_to(run).as_posix(): sha256_of_file(path) for path in paths}
        for path, digest in zip(paths, listed.values(), strict=True):
            self._put(path, f"files/{digest}")
        index = json.dumps(listed, sort_keys=True).encode()
        address = f"sources/{hashlib.sha256(index).hexdigest()}.json"
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "index"
            path.write_bytes(index)
            self._put(path, address)
        return f"{self.url}/{address}"

    def put_table(self, path: Path) -> None:
        """Put a copy of the table, in the place of an older one.

        Raises:
            SimrealError: if the store cannot be reached.
        """
        self._put(path, self._table(path), replace=True)

    def fetch_table(self, path: Path) -> None:
        """Fetch the copy of a table that is not here: the driver's disk is another one now."""
        there = f"{self._root}/{self._table(path)}"
        if not path.is_file() and self._files.exists(there):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.partial")
            self._files.get_file(there, str(partial))
            partial.replace(path)

    def forget_table(self, path: Path) -> None:
        """Delete the copy of a table."""
        if self._files.exists(there := f"{self._root}/{self._table(path)}"):
            self._files.rm_file(there)

    def _table(self, path: Path) -> str:
        return f"tables/{path.absolute().parent.name}-{path.name}"

    def _put(self, path: Path, name: str, replace: bool = False) -> None:
        """Put a file under its name in one step: nobody reads half of it."""
        there = f"{self._root}/{name}"
        partial = f"{there}.{uuid.uuid4().hex}"
        try:
            if not replace and self._files.exists(there):
                return
            self._files.makedirs(str(PurePosixPath(there).parent), exist_ok=True)
            self._files.put_file(str(path), partial)
            self._files.mv(partial, there)
        except OSError as error:
            raise SimrealError(f"store {self.url}: {name} cannot be put there: {error}") from None


def fetch_source(address: str) -> Path:
    """Return a folder of this machine with what `Store.put_source` put; it is fetched once a machine.

    Raises:
        SimrealError: naming what cannot be reached from here, or is not what its name says.
    """
    from filelock import FileLock  # of the extra ray

    url, _, name = address.rpartition("/sources/")
    digest = name.removesuffix(".json")
    cache = Path(tempfile.gettempdir()) / f"simreal-sources-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    folder = cache / digest
    with FileLock(cache / f"{digest}.lock"):
        if not folder.is_dir():
            with atomic_folder(folder) as scratch:
                _fetch(Store(url), digest, scratch)
    return folder


def _fetch(store: Store, digest: str, folder: Path) -> None:
    index = folder / "index.json"
    _get(store, f"sources/{digest}.json", digest, index)
    listed: dict[str, Any] = json.loads(index.read_bytes())
    for name, content in listed.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _get(store, f"files/{content}", content, path)


def _get(store: Store, name: str, digest: str, path: Path) -> None:
    here = socket.gethostname()
    try:
        store._files.get_file(f"{store._root}/{name}", str(path))
    except OSError as error:
        raise SimrealError(
            f"store {store.url}: {name} cannot be read from {here}: {error}: give --store a folder or an "
            "object store that every node reaches"
        ) from None
    if sha256_of_file(path) != digest:
        raise SimrealError(f"store {store.url}: {name}: damaged: delete it, and start again")
