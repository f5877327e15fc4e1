"""A worker for tests of replicas: squares numbers, and does to its own process what an order tells it to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from genprm.errors import ModelError


@dataclass(frozen=True)
class Order:
    number: int
    deadly: bool = False
    deadly_once: Path | None = None
    """Deadly unless this file is there; it is there afterwards."""
    seconds: float = 0.0


class Squares:
    """Says of each order the square, the process, and how many it was doing at once."""

    facts = "squares"

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._running = 0

    async def run(self, order: Order) -> tuple[int, int, int]:
        self._running += 1
        try:
            if order.deadly_once is not None and not order.deadly_once.exists():
                order.deadly_once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if order.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            most = self._running
            await asyncio.sleep(order.seconds)
            return order.number**2, os.getpid(), max(most, self._running)
        finally:
            self._running -= 1

    async def aclose(self) -> None:
        """Nothing to free."""


def squares(capacity: int = 4) -> Callable[[], Awaitable[Squares]]:
    """Opens such a worker."""

    async def opened() -> Squares:
        return Squares(capacity)

    return opened


async def unopened() -> Squares:
    """A worker that cannot be opened."""
    raise ModelError("the model is not there")


def dying(times: int, marks: Path) -> Callable[[], Awaitable[Squares]]:
    """Opens a worker, but kills its process so many times first. ``marks`` is a folder for one file a death."""

    def die() -> None:
        if len(list(marks.iterdir())) < times:
            (marks / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)

    async def opened() -> Squares:
        die()
        return Squares(4)

    return opened


async def unlike() -> Squares:
    """A worker whose facts are its own."""
    worker = Squares(4)
    worker.facts = str(os.getpid())
    return worker
