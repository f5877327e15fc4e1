"""The ``local`` sandbox: the supervisor as a plain subprocess of ours. For machines without Docker; Linux only.

It bounds time, memory and output, keeps sessions apart and leaves no process behind. Alone it does not keep code from
the files, the network or the processes that its user can reach; inside bubblewrap, where the machine has one, it does.
"""

from __future__ import annotations

import json
import os
import shutil
import site
import sys
import tempfile

from genprm import resources
from genprm.errors import SandboxUnavailable
from genprm.execution import claims
from genprm.execution.bubblewrap import Bubblewrap
from genprm.execution.bubblewrap import find as find_bubblewrap
from genprm.execution.client import SupervisorClient
from genprm.execution.supervised import (
    DEFAULT_MAX_SESSIONS,
    DEFAULT_MEMORY_MB,
    DEFAULT_TIMEOUT_S,
    SupervisedSandbox,
)
from genprm.execution.transport import PipeTransport


class LocalSandbox(SupervisedSandbox):
    """Runs code as our own user, under the limits of ``sandbox/supervisor.py``."""

    def __init__(
        self,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        memory_mb: int = DEFAULT_MEMORY_MB,
        max_sessions: int = DEFAULT_MAX_SESSIONS,
        max_running: int | None = None,
        bubblewrap: bool = True,
    ) -> None:
        """``bubblewrap``: run inside it where the machine has one that works."""
        super().__init__(
            timeout_s=timeout_s, memory_mb=memory_mb, max_sessions=max_sessions, max_running=max_running
        )  # fmt: skip
        self._bubblewrap = bubblewrap

    @property
    def kind(self) -> str:
        return "local"

    @property
    def claims(self) -> frozenset[str]:
        return claims.BOUNDED | (wrapping.claims if (wrapping := self._wrapping()) else frozenset())

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the supervisors, or of the bubblewrap around each."""
        transports = (worker.client.transport for worker in self._pool.workers if worker.client.alive)
        return tuple(one.pid for one in transports if isinstance(one, PipeTransport))

    def _wrapping(self) -> Bubblewrap | None:
        return find_bubblewrap() if self._bubblewrap and sys.platform == "linux" else None

    def describe(self) -> str:
        if self._wrapping():
            return (
                "local: code runs inside bubblewrap, with limits on time, memory and output, without network, files "
                "or privileges of yours; sessions share one user, so they are not isolated from each other"
            )
        return (
            "local: code runs as your own user with limits on time, memory and output; "
            "files, network and other processes are not isolated"
        )

    async def _start(self) -> SupervisorClient:
        if sys.platform != "linux":
            raise SandboxUnavailable(f"the local sandbox needs Linux, this is {sys.platform}; switch execution off")
        scratch = tempfile.mkdtemp(prefix="genprm-sandbox-")
        settings = json.dumps({"scratch": scratch, "memory_bytes": self._memory_mb << 20})
        command = [sys.executable, "-I", str(resources.path("sandbox", "supervisor.py")), settings]
        if wrapping := self._wrapping():
            command = wrapping.command(command, scratch=scratch)
        try:
            transport = await PipeTransport.start(command, _environment(), scratch)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        return await SupervisorClient.start(transport)


def _environment() -> dict[str, str]:
    """What the interpreter needs to start and to find its packages. None of our user's other variables, no secrets."""
    kept = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    if site.ENABLE_USER_SITE:
        environment["PYTHONUSERBASE"] = site.getuserbase()
    else:
        environment["PYTHONNOUSERSITE"] = "1"
    return environment
