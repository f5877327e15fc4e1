"""What Linux tells of processes, read from /proc: who descends from whom, who is dead, how much memory a tree holds."""

from __future__ import annotations

import contextlib
import os
import secrets
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


def processor_ticks(pid: int) -> int:
    """Processor time that a process has used, all its threads together, in the kernel's hundredths of a second."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[11]) + int(fields[12])


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
    """Delete a file, or a folder with all that is in it, also what its owner locked. Never follows links.

    However deep it goes: what lies in a subfolder is moved up into the folder itself, so that neither our stack nor
    the length of a path nor the number of open files grows with it.
    """
    with contextlib.suppress(OSError):
        os.unlink(path)
        return
    with contextlib.suppress(OSError):
        top = open_folder(path)
        try:
            while flatten(top):
                pass
        finally:
            os.close(top)
        os.rmdir(path)


def flatten(top: int) -> bool:
    """Delete what an open folder holds, and move up what its subfolders hold. Whether there was anything to do."""
    progress = False
    for name in os.listdir(top):
        with contextlib.suppress(OSError):
            if remove_file(name, top):
                progress = True
                continue
            folder = open_folder(name, top)
            try:
                for inner in os.listdir(folder):
                    if not remove_file(inner, folder):
                        os.close(open_folder(inner, folder))  # made ours: only its owner may move a folder
                        os.rename(inner, f"moved-{secrets.token_hex(12)}", src_dir_fd=folder, dst_dir_fd=top)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)
            progress = True
    return progress


def remove_file(name: str, folder: int) -> bool:
    """Delete an entry of an open folder unless it is a folder. Whether it is gone."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        return False
    except FileNotFoundError:
        pass
    return True


def open_folder(name: str, folder: int | None = None) -> int:
    """Open a folder, in another one if that is given; first make it ours and let us in."""
    place = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        itself = f"/proc/self/fd/{place}"
        if os.fstat(place).st_uid != os.geteuid():
            os.chown(itself, os.geteuid(), os.getegid())
        os.chmod(itself, 0o700)
        return os.open(itself, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        os.close(place)
