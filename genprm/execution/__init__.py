"""Runs the code that a model wrote: the host side of the sandbox. What runs inside lies in ``sandbox/``.

async with contextlib.aclosing(open_sandbox("auto")) as sandbox:
    async with contextlib.aclosing(sandbox.session()) as session:
        result = await session.run("print(1 + 1)")
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from genprm.errors import InputError, SandboxUnavailable
from genprm.execution.base import ExecutionResult, Sandbox, Session
from genprm.execution.docker import DockerSandbox
from genprm.execution.local import LocalSandbox

__all__ = ["DockerSandbox", "ExecutionResult", "LocalSandbox", "Sandbox", "Session", "open_sandbox", "started_sandbox"]

_log = logging.getLogger(__name__)


def open_sandbox(kind: str = "auto", **options: Any) -> Sandbox:
    """The sandbox of that kind; ``auto`` is docker when an engine and our image answer, else local, and logs which.

    Runs nothing yet (``start`` or the first cell does), but blocks until an engine answers or the lack of one is
    clear: ten seconds at worst. ``options`` are those of the backend: ``timeout_s``, ``memory_mb``, ``max_sessions``,
    ``max_running``. Raises ``SandboxUnavailable`` with the remedy where docker is asked for and is not there.
    """
    if kind not in ("auto", "docker", "local"):
        raise InputError(f"there is no sandbox '{kind}'; choose auto, docker or local")
    if kind == "docker":
        return DockerSandbox.open(**options)
    if kind == "local":
        return LocalSandbox(**options)
    sandbox, why_not = _best(options)
    _log.info("sandbox auto: %s%s", sandbox.describe(), why_not)
    return sandbox


async def started_sandbox(given: str | Sandbox, **options: Any) -> Sandbox:
    """The sandbox of a choice: a kind, opened and started, or an open one as it is."""
    if not isinstance(given, str):
        return given
    sandbox = await asyncio.to_thread(open_sandbox, given, **options)
    try:
        await sandbox.start()
    except BaseException:
        await sandbox.aclose()
        raise
    return sandbox


def _best(options: dict[str, Any]) -> tuple[Sandbox, str]:
    """The best sandbox that this machine has, and why it is not a better one."""
    try:
        return DockerSandbox.open(**options), ""
    except SandboxUnavailable as error:
        return LocalSandbox(**options), f" (docker was not taken: {str(error).partition(';')[0]})"
