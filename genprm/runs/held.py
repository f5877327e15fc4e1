"""One worker open at a time, for jobs that use several models one after the other: together they may not fit."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from genprm.runs.ray import RayCluster, open_ray
from genprm.runs.workers import Worker


class Opening(Protocol):
    """Opens a worker, and closes what it opened."""

    def __call__(self) -> Awaitable[Worker[Any, Any, Any]]: ...

    async def close(self, worker: Any) -> None: ...


class OneOpen:
    """Holds the one worker that is open: in this process, or replicas of it on a cluster."""

    def __init__(self, cluster: RayCluster | None) -> None:
        self._cluster = cluster
        self._open: tuple[Opening, Worker[Any, Any, Any]] | None = None

    async def get(self, opening: Opening) -> Worker[Any, Any, Any]:
        """The worker of an opening; that of another is closed first."""
        if self._open is not None and self._open[0] is opening:
            return self._open[1]
        await self.aclose()
        worker: Worker[Any, Any, Any] = await (opening() if self._cluster is None else open_ray(opening, self._cluster))
        self._open = opening, worker
        return worker

    async def aclose(self) -> None:
        """Close what is open. Idempotent."""
        if self._open is None:
            return
        (opening, worker), self._open = self._open, None
        await (opening.close(worker) if self._cluster is None else worker.aclose())
