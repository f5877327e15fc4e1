"""Attacks the machine's own sandbox, and says what it stands on and what nothing here covers.

sandbox, facts = examine("docker")
async for outcome in attacked(sandbox, select(ATTACKS, "T1,M")):
    ...
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genprm.errors import InputError
from genprm.execution import image as images
from genprm.execution.attacks import ATTACKS, Attack
from genprm.execution.attacks.arena import Arena, Attackable, Outcome
from genprm.execution.claims import CLAIMS
from genprm.execution.daemon import connect, failures
from genprm.execution.docker import DockerSandbox
from genprm.execution.local import LocalSandbox

if TYPE_CHECKING:
    from docker import APIClient

GVISOR = "runsc"
MEMORY_MB = 256
"""Of a session under attack: enough for numpy and sympy, and little to lose."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What the machine is like, and whether that is as it should be."""

    name: str
    value: str
    remark: str = ""
    """What a person should know about it, if anything."""


@dataclass(frozen=True, slots=True)
class Line:
    """How all attacks of one number went: a line of the survival table."""

    id: str
    outcomes: tuple[Outcome, ...]

    @property
    def started(self) -> tuple[Outcome, ...]:
        """Those that were started at all."""
        return tuple(one for one in self.outcomes if one.verdict != "not claimed")

    @property
    def breaches(self) -> tuple[Outcome, ...]:
        return tuple(one for one in self.outcomes if one.verdict == "breached")


def open_for_attack(kind: str, runtime: str | None = None) -> Attackable:
    """The sandbox that is attacked: one container only, so that every session has its neighbours in it."""
    if kind == "docker":
        return DockerSandbox.open(memory_mb=MEMORY_MB, containers=1, runtime=runtime)
    if runtime is not None:
        raise InputError(f"--runtime {runtime} is for containers; use it with --sandbox docker")
    return LocalSandbox(memory_mb=MEMORY_MB)


def select(only: str) -> list[Attack]:
    """The attacks that a comma-separated list of ids, families or names stands for; all for an empty one."""
    wanted = [part for part in only.split(",") if part]
    found = [one for one in ATTACKS if not wanted or any(part in (one.id, one.id[0], one.key) for part in wanted)]
    if missing := [part for part in wanted if not any(part in (one.id, one.id[0], one.key) for one in found)]:
        raise InputError(
            f"there is no attack '{missing[0]}'; say a family (T), a number (T1) or a name (T1-endless-loop)"
        )
    return found


async def attacked(sandbox: Attackable, attacks: Iterable[Attack]) -> AsyncIterator[Outcome]:
    """Run the attacks one after the other."""
    async with contextlib.aclosing(sandbox), Arena(sandbox) as arena:
        for attack in attacks:
            yield await arena.run(attack)


def lines(outcomes: Iterable[Outcome]) -> list[Line]:
    """The survival table."""
    return [Line(number, tuple(group)) for number, group in itertools.groupby(outcomes, key=lambda one: one.attack.id)]


def unclaimed(sandbox: Attackable) -> dict[str, str]:
    """What the sandbox does not claim, and what that means."""
    return {name: meaning for name, meaning in CLAIMS.items() if name not in sandbox.claims}


def facts(sandbox: Attackable, runtime: str | None = None) -> list[Fact]:
    """What the sandbox stands on. Blocks while the engine is asked."""
    found = [Fact("sandbox", sandbox.describe()), Fact("kernel", f"{platform.system()} {platform.release()}")]
    if isinstance(sandbox, DockerSandbox):
        api = connect()
        with contextlib.closing(api), failures():
            found += _of_engine(api, runtime)
    else:
        found.append(Fact("user", "root" if os.geteuid() == 0 else f"uid {os.geteuid()}"))
    return found


def _of_engine(api: APIClient, runtime: str | None) -> Iterator[Fact]:
    info: dict[str, Any] = api.info()
    options = " ".join(info.get("SecurityOptions") or [])
    yield Fact("engine", f"{info['ServerVersion']}, API {api.api_version}, {info['Driver']}")
    yield Fact("image", images.find(api).digest)
    yield Fact("cgroup", f"version {info.get('CgroupVersion', '1')}")
    limits = {"MemoryLimit": "memory", "SwapLimit": "swap", "CpuCfsQuota": "processor", "PidsLimit": "processes"}
    missing = [name for key, name in limits.items() if not info.get(key)]
    yield Fact("limits", "all enforced" if not missing else f"not enforced: {', '.join(missing)}")
    rootless = "name=rootless" in options
    yield Fact(
        "rootless", "yes" if rootless else "no", "" if rootless else "the engine itself runs as root of this machine"
    )
    mapped = "name=userns" in options
    yield Fact("user namespace", "remapped" if mapped or rootless else "that of the machine")
    yield Fact("seccomp", "our profile" if "name=seccomp" in options else "not available", "")
    has_gvisor = GVISOR in info.get("Runtimes", {})
    if runtime == GVISOR:
        yield Fact("gVisor", "in use")
    elif has_gvisor:
        yield Fact("gVisor", "present", f"--runtime {GVISOR} puts a kernel of its own between code and this machine")
    else:
        yield Fact("gVisor", "absent", "code shares the kernel with this machine")


def not_covered(sandbox: Attackable, runtime: str | None = None) -> list[str]:
    """What no attack here tries, in sentences."""
    found = []
    if runtime != GVISOR:
        found.append("a fault of the kernel: code makes system calls, fewer than usual, to the kernel of this machine")
    found.append("side channels: sessions share processor caches, and can tell how busy the machine is")
    if isinstance(sandbox, DockerSandbox):
        found.append("whoever may use the Docker engine is root on its machine, with or without genprm")
    if not Path("/proc/sys/kernel/random/boot_id").exists():
        found.append(
            "this machine does not say when it was started, so containers of dead owners end only by their age"
        )
    return found
