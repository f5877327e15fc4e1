"""Work off what a run directory owes: results are kept as they come, failures of infrastructure are counted.

A result that infrastructure lost is no result: it stays owed, and a later run asks for it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any, TypeVar

from genprm.errors import EngineUnavailable, GraderUnavailable, SandboxUnavailable
from genprm.runs.pool import as_finished
from genprm.runs.workers import Worker

LOST_IN_A_ROW = 3
"""After so many lost results without one between them, the infrastructure counts as down."""
Unavailable = EngineUnavailable | SandboxUnavailable | GraderUnavailable
Order = TypeVar("Order")
Result = TypeVar("Result")


async def work_off(
    worker: Worker[Order, Result, Any],
    owed: Iterable[Order],
    keep: Callable[[Order, Result], None],
    lose: Callable[[Order, Unavailable], None],
) -> Unavailable | None:
    """Have the worker do the orders, as many at once as it can; the first failure of infrastructure, if there was one.

    ``keep`` and ``lose`` are told each result and each loss.
    """
    waiting = iter(owed)
    first: Unavailable | None = None
    in_a_row = 0

    def take() -> Order | None:
        return None if in_a_row >= LOST_IN_A_ROW else next(waiting, None)

    async def work(order: Order) -> tuple[Order, Result | Unavailable]:
        try:
            return order, await worker.run(order)
        except (EngineUnavailable, SandboxUnavailable, GraderUnavailable) as error:
            return order, error

    async with aclosing(as_finished(take, work, worker.capacity)) as done:
        async for order, result in done:
            if isinstance(result, EngineUnavailable | SandboxUnavailable | GraderUnavailable):
                lose(order, result)
                first = first or result
                in_a_row += 1
            else:
                keep(order, result)
                in_a_row = 0
    return first
