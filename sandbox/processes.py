"""What Linux tells of processes, read from /proc: who descends from whom, who is dead, how much memory a tree holds."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal

HAS_CHILDREN_FILES = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
"""The kernel lists children (CONFIG_PROC_CHILDREN); without it we look through all processes."""


def kill(pid: int) -> None:
    """Send SIGKILL. A process that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def pause(pid: int, paused: bool) -> None:
    """Stop a process with all its threads, or let it go on. A process that is gone is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP if paused else signal.SIGCONT)


def children(pid: int) -> list[int]:
    """The children of a process, zombies among them, whichever of its threads started them."""
    if not HAS_CHILDREN_FILES:
        pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
        return [other for other in pids if state_and_parent(other)[1] == pid]
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may just have ended
        for task in os.listdir(f"/proc/{pid}/task"):
            path = f"/proc/{pid}/task/{task}/children"
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(path) as file:  # so may a thread
                found += map(int, file.read().split())
    return found


def state_and_parent(pid: int) -> tuple[str, int]:
    """State letter and parent of a process; X when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            state, parent = file.read().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    return state, int(parent)


def is_dead(pid: int) -> bool:
    """Whether no thread of it runs any more. A process whose first thread has ended looks like a zombie."""
    if state_and_parent(pid)[0] not in "ZX":
        return False
    try:
        return len(os.listdir(f"/proc/{pid}/task")) <= 1
    except (FileNotFoundError, ProcessLookupError):
        return True


def tree(root: int) -> list[int]:
    """The process and all its descendants. They cannot leave it: every session adopts its own orphans."""
    found = [root]
    for pid in found:  # grows while it is walked
        found += children(pid)
    return found


def resident_bytes(pids: list[int]) -> int:
    """Memory of processes; pages that several of them hold count several times."""
    return sum(read_number(f"/proc/{pid}/status", "VmRSS:") << 10 for pid in pids)


def shared_out_bytes(pids: list[int]) -> int:
    """Memory of processes, shared pages counted once: dear. Those that hide it from us count in full."""
    return sum((read_number(f"/proc/{pid}/smaps_rollup", "Pss:") << 10) or resident_bytes([pid]) for pid in pids)


def read_number(path: str, key: str) -> int:
    """The number in the line of a file whose first word is ``key``; 0 without such a line, or without the file."""
    try:
        with open(path, errors="replace") as file:
            return next((int(words[1]) for words in map(str.split, file) if words[:1] == [key]), 0)
    except (OSError, ValueError, IndexError):  # gone, or of another user
        return 0


def remove_tree(path: str) -> None:
    """Delete a file, or a folder, also one whose owner took his own permissions away. Never follows links."""
    if os.path.islink(path) or not os.path.isdir(path):
        with contextlib.suppress(OSError):
            os.unlink(path)
        return
    shutil.rmtree(path, ignore_errors=True)
    if not os.path.isdir(path):
        return
    with contextlib.suppress(OSError):
        take_over(path)
        for folder, names, _ in os.walk(path):  # top down: opened before it is entered
            for name in names:
                if not os.path.islink(os.path.join(folder, name)):
                    take_over(os.path.join(folder, name))
    shutil.rmtree(path, ignore_errors=True)


def take_over(folder: str) -> None:
    """Make a folder ours, if it was another user's, and open it."""
    if os.lstat(folder).st_uid != os.geteuid():
        os.lchown(folder, os.geteuid(), os.getegid())
    os.chmod(folder, 0o700)
