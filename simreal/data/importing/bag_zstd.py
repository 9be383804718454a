"""What rosbag2 compresses with zstd: whole files, or one message at a time."""

from pathlib import Path

import pyarrow as pa

_MAGIC = b"\x28\xb5\x2f\xfd"  # RFC 8878; a message that is not compressed begins with 0, as CDR does
_PART = 1 << 18  # bytes


def unpacked(raw: bytes) -> bytes:
    """Return a message as it was before it was compressed, if it was.

    Raises:
        OSError: if it is cut off.
    """
    if raw[:4] != _MAGIC:
        return raw
    with pa.input_stream(pa.py_buffer(raw), compression="zstd") as stream:
        return bytes(stream.read())


def unpack_file(file: Path, copy: Path) -> bool:
    """Write what was compressed, as far as it can be read; tell whether there is anything."""
    with file.open("rb") as stream:
        if stream.read(4) != _MAGIC:
            return False
    copy.parent.mkdir(exist_ok=True)
    with copy.open("wb") as target:
        try:
            with pa.input_stream(str(file), compression="zstd") as stream:
                while part := stream.read(_PART):
                    target.write(part)
        except OSError:
            target.flush()  # cut off: what came before is whole
        return target.tell() > 0
