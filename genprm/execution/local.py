"""The ``local`` sandbox: the supervisor as a plain subprocess of ours. For machines without Docker; Linux only.

It bounds time, memory and output, keeps sessions apart and leaves no process behind. It does not keep code from the
files, the network or the processes that its user can reach.
"""

from __future__ import annotations

import json
import os
import shutil
import site
import sys
import tempfile

from genprm import resources
from genprm.errors import InputError, SandboxUnavailable
from genprm.execution.client import SupervisorClient
from genprm.execution.supervised import DEFAULT_MAX_SESSIONS, DEFAULT_TIMEOUT_S, SupervisedSandbox

DEFAULT_MEMORY_MB = 1024
LEAST_MEMORY_MB = 256
"""numpy and sympy alone take about half of it."""


class LocalSandbox(SupervisedSandbox):
    """Runs code as our own user, under the limits of ``sandbox/supervisor.py``."""

    def __init__(
        self,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        memory_mb: int = DEFAULT_MEMORY_MB,
        max_sessions: int = DEFAULT_MAX_SESSIONS,
        max_running: int | None = None,
    ) -> None:
        """``memory_mb`` holds for each session: private data of any process, resident memory of all together."""
        super().__init__(timeout_s=timeout_s, max_sessions=max_sessions, max_running=max_running)
        if memory_mb < LEAST_MEMORY_MB:
            raise InputError(f"the sandbox option memory_mb is {memory_mb}; it must be {LEAST_MEMORY_MB} or more")
        self._memory_mb = memory_mb
        self._scratch: str | None = None

    @property
    def kind(self) -> str:
        return "local"

    @property
    def claims(self) -> frozenset[str]:
        return frozenset({"time", "memory", "output", "state", "descendants", "verdict"})

    def describe(self) -> str:
        return (
            "local: code runs as your own user with limits on time, memory and output; "
            "files, network and other processes are not isolated"
        )

    async def _start(self) -> SupervisorClient:
        if sys.platform != "linux":
            raise SandboxUnavailable(f"the local sandbox needs Linux, this is {sys.platform}; switch execution off")
        self._scratch = tempfile.mkdtemp(prefix="genprm-sandbox-")
        settings = json.dumps({"scratch": self._scratch, "memory_bytes": self._memory_mb << 20})
        program = str(resources.path("sandbox", "supervisor.py"))
        try:
            return await SupervisorClient.start([sys.executable, "-I", program, settings], _environment())
        except BaseException:
            self._remove_scratch()
            raise

    async def _discard(self, client: SupervisorClient) -> None:
        await super()._discard(client)
        self._remove_scratch()

    def _remove_scratch(self) -> None:
        """The supervisor does it too, unless it was killed."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


def _environment() -> dict[str, str]:
    """What the interpreter needs to start and to find its packages. None of our user's other variables, no secrets."""
    kept = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    if site.ENABLE_USER_SITE:
        environment["PYTHONUSERBASE"] = site.getuserbase()
    else:
        environment["PYTHONNOUSERSITE"] = "1"
    return environment
