"""The sandboxes of this machine for the tests; what needs an engine or bubblewrap is skipped, loudly, without."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable

import docker
import pytest

from genprm.errors import SandboxUnavailable
from genprm.execution import DockerSandbox, LocalSandbox, containers, image
from genprm.execution.bubblewrap import find as find_bubblewrap
from genprm.execution.daemon import connect, failures

KINDS = ("local", "bubblewrap", "docker")


@functools.cache
def found_image() -> image.Image | str:
    """Our image, made from this machine if the engine lacks it; or the sentence that says why there is none."""
    try:
        with contextlib.closing(connect()) as api, failures():
            try:
                return image.find(api)
            except SandboxUnavailable:
                return image.build_from_host(api)
    except SandboxUnavailable as error:
        return str(error)


def need_image() -> image.Image:
    """Our image. Skips the calling test where there is none; fails it where GENPRM_NEED_DOCKER says there must be."""
    found = found_image()
    if isinstance(found, image.Image):
        return found
    reason = f"NOT TESTED ON DOCKER: {found}"
    if os.environ.get("GENPRM_NEED_DOCKER"):
        pytest.fail(reason)
    pytest.skip(reason)


def open_kind(kind: str, memory_mb: int = 512) -> DockerSandbox | LocalSandbox:
    """A sandbox of one of the ``KINDS``, or a skipped test where this machine has none."""
    if kind == "docker":
        # One container: what looks for other sessions must land beside them.
        return DockerSandbox(need_image(), memory_mb=memory_mb, containers=1)
    if kind == "bubblewrap" and find_bubblewrap() is None:
        pytest.skip("NOT TESTED in bubblewrap: this machine has none that works")
    return LocalSandbox(memory_mb=memory_mb, bubblewrap=kind == "bubblewrap")


def client() -> docker.APIClient:
    return connect()


def ours(api: docker.APIClient, pid: int | None = None) -> set[str]:
    """Containers whose owner is the process (this one unless given), in whatever state they are."""
    wanted = os.getpid() if pid is None else pid
    return {container for container, owner in containers.owned(api) if owner.pid == wanted}


def described(api: docker.APIClient, found: set[str]) -> list[str]:
    """Containers that should be gone: how they stand, and since when."""
    rows = [one for one in api.containers(all=True) if one["Id"] in found]
    return [f"{one['Names'][0]} is left: {one['State']}, {one['Status']}, made at {one['Created']}" for one in rows]


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
