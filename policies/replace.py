"""Put a folder in the place of another so that an interruption leaves one of the two, whole."""

import ctypes
import os
import shutil
import sys
from pathlib import Path

_HERE = -100  # AT_FDCWD of fcntl.h: paths are relative to the working folder
_EXCHANGE = 2  # RENAME_EXCHANGE of linux/fs.h


def replace_folder(fresh: Path, folder: Path) -> None:
    """Give `fresh` the name `folder`; what was there before is deleted or left in `fresh`.

    On Linux the two are exchanged in one step. Where that cannot be, the old folder stands
    `aside` for an instant, and goes back if the new one cannot take its place.
    """
    if not folder.exists():
        fresh.rename(folder)
        return
    if exchange(fresh, folder):
        return
    old = aside(folder)
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    try:
        fresh.rename(folder)
    except BaseException:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def aside(folder: Path) -> Path:
    """Return where an old folder stands while it is replaced without an exchange."""
    return folder.with_name(f".{folder.name}.old")


def exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step (renameat2); False where system or file system cannot."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0
