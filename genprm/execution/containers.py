"""Containers of the docker sandbox: what one may do, whose it is, and how those without an owner are removed.

A container lives as long as its owner holds its stdin: the supervisor is process 1 and ends when that closes, however
the owner died, and the engine then removes it. Three nets lie below: an owner removes its containers when it closes,
the supervisor ends itself after its lifetime, and the next owner removes those whose owner is gone, and only those.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docker import APIClient

log = logging.getLogger(__name__)

OWNER_LABEL = "genprm.owner"
SCRATCH = "/scratch"
CAPABILITIES = ("SETUID", "SETGID", "KILL", "CHOWN")
"""What the supervisor keeps: to make a session another user, to hand it its folder, and to kill it."""
GONE_S, LOOK_S = 15.0, 0.02
"""How long the engine may take over a removal, and how often we look."""
LEAST_UID, UID_END = 20_000, 64_000
"""Above the ids of people, and below 65,536, so that they exist under user namespace remapping too."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a container may use."""

    memory_bytes: int
    """Of all its sessions and the supervisor, what lies in its tmpfs included; swap is none."""
    cpus: float
    processes: int
    """Processes and threads."""
    scratch_bytes: int = 256 << 20
    temporary_bytes: int = 64 << 20
    """Of /tmp."""
    shared_bytes: int = 64 << 20
    """Of /dev/shm."""
    files: int = 20_000
    """Of each tmpfs."""
    open_files: int = 4096
    """Of one process; sessions have less."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process of a machine, told apart from any other that had or will have its number."""

    boot: str
    """Changes with each start of the machine."""
    namespace: str
    """Of process numbers."""
    pid: int
    started: str
    """In ticks since the machine started."""

    @classmethod
    def me(cls) -> Owner:
        pid = os.getpid()
        return cls(_boot(), _namespace(), pid, _started(pid))

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """The owner of a label; ``None`` if it is none of ours."""
        parts = text.split("/")
        if len(parts) != 4 or not parts[2].isdigit():
            return None
        return cls(parts[0], parts[1], int(parts[2]), parts[3])

    def __str__(self) -> str:
        return f"{self.boot}/{self.namespace}/{self.pid}/{self.started}"

    def is_gone(self) -> bool:
        """Whether it surely runs no more. What we cannot see, on another machine or in a container, we take to live."""
        if (self.boot, self.namespace) != (_boot(), _namespace()) or not self.started:
            return False
        return _started(self.pid) != self.started


def uid_ranges(size: int) -> Iterator[int]:
    """First ids of ranges of ``size`` user ids, without end. Containers should not share ids: the kernel counts the
    processes of a user id on the whole machine. Those of one owner follow each other, those of two start anywhere."""
    ranges = range(LEAST_UID, UID_END - size, size)
    first = secrets.randbelow(len(ranges))
    return itertools.cycle([*ranges[first:], *ranges[:first]])


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _namespace() -> str:
    with contextlib.suppress(OSError):
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    return ""


def _started(pid: int) -> str:
    """When the process started; empty if it is gone (a zombie is)."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    return ""


def creation(
    api: APIClient, image: str, command: list[str], limits: Limits, owner: Owner, *, seccomp: str, runtime: str | None
) -> Mapping[str, Any]:
    """The arguments of ``api.create_container``: everything that is not needed is taken away."""
    host = api.create_host_config(
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        cap_add=list(CAPABILITIES),
        security_opt=["no-new-privileges:true", f"seccomp={seccomp}"],
        mem_limit=limits.memory_bytes,
        memswap_limit=limits.memory_bytes,  # memory and swap together: no swap
        nano_cpus=int(limits.cpus * 1e9),
        pids_limit=limits.processes,
        ipc_mode="private",
        shm_size=limits.shared_bytes,
        tmpfs={
            SCRATCH: f"size={limits.scratch_bytes},nr_inodes={limits.files},mode=0711,nosuid,nodev",
            "/tmp": f"size={limits.temporary_bytes},nr_inodes={limits.files},mode=1777,nosuid,nodev",
        },
        ulimits=[
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "nofile", "Soft": limits.open_files, "Hard": limits.open_files},
        ],
        oom_score_adj=1000,  # first to go if the machine runs out of memory; sessions cannot lower it
        log_config={"Type": "none", "Config": {}},
        auto_remove=True,
        init=False,
        runtime=runtime,
    )
    host["CgroupnsMode"] = "private"
    return {
        "image": image,
        "command": command,
        "name": f"genprm-{owner.pid}-{secrets.token_hex(4)}",
        "labels": {OWNER_LABEL: str(owner)},
        "hostname": "sandbox",
        "stdin_open": True,  # and, as it is not detached, closed with its first client
        "tty": False,
        "network_disabled": True,
        "host_config": host,
    }


def owned(api: APIClient) -> list[tuple[str, Owner]]:
    """Every container that some genprm made, running or not, with its owner."""
    found = api.containers(all=True, filters={"label": OWNER_LABEL})
    owners = ((one["Id"], Owner.parse(one["Labels"].get(OWNER_LABEL, ""))) for one in found)
    return [(container, owner) for container, owner in owners if owner is not None]


def remove_named(api: APIClient, names: set[str]) -> list[str]:
    """Remove what this process has of these names; their ids. An engine that did not answer in time may have them."""
    found = api.containers(all=True, filters={"label": f"{OWNER_LABEL}={Owner.me()}"})
    left = [one["Id"] for one in found if not names.isdisjoint(name.lstrip("/") for name in one["Names"])]
    for container in left:
        remove(api, container)
    return left


def remove_orphans(api: APIClient) -> list[str]:
    """Remove the containers whose owner is gone; their ids."""
    orphans = [container for container, owner in owned(api) if owner.is_gone()]
    for container in orphans:
        remove(api, container)
    return orphans


def remove(api: APIClient, container: str) -> None:
    """Kill and remove a container, and wait until it is gone. One that is gone is fine."""
    from docker.errors import APIError, NotFound

    try:
        api.remove_container(container, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:
            raise
    with contextlib.suppress(NotFound):  # 409: the engine is removing it already, as it does with one that ended
        for _ in range(int(GONE_S / LOOK_S)):
            api.inspect_container(container)
            time.sleep(LOOK_S)
        log.warning("container %s is still there %g s after the engine took its removal", container[:12], GONE_S)


def trouble(api: APIClient, container: str) -> str | None:
    """Why a container cannot answer; ``None`` if it runs."""
    from docker.errors import NotFound

    try:
        state = api.inspect_container(container)["State"]
    except NotFound:
        return "it was removed"
    if state["Paused"]:
        return "it is paused"
    return None if state["Running"] else f"it ended with exit code {state['ExitCode']}"
