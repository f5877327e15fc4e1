"""How a client reaches its supervisor: the two ends of its stdin and stdout, and what an owner may do to it.

``PipeTransport`` is a subprocess of ours; ``attached.py`` has the one for a container.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from genprm.errors import SandboxUnavailable


class Transport(Protocol):
    """A running supervisor as its owner holds it. Belongs to one event loop."""

    @property
    def name(self) -> str:
        """What a person can look up: a process id, a container id."""

    @property
    def output(self) -> asyncio.StreamReader:
        """Its stdout; ends when it does."""

    def write(self, data: bytes) -> None:
        """Queue bytes for its stdin. Never waits and never fails: what a dead supervisor misses, nobody does."""

    def last_words(self) -> str:
        """The last line that it wrote to stderr, or how it ended."""

    async def ended(self) -> None:
        """Wait until it has ended."""

    async def trouble(self) -> str | None:
        """Why it cannot answer, if something outside it is the reason; ``None`` when it may just be busy."""

    def kill(self) -> None:
        """Kill it at once, without waiting. Its output ends soon after."""

    async def aclose(self, wait_s: float) -> None:
        """Close its stdin, on which it ends by itself; kill it if it takes longer than ``wait_s``. Leaves nothing."""


class PipeTransport:
    """A supervisor that is a subprocess of ours."""

    def __init__(self, process: asyncio.subprocess.Process, log: IO[bytes], scratch: str) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._log = log
        self._scratch = scratch
        self._stdin = process.stdin
        self._stdout = process.stdout

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str], scratch: str) -> PipeTransport:
        """Start the command. ``scratch`` is a folder that is removed with it. Raises ``SandboxUnavailable``."""
        log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=log, env=dict(env), cwd="/", start_new_session=True
            )
        except OSError as error:
            log.close()
            raise SandboxUnavailable(f"the sandbox cannot be started: {command[0]}: {error.strerror}") from error
        return cls(process, log, scratch)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def name(self) -> str:
        return f"process {self.pid}"

    @property
    def output(self) -> asyncio.StreamReader:
        return self._stdout

    def write(self, data: bytes) -> None:
        self._stdin.write(data)

    def last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.returncode}"

    async def ended(self) -> None:
        await self._process.wait()

    async def trouble(self) -> str | None:
        return "it is stopped" if _is_stopped(self.pid) else None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def aclose(self, wait_s: float) -> None:
        self._stdin.close()
        try:
            async with asyncio.timeout(wait_s):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        with contextlib.suppress(ConnectionError):
            await self._stdin.wait_closed()
        self._log.close()
        # The supervisor removes it too, unless it was killed.
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)


def _is_stopped(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "T"
    return False
