"""Work in flight: many coroutines, never more than a limit at once, results as they finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

Unit = TypeVar("Unit")
Result = TypeVar("Result")


async def as_finished(
    take: Callable[[], Unit | None], work: Callable[[Unit], Awaitable[Result]], limit: int
) -> AsyncGenerator[Result, None]:
    """Start the units that ``take`` gives, at most ``limit`` at once; yield each result as it finishes.

    ``take`` is asked only when there is room; after a ``None`` it is asked again when results are in, for they may
    have brought new units. The first exception ends the iteration; what is still in flight then, or when the caller
    stops early, is cancelled and awaited.
    """
    pending: set[asyncio.Future[Result]] = set()
    try:
        while True:
            while len(pending) < limit and (unit := take()) is not None:
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


async def together(works: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results in order. The first failure, or a cancellation, ends the others before it is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
