"""Ends processes of an engine when the process that opened it is gone, however it went: kill -9 included.

A watcher of its own holds the reading end of a pipe. When the last writer is gone it kills what it was told to watch.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

_WATCH = """
import os, signal, sys
if sys.stdin.read() != "done":
    for pid in map(int, sys.argv[1:]):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
"""


class Guard:
    """Watches over child processes from now until ``release``."""

    def __init__(self, pids: Iterable[int]) -> None:
        command = [sys.executable, "-I", "-S", "-c", _WATCH, *map(str, pids)]
        # A session of its own: Ctrl-C at the terminal is for the process that is watched over, not for the watcher.
        self._watcher = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
        )

    def release(self) -> None:
        """The processes have ended by themselves. Idempotent."""
        if self._watcher.poll() is None:
            self._watcher.communicate("done")
