"""The local sandbox inside bubblewrap: namespaces without a container engine, as root or as an ordinary user.

What it adds to the supervisor: no network, no process and no file of the owner, a read-only root, no capability, and a
system call filter. What it lacks against a container: sessions share one user id, so they can signal each other, and
read and delete each other's files; the number of processes and of files is not bounded.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genprm import resources
from genprm.execution import syscalls

CLAIMS = frozenset({"strangers", "files", "secrets", "network", "privilege"})
SCRATCH_BYTES = 1 << 30
SHARED_BYTES = 64 << 20
PROBE_WAIT_S = 20.0
NOBODY = "65534"
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache", "/etc/alternatives")
_FILTER_FD = 9


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """A bubblewrap that works on this machine."""

    program: str
    claims: frozenset[str] = CLAIMS

    def command(self, command: Sequence[str], *, scratch: str) -> list[str]:
        """The command line that runs ``command`` inside.

        ``scratch`` is an existing empty folder of ours; inside, a bounded file system in memory lies in its place.
        Stdin, stdout and stderr pass through. The command dies with the thread that starts it.
        """
        filter_file = Path(scratch, "filter")
        filter_file.write_bytes(syscalls.program() or b"")
        # The filter must come as an open descriptor, and a shell is the simplest thing that opens one.
        opened = ["/bin/sh", "-c", f'exec "$0" "$@" {_FILTER_FD}<"$FILTER"']
        return [
            "/usr/bin/env", f"FILTER={filter_file}", *opened, self.program,
            "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox",
            "--as-pid-1",  # the supervisor, which nobody can open; bubblewrap's own process 1 everybody could
            "--uid", NOBODY, "--gid", NOBODY, "--unsetenv", "FILTER", "--seccomp", str(_FILTER_FD),
            "--size", str(SHARED_BYTES), "--tmpfs", "/tmp",  # first: what is readable may lie below it
            *(part for path in _readable() for part in ("--ro-bind-try", path, path)),
            "--proc", "/proc", "--dev", "/dev", "--size", str(SHARED_BYTES), "--tmpfs", "/dev/shm",
            "--size", str(SCRATCH_BYTES), "--tmpfs", scratch,
            "--remount-ro", "/proc",  # to its owner, if that is root, the kernel's switches would be open
            "--remount-ro", "/tmp",  # all but the scratch: the interpreter may look for modules there
            "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--", *command,
        ]  # fmt: skip


@functools.cache
def find() -> Bubblewrap | None:
    """The machine's bubblewrap if it works here: some kernels and most containers forbid what it does."""
    program = shutil.which("bwrap")
    if program is None or syscalls.program() is None:
        return None
    found = Bubblewrap(program)
    with tempfile.TemporaryDirectory(prefix="genprm-bubblewrap-") as scratch:
        command = found.command([sys.executable, "-I", "-S", "-c", "pass"], scratch=scratch)
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_WAIT_S)
        except (OSError, subprocess.TimeoutExpired):
            return None
    return found if done.returncode == 0 else None


def _readable() -> list[str]:
    """What the interpreter is made of: the system's libraries, its own folders, and those of what it preloads."""
    found = [*_SYSTEM, sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(sys.executable).resolve().parent)]
    found.append(str(resources.path("sandbox", "supervisor.py").parent))
    for name in ("numpy", "sympy", "mpmath"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            found.append(str(Path(spec.origin).parent.parent))
    found += [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path.startswith("/")]
    return [path for path in dict.fromkeys(found) if path != "/" and Path(path).exists()]
