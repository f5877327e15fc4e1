"""Command lines of genprm in the replicas of a Ray cluster, one at a time in each (``runs.ray``).

A command is a process of its own, so a training leaves neither memory on the GPU nor settings behind for the next. It
ends with its replica. All machines see the files of the driver under the same paths; what a command prints goes into
``log``, and is what people look at while it runs.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO

from genprm.errors import InputError

_PR_SET_PDEATHSIG = 1
_END_S = 20.0
"""What a command may take to save where it is, once it is told to end."""
_TAIL = 65_536
_LOST = 3
"""Exit code where infrastructure failed."""


@dataclass(frozen=True, slots=True)
class Order:
    """A command line, without ``genprm``."""

    line: tuple[str, ...]
    folder: str
    """Where it runs: relative paths of recipes are the driver's."""
    log: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended."""

    code: int
    said: str
    """The last line that it printed."""


class Commands:
    """A ``Worker`` that runs command lines."""

    capacity = 1

    def __init__(self) -> None:
        self.facts = f"genprm {metadata.version('genprm')}"

    async def run(self, order: Order) -> Ended:
        """Run a command to its end. Cancelled, it is told to end, and waited for. Raises ``InputError``."""
        log = Path(order.log)
        try:
            with _opened(log) as file:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", __name__, str(os.getpid()), *order.line,
                    cwd=order.folder, stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file,
                )  # fmt: skip
        except OSError as error:
            raise InputError(f"a replica cannot write {log} ({error.strerror}); give --out on a shared disk") from error
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        return Ended(code, _last_line(log)) if code >= 0 else Ended(_LOST, f"it was killed by signal {-code}")

    async def aclose(self) -> None:
        """Nothing is kept between commands."""


async def opened() -> Commands:
    """Opens such a worker."""
    return Commands()


def _opened(log: Path) -> IO[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("ab")


async def _end(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        process.kill()


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _end_with(parent: int) -> None:
    """Have the kernel end this process when its parent does, kill -9 included."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before that
        sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    from genprm.cli import main

    _end_with(int(sys.argv[1]))
    main(sys.argv[2:])
