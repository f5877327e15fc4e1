"""The ``docker`` sandbox: supervisors as process 1 of warm containers, sessions each under a user id of their own.

Covered: no network, a read-only root, no capability and no new privilege for code, an own list of system calls, limits
on memory, swap, processes, processor and files; see ``containers.py`` for the flags. Not covered: a fault of the
kernel itself, which containers share with their host. ``runtime="runsc"`` (gVisor) puts a kernel of its own between.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genprm.errors import InputError, SandboxUnavailable
from genprm.execution import claims, containers
from genprm.execution import image as images
from genprm.execution.attached import AttachedTransport
from genprm.execution.client import SupervisorClient
from genprm.execution.containers import Limits, uid_ranges
from genprm.execution.daemon import Daemon, connect, failures
from genprm.execution.image import Image
from genprm.execution.supervised import (
    DEFAULT_MAX_SESSIONS,
    DEFAULT_MEMORY_MB,
    DEFAULT_TIMEOUT_S,
    SupervisedSandbox,
    usable_cores,
)

if TYPE_CHECKING:
    from docker import APIClient

log = logging.getLogger(__name__)

LEAST_CONTAINERS = 2
"""So that one that dies or is replaced is not all there is."""
MAX_USES = 2000
"""Sessions on one container."""
LIFETIME_S = 3600.0
END_S = 6 * 3600.0
"""Age at which a container ends whatever runs in it: the last net, for owners that died unseen."""
PROBE_S = 10.0
"""Longest wait for the engine's first answer."""
OWN_MB = 512
"""Of supervisor and template, and of what lies in tmpfs."""
SESSION_PROCESSES = 64
"""Of one session, threads included."""
SESSION_OPEN_FILES = 128
SESSION_FILES, RESERVED_FILES = 1024, 4096
"""Of one session; and of the file system beyond what all sessions may have."""
SPARE_USERS = 16
"""User ids of a container beyond its sessions, for ended ones whose processes are slow to die."""


class DockerSandbox(SupervisedSandbox):
    """Runs code in containers made from ``image``."""

    def __init__(
        self,
        image: Image,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        memory_mb: int = DEFAULT_MEMORY_MB,
        max_sessions: int = DEFAULT_MAX_SESSIONS,
        max_running: int | None = None,
        containers: int | None = None,
        runtime: str | None = None,
        max_uses: int = MAX_USES,
        lifetime_s: float = LIFETIME_S,
    ) -> None:
        """``containers``: most at once, one for each core unless given. ``runtime``: one that the engine knows.
        A container is replaced after ``max_uses`` sessions or ``lifetime_s``, once no session is open on it."""
        size = max(LEAST_CONTAINERS, usable_cores()) if containers is None else containers
        for name, value in (("containers", size), ("max_uses", max_uses), ("lifetime_s", lifetime_s)):
            if not value > 0:
                raise InputError(f"the sandbox option {name} is {value}; it must be more than 0")
        super().__init__(
            timeout_s=timeout_s, memory_mb=memory_mb, max_sessions=max_sessions, max_running=max_running,
            supervisors=size, max_uses=max_uses, lifetime_s=lifetime_s,
        )  # fmt: skip
        self._image = image
        self._runtime = runtime
        self._limits = Limits(
            memory_bytes=(2 * memory_mb + OWN_MB) << 20,
            cpus=max(1.0, usable_cores() / size),
            processes=8 * SESSION_PROCESSES + self._room,
            files=self._room * SESSION_FILES + RESERVED_FILES,
        )
        self._daemon = Daemon()
        self._users = self._room + SPARE_USERS
        self._uids = uid_ranges(self._users)
        self._names: set[str] = set()
        self._looked_for_orphans = False

    @classmethod
    def open(cls, **options: Any) -> DockerSandbox:
        """A sandbox of the image that this machine has. Blocks until the engine answers.

        Raises ``SandboxUnavailable`` with the remedy if there is no engine or no image.
        """
        api = connect(PROBE_S)
        with failures():
            image = images.find(api)
            api.close()
        return cls(image, **options)

    @property
    def kind(self) -> str:
        return "docker"

    @property
    def identity(self) -> Mapping[str, str]:
        return {"kind": self.kind, "image": self._image.digest}

    @property
    def claims(self) -> frozenset[str]:
        return claims.ALL

    @property
    def containers(self) -> tuple[str, ...]:
        """Ids of the containers that run."""
        transports = (worker.client.transport for worker in self._pool.workers if worker.client.alive)
        return tuple(one.container for one in transports if isinstance(one, AttachedTransport))

    def describe(self) -> str:
        return (
            "docker: code runs in containers without network, as an unprivileged user of its own; "
            "the kernel is shared with this machine"
        )

    async def _start(self) -> SupervisorClient:
        if not self._looked_for_orphans:
            self._looked_for_orphans = True
            await self._daemon.call(containers.remove_orphans)
        transport = await AttachedTransport.start(self._daemon, self._arguments)
        return await SupervisorClient.start(transport)

    def _arguments(self, api: APIClient) -> Mapping[str, Any]:
        asked = containers.creation(
            api, self._image.reference, [json.dumps(self._settings())], self._limits, containers.Owner.me(),
            seccomp=images.seccomp(), runtime=self._runtime,
        )  # fmt: skip
        self._names.add(asked["name"])
        return asked

    def _settings(self) -> Mapping[str, Any]:
        """Of the supervisor; see ``sandbox/supervisor.py``."""
        return {
            "scratch": containers.SCRATCH,
            "memory_bytes": self._memory_mb << 20,
            "processes": SESSION_PROCESSES,
            "first_uid": next(self._uids),
            "max_sessions": self._users,
            "lifetime_s": END_S,
            "open_files": SESSION_OPEN_FILES,
            "scratch_files": SESSION_FILES,
        }

    async def aclose(self) -> None:
        await super().aclose()
        if self._names:
            await self._remove_leftovers()
        self._daemon.close()

    async def _remove_leftovers(self) -> None:
        """An engine that was too slow to answer may have made a container after all, or still have to remove one."""
        names, self._names = self._names, set()
        try:
            for container in await self._daemon.call(lambda api: containers.remove_named(api, names)):
                log.warning("container %s was left over and has been removed", container[:12])
        except SandboxUnavailable as error:
            log.warning("whether a container is left could not be seen: %s", error)
