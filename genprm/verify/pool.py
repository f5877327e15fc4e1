"""Work in flight: many coroutines, never more than a limit at once, results as they finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypeVar

Unit = TypeVar("Unit")
Result = TypeVar("Result")


async def as_finished(
    units: Iterable[Unit], work: Callable[[Unit], Awaitable[Result]], limit: int
) -> AsyncGenerator[Result, None]:
    """Start units in order, at most ``limit`` at once; yield each result as it finishes.

    Units are drawn only when there is room. The first exception ends the iteration; what is still in flight then, or
    when the caller stops early, is cancelled and awaited.
    """
    iterator = iter(units)
    pending: set[asyncio.Future[Result]] = set()
    try:
        while True:
            while len(pending) < limit:
                try:
                    unit = next(iterator)
                except StopIteration:
                    break
                pending.add(asyncio.ensure_future(work(unit)))
            if not pending:
                return
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for result in [task.result() for task in done]:
                yield result
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
