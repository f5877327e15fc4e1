"""The transport to a container: the raw connection of docker's attach, taken apart into stdout and stderr.

What comes is a row of chunks: kind (1 byte: 1 stdout, 2 stderr), three zeros, length (4 bytes, big endian), data. The
connection is made before the container starts, so that nothing is missed and its stdin is never without an owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from genprm.errors import SandboxUnavailable
from genprm.execution import containers
from genprm.execution.daemon import Daemon

if TYPE_CHECKING:
    from docker import APIClient

STDOUT, STDERR = 1, 2
HEADER = 8
WORDS_KEPT = 4096
"""Bytes of stderr."""
LAUNCH_S = 90.0
REMOVE_S = 45.0

log = logging.getLogger(__name__)


class Demultiplexer(asyncio.Protocol):
    """Feeds stdout to a stream and keeps the end of stderr."""

    def __init__(self) -> None:
        self.stdout = asyncio.StreamReader()
        self.words = bytearray()
        self.ended = asyncio.Event()
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= HEADER:
            kind, size = struct.unpack_from(">BxxxI", self._buffer)
            if len(self._buffer) < HEADER + size:
                return
            chunk = bytes(self._buffer[HEADER : HEADER + size])
            del self._buffer[: HEADER + size]
            if kind == STDOUT:
                self.stdout.feed_data(chunk)
            elif kind == STDERR:
                self.words += chunk
                del self.words[:-WORDS_KEPT]

    def eof_received(self) -> None:
        """The container ended: close our half too."""

    def connection_lost(self, error: Exception | None) -> None:
        self.stdout.feed_eof()
        self.ended.set()


class AttachedTransport:
    """A container whose process 1 is a supervisor."""

    def __init__(self, daemon: Daemon, container: str, connection: asyncio.Transport, streams: Demultiplexer) -> None:
        self._daemon = daemon
        self.container = container
        self._connection = connection
        self._streams = streams
        self._removal: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, daemon: Daemon, arguments: Callable[[APIClient], Mapping[str, Any]]) -> AttachedTransport:
        """Create, attach to and start a container. Raises ``SandboxUnavailable``; then, or cancelled, none is left."""
        container, connected = await _launch(daemon, arguments)
        try:
            connection, streams = await asyncio.get_running_loop().create_connection(Demultiplexer, sock=connected)
        except BaseException:
            connected.close()
            await asyncio.shield(_remove(daemon, container))
            raise
        return cls(daemon, container, connection, streams)

    @property
    def name(self) -> str:
        return f"container {self.container[:12]}"

    @property
    def output(self) -> asyncio.StreamReader:
        return self._streams.stdout

    def write(self, data: bytes) -> None:
        if not self._connection.is_closing():
            self._connection.write(data)

    def last_words(self) -> str:
        lines = self._streams.words.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "its container said nothing"

    async def ended(self) -> None:
        await self._streams.ended.wait()

    async def trouble(self) -> str | None:
        try:
            return await self._daemon.call(lambda api: containers.trouble(api, self.container))
        except SandboxUnavailable:
            return None  # the engine's trouble, not the container's

    def kill(self) -> None:
        self._connection.abort()
        if self._removal is None:
            self._removal = asyncio.create_task(_remove(self._daemon, self.container), name="genprm sandbox removal")

    async def aclose(self, wait_s: float) -> None:
        if not self._connection.is_closing():
            with contextlib.suppress(OSError):
                self._connection.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self.ended()
        self.kill()
        assert self._removal is not None
        await asyncio.shield(self._removal)
        await self.ended()


async def _remove(daemon: Daemon, container: str) -> None:
    """Remove a container, or say who will: it has lost its stdin by now and ends by itself."""
    try:
        await daemon.call(lambda api: containers.remove(api, container), deadline_s=REMOVE_S)
    except SandboxUnavailable as error:
        log.warning("container %s could not be removed and is left to end by itself: %s", container[:12], error)


async def _launch(daemon: Daemon, arguments: Callable[[APIClient], Mapping[str, Any]]) -> tuple[str, socket.socket]:
    """A started container and our connection to it."""
    given_up = threading.Event()
    launch = daemon.submit(lambda api: launch_container(api, arguments(api), given_up))
    try:
        async with asyncio.timeout(LAUNCH_S):
            return await asyncio.shield(launch)
    except (TimeoutError, asyncio.CancelledError) as error:
        given_up.set()  # the thread cannot be stopped: it cleans up after itself, and we see that it does
        await asyncio.wait([launch], timeout=LAUNCH_S)
        if launch.done() and not launch.cancelled() and launch.exception() is None:
            container, connected = launch.result()
            connected.close()
            await _remove(daemon, container)
        if isinstance(error, TimeoutError):
            raise SandboxUnavailable("the Docker engine did not start a container in time") from error
        raise


def launch_container(
    api: APIClient, arguments: Mapping[str, Any], given_up: threading.Event
) -> tuple[str, socket.socket]:
    """Create, attach, start. Blocks. Whatever fails, no container is left."""
    container: str = api.create_container(**arguments)["Id"]
    try:
        connected = attach(api, container)
        try:
            if given_up.is_set():
                raise SandboxUnavailable("the start of a container was given up")
            api.start(container)
        except BaseException:
            connected.close()
            raise
    except BaseException:
        containers.remove(api, container)
        raise
    return container, connected


def attach(api: APIClient, container: str) -> socket.socket:
    """The connection's socket, taken out of docker-py and the libraries below it, which would close it."""
    theirs = api.attach_socket(container, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    ours = socket.socket(fileno=theirs._sock.detach())
    ours.setblocking(False)
    return ours
