"""Who writes in a folder: the process that holds its lock."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from genprm.errors import InputError

LOCK = ".lock"


def hold(path: Path) -> IO[str]:
    """Make the folder if need be, and take its lock, which closing what comes back gives up.

    Raises ``InputError`` for a folder that cannot be written in, or that another process holds.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = (path / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write in {path}: {error.strerror}; choose another --out folder") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise InputError(f"{path} is in use by process {holder}; wait for it or choose another --out folder") from error
    try:
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    except OSError as error:
        raise InputError(f"cannot write in {path}: {error.strerror}; free space or choose another folder") from error
    return file
