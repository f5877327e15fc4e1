"""Runs the code that a model wrote: the host side of the sandbox. What runs inside lies in ``sandbox/``.

async with contextlib.aclosing(open_sandbox("auto")) as sandbox:
    async with contextlib.aclosing(sandbox.session()) as session:
        result = await session.run("print(1 + 1)")
"""

from __future__ import annotations

import logging
from typing import Any

from genprm.errors import InputError
from genprm.execution.base import ExecutionResult, Sandbox, Session
from genprm.execution.local import LocalSandbox

__all__ = ["ExecutionResult", "LocalSandbox", "Sandbox", "Session", "open_sandbox"]

_log = logging.getLogger(__name__)


def open_sandbox(kind: str = "auto", **options: Any) -> Sandbox:
    """The sandbox of that kind; ``auto`` takes the best there is and logs which. Starts nothing before its first cell.

    ``options`` are those of the backend: ``timeout_s``, ``memory_mb``, ``max_sessions``, ``max_running``.
    """
    if kind == "docker":
        raise InputError("the docker sandbox is not part of this version; use --sandbox local or --sandbox auto")
    if kind not in ("auto", "local"):
        raise InputError(f"there is no sandbox '{kind}'; choose auto or local")
    sandbox = LocalSandbox(**options)
    if kind == "auto":
        _log.info("sandbox auto: %s", sandbox.describe())
    return sandbox
