from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from genprm.runs.pool import as_finished


def given(*units: int) -> Callable[[], int | None]:
    """These units, then none."""
    rest = iter(units)
    return lambda: next(rest, None)


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
        return [result async for result in as_finished(given(50, 1, 10, 2), work, 2)]

    assert asyncio.run(main()) == [1, 10, 2, 50]
    assert most == 2


def test_units_are_drawn_only_when_there_is_room() -> None:
    drawn: list[int] = []

    def take() -> int:
        drawn.append(len(drawn))
        return drawn[-1]

    async def work(unit: int) -> int:
        return unit

    async def main() -> None:
        async with aclosing(as_finished(take, work, 3)) as results:
            await anext(results)

    asyncio.run(main())
    assert len(drawn) == 3


def test_results_may_bring_new_units() -> None:
    waiting = [3]

    async def work(unit: int) -> int:
        await asyncio.sleep(0)
        return unit

    async def main() -> list[int]:
        found = []
        async for result in as_finished(lambda: waiting.pop() if waiting else None, work, 2):
            found.append(result)
            waiting.extend(range(result))
        return found

    assert sorted(asyncio.run(main())) == [0, 0, 0, 0, 1, 1, 2, 3]


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
        async with aclosing(as_finished(given(0, 2, 3), work, 3)) as results:
            async for _ in results:
                break

    async def fail() -> None:
        async for _ in as_finished(given(1, 4), work, 2):
            pass

    asyncio.run(stop())
    with pytest.raises(ValueError, match="broken"):
        asyncio.run(fail())
    assert sorted(ended) == [2, 3, 4]
