"""What sessions hold of a container's file systems in memory, and whether the kernel has killed for its memory."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import stat
from collections.abc import Iterator

from processes import read_number
from users import SHARED_FOLDERS, acting_as, shared_files

UNSEEN = 1 << 62
"""More than any limit: what a session holds that hides it."""
OOM_COUNTERS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Of our own container, in control groups of version 2 and of version 1."""


def oom_kills() -> int:
    """How many processes of the container the kernel has killed for memory; 0 where it does not say."""
    return max(read_number(path, "oom_kill") for path in OOM_COUNTERS)


def memory_limit() -> float:
    """Bytes that the container may use; infinite where it does not say."""
    for path in LIMITS:
        with contextlib.suppress(OSError, ValueError), open(path) as file:
            return int(file.read())
    return math.inf


def filled(scratch: str) -> tuple[int, int]:
    """Bytes and files in the file systems that sessions write to."""
    total = files = 0
    seen = set()
    for folder in (scratch, *SHARED_FOLDERS):
        with contextlib.suppress(OSError):
            status, device = os.statvfs(folder), os.stat(folder).st_dev
            if device not in seen and not status.f_flag & os.ST_RDONLY:
                seen.add(device)
                total += (status.f_blocks - status.f_bfree) * status.f_frsize
                files += status.f_files - status.f_ffree
    return total, files


def holds_more(scratch: str, pids: list[int], uid: int, most_bytes: int, most_files: int) -> bool:
    """Whether a session holds more bytes or files than these, unlinked but open ones included. Stops when it knows."""
    total = files = 0
    tops = [scratch, *shared_files(uid)]
    with acting_as(uid):
        for size in itertools.chain(*(_sizes(top) for top in tops), _open_sizes(pids, uid)):
            total += size
            files += 1
            if total > most_bytes or files > most_files:
                return True
    return False


def _sizes(top: str) -> Iterator[int]:
    """Bytes of a file, or of all files in a folder; ``UNSEEN`` where its owner has locked it or hides it too deep."""
    waiting = [top]
    while waiting:
        path = waiting.pop()
        try:
            status = os.lstat(path)
            yield status.st_blocks * 512
            if stat.S_ISDIR(status.st_mode):
                waiting += [os.path.join(path, name) for name in os.listdir(path)]
        except FileNotFoundError:  # gone meanwhile
            continue
        except OSError:
            yield UNSEEN


def _open_sizes(pids: list[int], uid: int) -> Iterator[int]:
    """Bytes of the files without a name that processes hold open; ``UNSEEN`` for a process that hides itself."""
    seen = set()
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder)
        except PermissionError:
            yield UNSEEN
            return
        except OSError:
            continue
        for name in names:
            with contextlib.suppress(OSError):
                status = os.stat(os.path.join(folder, name))
                nameless = stat.S_ISREG(status.st_mode) and status.st_nlink == 0 and status.st_uid == uid
                if nameless and (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    yield status.st_blocks * 512
