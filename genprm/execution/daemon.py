"""The Docker engine as we call it: every call in a thread, with a deadline, and its failures as one sentence.

The engine is the one that DOCKER_HOST names, else the one behind the usual socket. It must be
reached over a socket without TLS, for we speak to containers over the raw connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from genprm.errors import SandboxUnavailable

if TYPE_CHECKING:
    from docker import APIClient

Result = TypeVar("Result")

LEAST_API = (1, 41)
"""Docker 20.10, of 2020: the first with private cgroup namespaces."""
CALL_S = 30.0
"""Longest wait for one answer of the engine."""
INSTEAD = "or use --sandbox local"


class Refused(SandboxUnavailable):
    """The engine answered, and the answer was no."""


def connect(timeout_s: float = CALL_S) -> APIClient:
    """A client of the engine, after its first answer. Blocks. Raises ``SandboxUnavailable`` with the remedy."""
    try:
        import docker
        from docker.utils import kwargs_from_env
    except ImportError as error:
        raise SandboxUnavailable(f"docker-py is not there; install it with: pip install docker, {INSTEAD}") from error
    with failures():
        options = kwargs_from_env()
        place = options.get("base_url") or "unix:///var/run/docker.sock"
        if not place.startswith(("unix://", "http+unix://", "tcp://", "http://")) or options.get("tls"):
            raise SandboxUnavailable(
                f"the Docker engine at {place} is reached over TLS or ssh, which the docker sandbox does not speak; "
                f"set DOCKER_HOST to a local engine, {INSTEAD}"
            )
        _knock(place)
        api = docker.APIClient(**options, version="auto", timeout=timeout_s)
    if tuple(map(int, api.api_version.split("."))) < LEAST_API:
        wanted = ".".join(map(str, LEAST_API))
        raise SandboxUnavailable(
            f"the Docker engine at {place} speaks API {api.api_version}, {wanted} is needed; update it, {INSTEAD}"
        )
    return api


def _knock(place: str) -> None:
    """Raise ``OSError`` if nobody listens at a socket's path: docker-py leaves a socket open when it finds that out."""
    _, unix, path = place.partition("unix://")
    if unix:
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(path)


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Turn what docker-py and its HTTP library raise into ``SandboxUnavailable``."""
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except APIError as error:
        raise Refused(f"the Docker engine refused: {_one_line(error.explanation or error)}; {INSTEAD}") from error
    except (DockerException, RequestException, OSError) as error:
        raise SandboxUnavailable(explain(error)) from error


def explain(error: BaseException) -> str:
    """The sentence for a failure to reach the engine."""
    causes = [*_causes(error)]

    def is_any(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if is_any(PermissionError):
        return f"the Docker engine refuses this user (permission denied); add the user to the docker group, {INSTEAD}"
    if is_any(FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        return f"no Docker engine answers; start it (or set DOCKER_HOST to where it listens), {INSTEAD}"
    if is_any(TimeoutError) or "timed out" in str(error):
        return f"the Docker engine does not answer in time; see whether docker info does, {INSTEAD}"
    return f"the Docker engine cannot be used: {_one_line(error)}; see whether docker info works, {INSTEAD}"


def _causes(error: object) -> Iterator[BaseException]:
    """An error and all that it was made of; the libraries wrap each other's as arguments and as contexts."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [*one.args, one.__cause__, one.__context__, getattr(one, "reason", None)]


def _one_line(text: object) -> str:
    line = " ".join(str(text).split()).rstrip(".")
    return line if len(line) <= 300 else line[:297] + "..."


class Daemon:
    """Calls to the engine from an event loop. Each runs in a thread of ours, with a client of its own."""

    def __init__(self, threads: int = 8) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="genprm docker")

    def submit(self, work: Callable[[APIClient], Result]) -> asyncio.Future[Result]:
        """Start ``work`` in a thread. Each of its calls ends within ``CALL_S``; cancelling does not stop it."""
        return asyncio.get_running_loop().run_in_executor(self._threads, self._run, work)

    async def call(self, work: Callable[[APIClient], Result], *, deadline_s: float = 2 * CALL_S) -> Result:
        """The result of ``work``. Raises ``SandboxUnavailable``, also when it takes longer than the deadline."""
        try:
            async with asyncio.timeout(deadline_s):
                future = self.submit(work)
                future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting
                return await asyncio.shield(future)
        except TimeoutError as error:
            raise SandboxUnavailable(explain(error)) from error

    @staticmethod
    def _run(work: Callable[[APIClient], Any]) -> Any:
        api = connect()
        with contextlib.closing(api), failures():
            return work(api)

    def close(self) -> None:
        """Take no more calls. Those that run end within their deadlines."""
        self._threads.shutdown(wait=False)
