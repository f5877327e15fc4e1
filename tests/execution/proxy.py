"""A door to the engine that a test can shut: what clients see is an engine that stopped, and one that came back."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

ENGINE = "/var/run/docker.sock"


class Proxy:
    """Passes connections on to the engine while it is open; shutting it breaks all of them."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._shut = False
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        """For DOCKER_HOST."""
        return f"tcp://127.0.0.1:{self._server.getsockname()[1]}"

    def shut(self) -> None:
        """Stop the engine, as far as clients can see."""
        with self._lock:
            self._shut = True
            ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        self._shut = False

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(ENGINE)
            with self._lock:
                if self._shut:
                    client.close()
                    engine.close()
                    continue
                self._ends += [client, engine]
            threading.Thread(target=_both_ways, args=(client, engine), daemon=True).start()


def _both_ways(client: socket.socket, engine: socket.socket) -> None:
    back = threading.Thread(target=_pass_on, args=(engine, client), daemon=True)
    back.start()
    _pass_on(client, engine)
    back.join()
    client.close()
    engine.close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def engine_behind_a_door() -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = Proxy(server)
        thread = threading.Thread(target=proxy.serve, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shut()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
