"""The supervisor's end of the template process, which every session is forked from (see ``template.py``)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

from processes import kill

FORK_WAIT_S = 30.0
TEMPLATE_WAIT_S = 120.0

TEMPLATE_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MPLBACKEND": "Agg",
    **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM", "BLIS")},
}
KEPT_ENV = ("LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONNOUSERSITE")
"""What an interpreter may need to start and to find its packages; the owner decides what these hold."""


class Unavailable(Exception):
    """The machinery failed, not the code."""


class Template:
    """The process that sessions are forked from."""

    def __init__(self) -> None:
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "template.py")
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept = {name: os.environ[name] for name in KEPT_ENV if name in os.environ}
        path = f"{os.path.dirname(sys.executable)}:{TEMPLATE_ENV['PATH']}"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", program, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                pass_fds=[theirs.fileno()],
                env={**TEMPLATE_ENV, "PATH": path, **kept},
                cwd="/",
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.reaped = False
        try:
            self.preloaded: list[str] = json.loads(self._answer(TEMPLATE_WAIT_S))["preloaded"]
        except Unavailable:
            kill(self.pid)
            raise

    def fork(self, order: dict[str, Any], fds: list[int]) -> int:
        """Fork a session; its process id. It is our child by then."""
        try:
            socket.send_fds(self._control, [json.dumps(order).encode()], fds)
        except OSError as error:
            raise Unavailable(f"the template process is gone ({error})") from error
        if pid := int(self._answer(FORK_WAIT_S)):
            return pid
        raise Unavailable("a session could not be forked: the machine is out of processes or memory")

    def _answer(self, wait_s: float) -> bytes:
        self._control.settimeout(wait_s)
        try:
            answer = self._control.recv(65536)
        except OSError as error:
            raise Unavailable(f"the template process does not answer ({error or type(error).__name__})") from error
        if not answer:
            raise Unavailable("the template process died")
        return answer

    def discard(self) -> None:
        """Kill it, if that is not what happened already. The supervisor's reaping takes the zombie."""
        self._control.close()
        if not self.reaped:
            kill(self.pid)
        self._process.returncode = 0  # reaped elsewhere: Popen must not look for it
