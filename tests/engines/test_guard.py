"""Processes of an engine do not outlive the process that opened it, and are left alone when it ends well."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from genprm.engines.guard import Guard

SLEEP = "import time; time.sleep(100)"
PROGRAM = f"""
import subprocess, sys, time
from genprm.engines.guard import Guard
child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True)
guard = Guard([child.pid])
print(child.pid, flush=True)
time.sleep(100)
"""


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_dies_with_its_killed_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert runs(child)
        parent.kill()
    deadline = time.monotonic() + 30
    while runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs(child)


def test_a_released_guard_kills_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as child:
        guard = Guard([child.pid])
        guard.release()
        guard.release()
        assert child.poll() is None
        child.kill()
