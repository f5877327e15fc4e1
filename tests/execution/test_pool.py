"""The pool of supervisors: who gets which, when another is started, and that no bad one is handed out."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from genprm.errors import SandboxUnavailable
from genprm.execution import pool as pools
from genprm.execution.pool import Limits, Pool, Worker
from tests.execution.stubs import StubStarter

Story = Callable[[Pool, StubStarter], Awaitable[None]]


def run(story: Story, limits: Limits) -> None:
    """Tell a story of a pool; at its end nothing may be left of it."""

    async def tell() -> None:
        async with _pool(limits) as (pool, starter):
            await story(pool, starter)
        assert not starter.running
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(tell())


@contextlib.asynccontextmanager
async def _pool(limits: Limits) -> AsyncIterator[tuple[Pool, StubStarter]]:
    starter = StubStarter()
    async with contextlib.aclosing(Pool(starter, limits)) as pool:
        yield pool, starter


async def settle() -> None:
    """Let everything happen that can happen now."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_one_session_costs_one_supervisor_and_many_share_all_evenly() -> None:
    async def story(pool: Pool, starter: StubStarter) -> None:
        pool.release(await pool.acquire())
        pool.release(await pool.acquire())
        await settle()
        assert starter.asked == 1
        workers = []
        for _ in range(12):
            workers.append(await pool.acquire())
            await settle()
        assert starter.asked == 3
        assert sorted(worker.sessions for worker in pool.workers) == [4, 4, 4]
        for worker in workers:
            pool.release(worker)
        assert [worker.sessions for worker in pool.workers] == [0, 0, 0]

    run(story, Limits(size=3, room=4))


def test_a_burst_starts_as_many_as_there_may_be_and_no_more() -> None:
    async def story(pool: Pool, starter: StubStarter) -> None:
        starter.gate.clear()
        waiting = [asyncio.create_task(pool.acquire()) for _ in range(6)]
        await settle()
        assert starter.asked == 2
        starter.gate.set()
        await asyncio.gather(*waiting)
        assert starter.asked == 2
        assert [worker.sessions for worker in pool.workers] == [3, 3]

    run(story, Limits(size=2, room=3))


def test_a_dead_supervisor_is_never_handed_out() -> None:
    async def story(pool: Pool, starter: StubStarter) -> None:
        first = await pool.acquire()
        starter.started[0].kill()
        await settle()
        assert (await pool.acquire()) is not first
        pool.release(first)
        assert starter.asked == 2
        assert len(pool.workers) == 1

    run(story, Limits(size=1, room=4))


def test_a_worn_supervisor_serves_its_sessions_to_their_end_and_takes_no_new_ones() -> None:
    async def story(pool: Pool, starter: StubStarter) -> None:
        long, *others = [await pool.acquire() for _ in range(3)]
        assert others == [long, long]
        for worker in others:
            pool.release(worker)
        successor = await _next_from_another(pool, long)
        assert starter.asked == 2
        assert not starter.started[0].closed.is_set()
        pool.release(long)
        await settle()
        assert starter.started[0].closed.is_set()
        assert pool.workers == [successor]

    run(story, Limits(size=1, room=8, max_uses=3))


async def _next_from_another(pool: Pool, old: Worker) -> Worker:
    """Sessions that come while the successor is being started may still land on the old one."""
    for _ in range(10):
        worker = await pool.acquire()
        if worker is not old:
            return worker
        pool.release(worker)
        await settle()
    raise AssertionError("the worn supervisor was not replaced")


def test_an_old_supervisor_is_replaced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(pool: Pool, starter: StubStarter) -> None:
        old = await pool.acquire()
        pool.release(old)
        old.born -= 101
        assert (await _next_from_another(pool, old)) in pool.workers
        await settle()
        assert starter.started[0].closed.is_set()

    run(story, Limits(size=1, room=8, lifetime_s=100))


def test_a_failed_start_is_told_to_all_who_wait_and_tried_again_for_the_next() -> None:
    async def story(pool: Pool, starter: StubStarter) -> None:
        starter.failure = SandboxUnavailable("no engine; start one")
        outcomes = await asyncio.gather(*(pool.acquire() for _ in range(5)), return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["no engine; start one"] * 5
        starter.failure = None
        assert (await pool.acquire()).sessions == 1

    run(story, Limits(size=2, room=4))


def test_a_failed_start_costs_nothing_while_others_run() -> None:
    async def story(pool: Pool, starter: StubStarter) -> None:
        first = await pool.acquire()
        starter.failure = SandboxUnavailable("no more")
        for _ in range(7):
            assert await pool.acquire() is first
            await settle()
        assert starter.asked == 2, "after a failure the engine is left in peace for a while"

    run(story, Limits(size=4, room=8))


def test_a_busy_supervisor_is_waited_for_and_a_troubled_one_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "HEALTH_EVERY_S", 0.01)
    monkeypatch.setattr(pools, "ANSWER_S", 0.01)

    async def story(pool: Pool, starter: StubStarter) -> None:
        worker = await pool.acquire()
        (stub,) = starter.started
        stub.silent = True
        await asyncio.sleep(0.2)
        assert worker.client.alive, "slow is not dead"
        open_request = worker.client.send("cell", session=1, source="", timeout_s=1.0)
        stub.reason = "it is paused"
        with pytest.raises(Exception, match="it is paused"):
            await asyncio.wait_for(open_request, 5)
        assert (await pool.acquire()) is not worker

    run(story, Limits(size=1, room=4))


def test_a_thousand_that_wait_half_of_whom_leave_lose_no_place() -> None:
    async def story(pool: Pool, starter: StubStarter) -> None:
        slots, chance = asyncio.Semaphore(16), random.Random(0)
        served: list[int] = []

        async def use(number: int) -> None:
            async with slots:
                worker = await pool.acquire()
                try:
                    await worker.client.send("cell", session=number, source="", timeout_s=1.0)
                    served.append(number)
                finally:
                    pool.release(worker)

        tasks = [asyncio.create_task(use(number)) for number in range(1000)]
        leaving = set(chance.sample(range(1000), 500))
        for number in leaving:
            asyncio.get_running_loop().call_later(chance.random() * 0.05, tasks[number].cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        stayed = [number for number in served if number not in leaving]
        assert sorted(stayed) == sorted(set(range(1000)) - leaving)
        assert all(abs(number - place) <= 16 for place, number in enumerate(_order(stayed)))
        assert [worker.sessions for worker in pool.workers] == [0] * len(pool.workers)
        assert starter.asked <= 4

    run(story, Limits(size=4, room=4))


def _order(numbers: list[int]) -> list[int]:
    """Each number as its rank."""
    ranks = {number: rank for rank, number in enumerate(sorted(numbers))}
    return [ranks[number] for number in numbers]


def test_closing_while_supervisors_start_leaves_none() -> None:
    async def tell() -> None:
        starter = StubStarter()
        pool = Pool(starter, Limits(size=2, room=1))
        await pool.acquire()
        starter.gate.clear()
        waiting = asyncio.create_task(pool.acquire())
        await settle()
        assert starter.asked == 2
        await pool.aclose()
        with pytest.raises(SandboxUnavailable, match="closed"):
            await waiting
        with pytest.raises(SandboxUnavailable, match="closed"):
            await pool.acquire()
        assert not starter.running

    asyncio.run(tell())
