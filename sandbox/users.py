"""In a container each session is a user of its own: who is free, how all that a user runs is killed, what it left.

The supervisor is uid 0 there and holds four capabilities: SETUID and SETGID to turn a fork into a session, KILL to stop
and kill it, CHOWN to take over its files. What else the kernel lets only a user itself do, the supervisor does under
that user's effective id. Its real and saved ids stay out of the user's reach meanwhile, so nobody can signal it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections import deque
from collections.abc import Iterator

from processes import remove_tree

NOBODY = 65534
"""Runs nothing in the container: a real id that neither protects nor endangers anyone."""
SHARED_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue")
"""Where the system lets everybody write, if at all."""
OPEN_FOLDERS = ("/dev/shm",)
"""Where we do: semaphores of ``multiprocessing`` live there. Elsewhere a session could plant what another one reads."""
IPC_RMID = 0


class Users:
    """A ring of user ids. One that was used comes to its end again, and only when nothing is left of its user."""

    def __init__(self, first: int, count: int) -> None:
        self._free = deque(range(first, first + count))
        for folder in SHARED_FOLDERS:
            with contextlib.suppress(OSError):  # not there, or on the read-only root
                os.chmod(folder, 0o1733 if folder in OPEN_FOLDERS else 0o711)  # no session lists what others put there

    def take(self) -> int | None:
        """A user id that nobody has; ``None`` if all are taken."""
        return self._free.popleft() if self._free else None

    def give_back(self, uid: int) -> None:
        """Take back an id whose processes are all dead; removes what its user left where others write too."""
        for path in shared_files(uid):
            remove_tree(path)
        remove_ipc(uid)
        self._free.append(uid)


@contextlib.contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """Have the rights of a user, and none of root's. For the supervisor's one thread."""
    os.setresgid(NOBODY, uid, 0)
    os.setresuid(NOBODY, uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


def kill_all(uid: int) -> None:
    """Kill every process of a user at one moment: no fork escapes it, and it needs no process of its own."""
    signal_all(uid, signal.SIGKILL)


def stop_all(uid: int) -> None:
    """Make every process of a user stand still, at one moment."""
    signal_all(uid, signal.SIGSTOP)


def signal_all(uid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError), acting_as(uid):
        os.kill(-1, number)  # reaches those whom this user may signal, never process 1


def shared_files(uid: int) -> list[str]:
    """What a user has put where everybody may."""
    found = []
    for folder in SHARED_FOLDERS:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                    if entry.stat(follow_symlinks=False).st_uid == uid:
                        found.append(entry.path)
    return found


def remove_ipc(uid: int) -> None:
    """Remove a user's System V objects, which outlive processes. Our own system call filter lets none come to be."""
    libc = ctypes.CDLL(None)
    removals = {
        "shm": lambda number: libc.shmctl(number, IPC_RMID, None),
        "msg": lambda number: libc.msgctl(number, IPC_RMID, None),
        "sem": lambda number: libc.semctl(number, 0, IPC_RMID),
    }
    for kind, remove in removals.items():
        for number in owned_ipc(kind, uid):
            with acting_as(uid):
                remove(number)


def owned_ipc(kind: str, uid: int) -> list[int]:
    """Numbers of a user's System V objects of one kind."""
    try:
        with open(f"/proc/sysvipc/{kind}") as file:
            titles, *rows = (line.split() for line in file)
    except OSError:  # a kernel without them
        return []
    owner, creator = titles.index("uid"), titles.index("cuid")
    return [int(row[1]) for row in rows if str(uid) in (row[owner], row[creator])]
