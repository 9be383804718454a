"""The files of a ROS 2 bag, sqlite3 or MCAP, zstd or not; of one that was cut off, what is whole."""

import contextlib
import re
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from simreal.data.importing.bag_zstd import unpack_file
from simreal.errors import SimrealError

ENDINGS = (".db3", ".mcap", ".db3.zstd", ".mcap.zstd")
_SQLITE = b"SQLite format 3\0"
_MAGIC = b"\x89MCAP0\r\n"
# Of an MCAP file without a summary: whoever reads it has to scan. https://mcap.dev/spec
_FOOTER = b"\x02" + struct.pack("<Q", 20) + bytes(20) + _MAGIC
_CHUNK, _DATA_END = 0x06, 0x0F  # after the latter the summary follows
_CHUNK_HEAD = 9 + 8 + 8 + 8 + 4 + 4 + 8  # record, times, size, checksum, compression, size


def is_bag(path: Path) -> bool:
    """Tell whether a file or folder is a bag, whole or not."""
    return path.name.endswith(ENDINGS) or (path.is_dir() and bool(_files(path)))


@contextlib.contextmanager
def open_bag(path: Path, notes: list[str]) -> Iterator[Any]:
    """Open a bag for reading, as `rosbags.highlevel.AnyReader` does; what is cut off is noted.

    Args:
        path: Of the folder, or of one file.
        notes: What was left out is added.

    Raises:
        SimrealError: if the extra is missing, or nothing can be read.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError:
        raise SimrealError(f"{path}: reading a bag needs rosbags: pip install 'simreal[bags]'") from None
    files = [path] if path.is_file() else _files(path)
    with tempfile.TemporaryDirectory() as scratch:
        whole = [_mended(file, Path(scratch), notes) for file in files]
        described = path.is_dir() and (path / "metadata.yaml").is_file() and whole == files
        try:
            reader = AnyReader([path] if described else whole, default_typestore=get_typestore(Stores.LATEST))
            reader.open()
        except Exception as error:  # rosbags raises what its storage, YAML and type parsers raise
            raise SimrealError(f"{path}: not readable as a ROS 2 bag: {one_line(error)}") from None
        try:
            yield reader
        finally:
            reader.close()


def one_line(error: Exception) -> str:
    """Return what an error says, in a line."""
    return " ".join(str(error).split()) or type(error).__name__


def _files(folder: Path) -> list[Path]:
    """Return the files in the order that the recorder numbered them; one that was unpacked counts once."""
    found = [file for file in folder.iterdir() if file.name.endswith(ENDINGS)]
    found = [file for file in found if file.suffix != ".zstd" or file.with_suffix("") not in found]
    return sorted(found, key=lambda file: [int(part) for part in re.findall(r"\d+", file.stem)])


def _mended(file: Path, scratch: Path, notes: list[str]) -> Path:
    """Return a file itself if it is whole and not compressed, else a copy of the part that is whole."""
    plain = file
    if not file.stat().st_size:
        raise SimrealError(f"{file}: empty")
    if file.suffix == ".zstd":
        plain = scratch / "unpacked" / file.stem
        if not unpack_file(file, plain):
            raise SimrealError(f"{file}: no zstd file, or cut off at its beginning")
    copy = scratch / plain.name
    with plain.open("rb") as stream:
        size, header = stream.seek(0, 2), _header(stream)
        if plain.suffix == ".mcap":
            if not header.startswith(_MAGIC):
                raise SimrealError(f"{file}: no MCAP file, or cut off at its beginning")
            stream.seek(max(len(_MAGIC), size - len(_MAGIC)))
            if stream.read() == _MAGIC:
                return plain
            _mend_mcap(stream, copy)
        else:
            if not header.startswith(_SQLITE) or len(header) < 100:
                raise SimrealError(f"{file}: no sqlite3 file, or cut off at its beginning")
            page = struct.unpack(">H", header[16:18])[0]
            pages = struct.unpack(">I", header[28:32])[0]
            if size >= (65536 if page == 1 else page) * pages:
                return plain
            _mend_sqlite(plain, copy, file)
    notes.append(f"{file}: cut off")
    return copy


def _header(stream: BinaryIO) -> bytes:
    stream.seek(0)
    return stream.read(100)


def _mend_mcap(stream: BinaryIO, copy: Path) -> None:
    """Copy the records that are whole, those of a chunk that was cut too, and end without a summary."""
    size = stream.seek(0, 2)
    end = _whole_records(stream, len(_MAGIC), size)
    with copy.open("wb") as target:
        _copy(stream, 0, end, target)
        stream.seek(end)
        head = stream.read(_CHUNK_HEAD)
        # Times, size and checksum come before the compression's name: none, so its records lie open.
        if len(head) == _CHUNK_HEAD and head[0] == _CHUNK and not any(head[37:41]):
            first = end + _CHUNK_HEAD
            _copy(stream, first, _whole_records(stream, first, size), target)
        target.write(_FOOTER)


def _whole_records(stream: BinaryIO, start: int, size: int) -> int:
    """Return where the last whole record after `start` ends."""
    end = stream.seek(start)
    while len(head := stream.read(9)) == 9 and head[0] != _DATA_END:
        after = stream.tell() + struct.unpack("<Q", head[1:])[0]
        if after > size:
            break
        end = stream.seek(after)
    return end


def _copy(stream: BinaryIO, start: int, end: int, target: BinaryIO) -> None:
    stream.seek(start)
    while start < end and (part := stream.read(min(end - start, 1 << 20))):
        start += target.write(part)


def _mend_sqlite(file: Path, copy: Path, shown: Path) -> None:
    """Copy the tables row by row, up to the first page that is missing; messages name `shown`."""
    old = sqlite3.connect(f"file:{file}?immutable=1", uri=True)
    new = sqlite3.connect(copy)
    try:
        old.execute("PRAGMA writable_schema = ON")  # else sqlite refuses a file shorter than it says
        tables = old.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        for name, statement in tables:
            new.execute(statement)
            with contextlib.suppress(sqlite3.DatabaseError):
                for row in old.execute(f'SELECT * FROM "{name}"'):
                    new.execute(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(row))})', row)
        new.commit()
    except sqlite3.DatabaseError as error:
        raise SimrealError(f"{shown}: cut off at its beginning: {error}") from None
    finally:
        old.close()
        new.close()
