"""Replicas on a real Ray cluster of this machine."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from genprm.errors import EngineUnavailable, InputError, MissingDependency, ModelError
from genprm.runs import ray as runs_ray
from genprm.runs.pool import as_finished
from genprm.runs.ray import RayCluster, RayWorkers, open_ray
from tests.runs.work import Order, dying, squares, unlike, unopened

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.usefixtures("cluster")


@asynccontextmanager
async def opened(capacity: int = 4, replicas: int = 2) -> AsyncIterator[RayWorkers[Order, Any, Any]]:
    workers = await open_ray(squares(capacity), RayCluster(replicas=replicas))
    try:
        yield workers
    finally:
        await workers.aclose()


async def all_results(workers: RayWorkers[Order, Any, Any], orders: list[Order]) -> list[tuple[int, int, int]]:
    waiting = iter(orders)
    return [result async for result in as_finished(lambda: next(waiting, None), workers.run, workers.capacity)]


def squared(count: int) -> list[int]:
    return [number**2 for number in range(count)]


def test_every_order_is_done_by_replicas_that_never_do_more_than_their_capacity() -> None:
    async def main() -> list[tuple[int, int, int]]:
        async with opened(capacity=3, replicas=2) as workers:
            assert (workers.capacity, workers.facts) == (6, "squares")
            return await all_results(workers, [Order(n, seconds=0.01) for n in range(60)])

    results = asyncio.run(main())
    assert sorted(square for square, _, _ in results) == squared(60)
    shares = [sum(pid == one for _, pid, _ in results) for one in {pid for _, pid, _ in results}]
    assert len(shares) == 2 and min(shares) >= 15
    assert max(most for _, _, most in results) == 3


def test_a_replica_that_dies_costs_nothing_but_work_done_twice(tmp_path: Path) -> None:
    orders = [Order(n, deadly_once=tmp_path / "died" if n == 7 else None) for n in range(40)]

    async def main() -> list[tuple[int, int, int]]:
        async with opened() as workers:
            return await all_results(workers, orders)

    results = asyncio.run(main())
    assert (tmp_path / "died").exists()
    assert sorted(square for square, _, _ in results) == squared(40)


def test_replicas_killed_again_and_again_do_not_stop_the_job() -> None:
    async def main() -> tuple[list[tuple[int, int, int]], int]:
        killed = 0
        async with opened() as workers:

            async def kill() -> None:
                nonlocal killed
                while True:
                    await asyncio.sleep(1.0)
                    _, pid, _ = await workers.run(Order(0))
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    killed += 1

            killer = asyncio.ensure_future(kill())
            results = await all_results(workers, [Order(n, seconds=random.uniform(0, 0.4)) for n in range(200)])
            killer.cancel()
            return results, killed

    results, killed = asyncio.run(main())
    assert killed >= 3
    assert sorted(square for square, _, _ in results) == squared(200)


def test_a_replica_that_dies_while_it_opens_is_started_again_but_not_for_ever(tmp_path: Path) -> None:
    async def main(times: int) -> int:
        (marks := tmp_path / str(times)).mkdir()
        workers = await open_ray(dying(times, marks), RayCluster(replicas=1))
        try:
            return int((await workers.run(Order(3)))[0])
        finally:
            await workers.aclose()

    assert asyncio.run(main(2)) == 9
    with pytest.raises(EngineUnavailable, match="3 replicas died while they opened a worker"):
        asyncio.run(main(3))


def test_an_order_that_kills_every_replica_ends_the_job_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_ray, "DEATHS_IN_A_ROW", 3)

    async def main() -> None:
        async with opened(replicas=1) as workers:
            await workers.run(Order(1, deadly=True))

    with pytest.raises(EngineUnavailable, match="3 replicas died in a row and none gave a result"):
        asyncio.run(main())


def test_a_cancelled_order_frees_its_place() -> None:
    async def main() -> int:
        async with opened(capacity=1, replicas=1) as workers:
            slow = asyncio.ensure_future(workers.run(Order(1, seconds=60)))
            await asyncio.sleep(0.2)
            slow.cancel()
            async with asyncio.timeout(30):  # not 60: what was cancelled is over
                square, _, _ = await workers.run(Order(3))
            return int(square)

    assert asyncio.run(main()) == 9


def test_what_cannot_be_opened_is_its_own_error_and_leaves_no_actor() -> None:
    with pytest.raises(ModelError, match="the model is not there"):
        asyncio.run(open_ray(unopened, RayCluster()))
    with pytest.raises(InputError, match="replicas differ: one has"):
        asyncio.run(open_ray(unlike, RayCluster(replicas=2)))
    with pytest.raises(InputError, match="2 replicas of 1 GPUs need 2 GPUs, the cluster has 0; ask for fewer"):
        asyncio.run(open_ray(squares(), RayCluster(replicas=2, gpus_per_replica=1)))
    with pytest.raises(InputError, match="replicas is 0"):
        RayCluster(replicas=0)


def test_closed_replicas_say_so() -> None:
    async def main() -> None:
        async with opened(replicas=1) as workers:
            pass
        await workers.aclose()
        await workers.run(Order(1))

    with pytest.raises(EngineUnavailable, match="closed"):
        asyncio.run(main())


def test_an_address_where_nothing_listens_is_one_sentence_at_once() -> None:
    with pytest.raises(EngineUnavailable, match=r"no Ray cluster answers at '127\.0\.0\.1:9' .*ray start --head"):
        runs_ray._require_listener("127.0.0.1:9")


def test_without_ray_the_line_that_installs_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"pip install 'genprm\[ray\]'"):
        asyncio.run(open_ray(squares(), RayCluster()))
