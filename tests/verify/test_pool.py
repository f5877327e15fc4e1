from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from genprm.verify.pool import as_finished


def test_results_come_as_they_finish_and_never_more_than_the_limit_at_once() -> None:
    running, most = 0, 0

    async def work(ticks: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(ticks):
            await asyncio.sleep(0)
        running -= 1
        return ticks

    async def main() -> list[int]:
        return [result async for result in as_finished([50, 1, 10, 2], work, 2)]

    assert asyncio.run(main()) == [1, 10, 2, 50]
    assert most == 2


def test_units_are_drawn_only_when_there_is_room() -> None:
    drawn: list[int] = []

    def units() -> Iterator[int]:
        for index in range(100):
            drawn.append(index)
            yield index

    async def work(unit: int) -> int:
        return unit

    async def main() -> None:
        async with aclosing(as_finished(units(), work, 3)) as results:
            await anext(results)

    asyncio.run(main())
    assert len(drawn) == 3


def test_the_rest_is_cancelled_and_awaited_when_the_caller_stops_or_a_unit_fails() -> None:
    ended: list[int] = []

    async def work(unit: int) -> int:
        if unit == 0:
            return unit
        if unit == 1:
            raise ValueError("broken")
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(unit)
        return unit

    async def stop() -> None:
        async with aclosing(as_finished([0, 2, 3], work, 3)) as results:
            async for _ in results:
                break

    async def fail() -> None:
        async for _ in as_finished([1, 4], work, 2):
            pass

    asyncio.run(stop())
    with pytest.raises(ValueError, match="broken"):
        asyncio.run(fail())
    assert sorted(ended) == [2, 3, 4]
