"""The owner may be slow to read: what it does not take waits, and nothing else does."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from genprm import resources

CLOSES = 3000
"""Their replies are more than a pipe holds."""


def frame(number: int) -> bytes:
    data = json.dumps({"id": number, "op": "close", "session": 0}).encode()
    return struct.pack(">I", len(data)) + data


def test_a_reply_made_in_the_moment_in_which_the_owner_reads_again_is_no_trouble(tmp_path: Path) -> None:
    settings = {"scratch": str(tmp_path / "scratch"), "max_sessions": 1}
    command = [sys.executable, "-I", str(resources.path("sandbox", "supervisor.py")), json.dumps(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdin is not None and supervisor.stdout is not None
        replies = supervisor.stdout

        def reply() -> dict[str, object]:
            (size,) = struct.unpack(">I", replies.read(4))
            found: dict[str, object] = json.loads(replies.read(size))
            return found

        assert reply()["ready"]
        for number in range(CLOSES):
            supervisor.stdin.write(frame(number))
        supervisor.stdin.flush()
        time.sleep(1.0)  # it has read all and waits for us
        os.kill(supervisor.pid, signal.SIGSTOP)
        supervisor.stdin.write(frame(CLOSES))
        supervisor.stdin.flush()
        first = [reply() for _ in range(CLOSES // 2)]  # now there is room again, and a request: in this order
        os.kill(supervisor.pid, signal.SIGCONT)
        rest = [reply() for _ in range(CLOSES + 1 - len(first))]
        assert [one["id"] for one in first + rest] == list(range(CLOSES + 1))
        supervisor.stdin.close()
        assert supervisor.wait(timeout=30) == 0
