"""Without a usable engine there is one sentence with the remedy; the engines here are small servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import docker.errors
import pytest
import requests
import urllib3

from genprm.errors import SandboxUnavailable
from genprm.execution import DockerSandbox, containers, daemon, open_sandbox
from genprm.execution.daemon import Daemon, connect, explain
from genprm.execution.image import Image


@contextlib.contextmanager
def engine_that_says(answers: dict[str, tuple[int, object]]) -> Iterator[str]:
    """An HTTP server that has an answer for the end of a path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = next(
                (a for end, a in answers.items() if self.path.split("?")[0].endswith(end)),
                (404, {"message": "No such image: it"}),
            )
            body = json.dumps(found[1]).encode()
            self.send_response(found[0])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for place in (f"unix://{tmp_path}/none.sock", "tcp://127.0.0.1:9"):
        monkeypatch.setenv("DOCKER_HOST", place)
        with pytest.raises(SandboxUnavailable, match=r"no Docker engine answers; start it .* --sandbox local"):
            open_sandbox("docker")


def test_permission_denied() -> None:
    denied = PermissionError(13, "Permission denied")
    low = requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.", denied))
    wrapped = docker.errors.DockerException("Error while fetching server API version")
    wrapped.__cause__ = low
    assert "docker group" in explain(wrapped)


def test_an_old_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    with engine_that_says({"/version": (200, {"ApiVersion": "1.30"})}) as place:
        monkeypatch.setenv("DOCKER_HOST", place)
        with pytest.raises(SandboxUnavailable, match=r"API 1\.30, 1\.41 is needed; update it"):
            open_sandbox("docker")


def test_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    with engine_that_says({"/version": (200, {"ApiVersion": "1.41"})}) as place:
        monkeypatch.setenv("DOCKER_HOST", place)
        with pytest.raises(SandboxUnavailable, match="genprm sandbox build"):
            open_sandbox("docker")


def test_an_engine_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"/version": (200, {"ApiVersion": "1.41"}), "/json": (500, {"message": "disk\nfull."})}
    with engine_that_says(answers) as place:
        monkeypatch.setenv("DOCKER_HOST", place)
        with pytest.raises(SandboxUnavailable, match=r"refused: .*disk full; or use --sandbox local"):
            open_sandbox("docker")


def test_an_engine_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(SandboxUnavailable, match="does not answer in time"):
            connect(0.3)


def test_an_engine_behind_tls_or_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://somewhere")
    with pytest.raises(SandboxUnavailable, match="TLS or ssh"):
        connect()


def test_auto_takes_local_and_says_why(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with caplog.at_level("INFO", logger="genprm.execution"):
        assert open_sandbox("auto").kind == "local"
    assert "sandbox auto: local" in caplog.text
    assert "no Docker engine answers" in caplog.text


def test_a_call_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(daemon, "connect", Closeable)

    async def use() -> None:
        calls = Daemon()
        with pytest.raises(SandboxUnavailable, match="does not answer in time"):
            await calls.call(lambda _: release.wait(), deadline_s=0.2)
        release.set()
        calls.close()

    asyncio.run(use())


class SlowEngine:
    """Makes a container, and says so too late."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}

    def create_host_config(self, **_: object) -> dict[str, object]:
        return {}

    def create_container(self, **asked: Any) -> None:
        self.made[f"id of {asked['name']}"] = asked
        raise requests.exceptions.ReadTimeout("timed out")

    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:
        label = filters["label"].partition("=")
        return [
            {"Id": made, "Names": [f"/{asked['name']}"], "Labels": asked["labels"]}
            for made, asked in self.made.items()
            if all and label[0] in asked["labels"] and label[2] in ("", asked["labels"][label[0]])
        ]

    def remove_container(self, container: str, *, force: bool, v: bool) -> None:
        assert force and v
        del self.made[container]

    def inspect_container(self, container: str) -> None:
        assert container not in self.made
        raise docker.errors.NotFound("gone")

    def close(self) -> None:
        pass


def test_a_container_that_the_engine_made_without_saying_so_is_removed_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And one of another sandbox of this process is not."""
    engine = SlowEngine()
    monkeypatch.setattr(daemon, "connect", lambda: engine)
    theirs = {"name": "another", "labels": {containers.OWNER_LABEL: str(containers.Owner.me())}}
    engine.made["theirs"] = theirs

    async def use() -> None:
        async with contextlib.aclosing(DockerSandbox(Image("here", "sha256:0"), containers=1)) as sandbox:
            with pytest.raises(SandboxUnavailable, match="does not answer in time"):
                await sandbox.start()
            assert len(engine.made) == 2

    asyncio.run(use())
    assert engine.made == {"theirs": theirs}


class Closeable:
    """A client that has nothing to close."""

    def close(self) -> None:
        pass
