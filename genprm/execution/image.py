"""The image that containers are started from: what it is called, whether it is there, and how it is made.

    image = find(api)                 # SandboxUnavailable says which command makes it
    image = build_from_host(api)      # no registry needed
    image = build(api)                # sandbox/Dockerfile

``api`` is a ``docker.APIClient``. What it raises when the engine does not answer, rises: ``daemon.failures`` words it.

An image's tag is drawn from what went into it: the files inside the boundary, the interpreter and the packages. So a
changed supervisor asks for a new image, and two versions of genprm on one machine do not disturb each other.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genprm import resources
from genprm.errors import SandboxUnavailable
from genprm.execution import hostimage

if TYPE_CHECKING:
    from docker import APIClient

REPOSITORY = "genprm-sandbox"
ENTRYPOINT = '["/opt/genprm/bin/python", "-I", "/opt/genprm/sandbox/supervisor.py"]'
ENVIRONMENT = "PATH=/opt/genprm/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8"
BUILD_WAIT_S = 1800.0
RECIPE = 1
"""Raise it when the way an image is assembled changes, so that old images are not taken for new ones."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that an engine has."""

    reference: str
    """Its name in the engine: repository and tag."""
    digest: str
    """The engine's content address of it, ``sha256:...``; part of a run's identity."""


def names() -> dict[str, str]:
    """The names under which this version's image may be found: how it was built, and its name."""
    from_host = [platform.python_implementation(), platform.python_version(), platform.machine()]
    for package in hostimage.PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            from_host.append(f"{package} {importlib.metadata.version(package)}")
    from_registry = [resources.path("sandbox", name).read_text() for name in ("Dockerfile", "requirements.txt")]
    return {"registry": _name(from_registry), "host": _name(from_host)}


def _name(parts: list[str]) -> str:
    inside = [resources.path("sandbox", name).read_text() for name in hostimage.INSIDE]
    digest = hashlib.sha256("\0".join([str(RECIPE), *inside, *parts]).encode()).hexdigest()
    return f"{REPOSITORY}:{digest[:12]}"


def seccomp() -> str:
    """The profile that containers of the image run under, as the engine takes it."""
    return json.dumps(json.loads(resources.path("sandbox", "seccomp.json").read_text()))


def find(api: APIClient) -> Image:
    """This version's image. Raises ``SandboxUnavailable`` with the command that makes it."""
    for how in names():
        if (found := existing(api, how)) is not None:
            return found
    raise SandboxUnavailable(
        "the sandbox's image is not there yet; make it with: genprm sandbox build (or, without a registry: "
        "genprm sandbox build --from-host)"
    )


def existing(api: APIClient, how: str) -> Image | None:
    """This version's image that was built this way (``registry`` or ``host``), if it is there.

    What goes into it is in its name, so making it anew gives the same, under another digest.
    """
    from docker.errors import ImageNotFound

    with contextlib.suppress(ImageNotFound):
        return _image(api, names()[how])
    return None


def _image(api: APIClient, name: str) -> Image:
    return Image(name, api.inspect_image(name)["Id"])


def build_from_host(api: APIClient) -> Image:
    """Make the image out of this machine's interpreter and packages."""
    name = names()["host"]
    repository, tag = name.split(":")
    changes = [f"ENV {ENVIRONMENT}", f"ENTRYPOINT {ENTRYPOINT}"]
    with tempfile.NamedTemporaryFile(prefix="genprm-image-", suffix=".tar") as file:
        hostimage.write_tar(file)
        file.flush()
        with _patience(api):
            api.import_image_from_file(file.name, repository=repository, tag=tag, changes=changes)
    return _image(api, name)


def build(api: APIClient) -> Image:
    """Make the image from ``sandbox/Dockerfile``. Raises ``SandboxUnavailable`` with the engine's own words."""
    name = names()["registry"]
    with _patience(api):
        for line in api.build(path=str(resources.root("sandbox")), tag=name, rm=True, forcerm=True, decode=True):
            if reason := line.get("error"):
                raise SandboxUnavailable(
                    f"the image could not be built ({reason.strip()}); on a machine that reaches no registry: "
                    "genprm sandbox build --from-host"
                )
    return _image(api, name)


@contextlib.contextmanager
def _patience(api: APIClient) -> Iterator[None]:
    """A build takes longer than any other call."""
    usual, api.timeout = api.timeout, BUILD_WAIT_S
    try:
        yield
    finally:
        api.timeout = usual
