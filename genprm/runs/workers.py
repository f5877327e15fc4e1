"""Who does the units of a long job: a worker in this process, or one in each actor of a Ray cluster.

``runs`` knows no unit: verify, critique and rollout bring their own worker, which owns what it works with (an engine, a
sandbox) and does many orders at once. A job asks for nothing else, so it runs unchanged in either place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

Order_contra = TypeVar("Order_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)
Facts_co = TypeVar("Facts_co", covariant=True)


class Worker(Protocol[Order_contra, Result_co, Facts_co]):
    """Does orders, many at once, on one event loop. The result depends on the order and the facts alone."""

    @property
    def facts(self) -> Facts_co:
        """What results depend on besides the order: equal in all workers of a job."""

    @property
    def capacity(self) -> int:
        """Most orders at once."""

    async def run(self, order: Order_contra) -> Result_co:
        """Do one order. Raises ``EngineUnavailable`` when no worker can."""

    async def aclose(self) -> None:
        """Free everything. Idempotent."""


Order = TypeVar("Order")
Result = TypeVar("Result")
Facts = TypeVar("Facts")
OpenWorker = Callable[[], Awaitable[Worker[Order, Result, Facts]]]
"""Opens a worker. Where it is to run elsewhere it is pickled, so it holds what to open, not what is open."""
