"""Workers in the actors of a Ray cluster, one in each replica.

An actor that dies costs what it had in flight: those orders go to other replicas, and a new one takes its place. This
is safe because results are keyed and depend on the order alone. Actors belong to this process: they end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import socket
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Generic

from genprm.errors import EngineUnavailable, GenPRMError, InputError, MissingDependency
from genprm.runs.workers import Facts, OpenWorker, Order, Result, Worker

log = logging.getLogger(__name__)

START_S = 1800.0
"""Most seconds from asking for a replica until its worker is open: a large model may have to be fetched first."""
CLOSE_S = 20.0
LISTEN_S = 10.0
TRIES = 10
"""Deaths of replicas that an order may be part of. Some are needed: an innocent order can be hit several times."""
DEATHS_IN_A_ROW = 10
"""Deaths without any result between them, after which the job stops: what kills a replica will kill the next."""
OPENINGS = 3
"""Replicas that may die while they open one worker: a lost node is nobody's fault, three in a row are the worker's."""
OBJECT_STORE_BYTES = 128 << 20
"""Of a cluster that is started here; orders and results are small."""


@dataclass(frozen=True, slots=True)
class RayCluster:
    """Where replicas run. ``address``: ``local`` starts a cluster on this machine, anything else names a running one.

    ``replicas``: default, as many as the cluster's GPUs allow, one without any. ``gpus_per_replica``: default, one
    where the cluster has GPUs.
    """

    address: str = "local"
    replicas: int | None = None
    gpus_per_replica: int | None = None

    def __post_init__(self) -> None:
        if self.replicas is not None and self.replicas < 1:
            raise InputError(f"replicas is {self.replicas}; it must be at least 1")
        if self.gpus_per_replica is not None and self.gpus_per_replica < 0:
            raise InputError(f"gpus_per_replica is {self.gpus_per_replica}; it must be 0 or more")


async def open_ray(
    open_worker: OpenWorker[Order, Result, Facts], cluster: RayCluster
) -> RayWorkers[Order, Result, Facts]:
    """One worker in each replica, all open.

    Raises ``MissingDependency`` without Ray, ``EngineUnavailable`` if no cluster answers, ``InputError`` if it has
    fewer GPUs than asked for, and whatever opening a worker raises.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingDependency("ray", "ray")
    mine, replicas, gpus = await asyncio.to_thread(_connect, cluster)
    workers = RayWorkers(open_worker, replicas=replicas, gpus=gpus, ends_ray=mine)
    try:
        await workers.start()
    except BaseException:
        await workers.aclose()
        raise
    return workers


class RayWorkers(Generic[Order, Result, Facts]):
    """A ``Worker`` that hands every order to the replica with the least to do. Made by ``open_ray``."""

    def __init__(
        self, open_worker: OpenWorker[Order, Result, Facts], *, replicas: int, gpus: int, ends_ray: bool
    ) -> None:
        self._open_worker = open_worker
        self._wanted = replicas
        self._gpus = gpus
        self._ends_ray = ends_ray
        self._replicas: list[_Replica] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self._deaths = 0
        self._failure = ""
        self._facts: Facts | None = None
        self._closed = False

    async def start(self) -> None:
        """Open all replicas. The first failure ends it."""
        await asyncio.gather(*(self._add() for _ in range(self._wanted)))
        log.info("ray: %d replicas, %d orders at once in each", len(self._replicas), self._replicas[0].capacity)

    @property
    def facts(self) -> Facts:
        """Of the first replica; a replica of other facts is refused."""
        assert self._facts is not None, "start first"
        return self._facts

    @property
    def capacity(self) -> int:
        """Orders at once over all replicas that were asked for."""
        return self._wanted * max((replica.capacity for replica in self._replicas), default=1)

    async def run(self, order: Order) -> Result:
        """The result of an order, whichever replica gives it."""
        for _ in range(TRIES):
            replica = await self._take()
            try:
                result: Result = await replica.ask("run", order)
            except ReplicaDied as death:
                self._replace(replica, str(death))
                continue
            finally:
                replica.running -= 1
                await self._notify()
            self._deaths = 0
            return result
        raise EngineUnavailable(f"{TRIES} replicas died while they worked on one order; see Ray's logs of its workers")

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        starting = list(self._starting)
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        await asyncio.gather(*(replica.end() for replica in self._replicas))
        self._replicas = []
        await self._notify()
        if self._ends_ray:
            import ray

            await asyncio.to_thread(ray.shutdown)

    async def _take(self) -> _Replica:
        """The replica with the least to do, as soon as one has room; one order more is running there then."""
        async with self._changed:
            while True:
                if self._closed:
                    raise EngineUnavailable("the replicas are closed; open new ones")
                if self._deaths >= DEATHS_IN_A_ROW:
                    raise EngineUnavailable(
                        f"{self._deaths} replicas died in a row and none gave a result ({self._failure})"
                    )
                free = [replica for replica in self._replicas if replica.running < replica.capacity]
                if free:
                    chosen = min(free, key=lambda replica: replica.running)
                    chosen.running += 1
                    return chosen
                if not self._replicas and not self._starting:
                    raise EngineUnavailable(f"no replica is left: {self._failure}")
                await self._changed.wait()

    def _replace(self, replica: _Replica, reason: str) -> None:
        """Take a dead replica out and start another; once, however many orders were lost with it."""
        if replica not in self._replicas:
            return
        self._replicas.remove(replica)
        replica.kill()  # it may only be out of reach, and would keep its GPUs
        self._deaths += 1
        self._failure = reason
        log.warning("a replica died (%s); its orders go to others, and a new one is started", reason)
        if self._closed or self._deaths >= DEATHS_IN_A_ROW:
            return
        task = asyncio.ensure_future(self._restart())
        self._starting.add(task)

    async def _restart(self) -> None:
        try:
            await self._add()
        except GenPRMError as error:
            self._failure = str(error)
            log.warning("a replica could not be started again: %s", error)
        finally:
            if (task := asyncio.current_task()) is not None:
                self._starting.discard(task)  # off the list before the others look
            await self._notify()

    async def _add(self) -> None:
        """Start one replica and wait until its worker is open; a replica that dies meanwhile is started again."""
        for died in range(1, OPENINGS + 1):
            try:
                await self._open_one()
                return
            except ReplicaDied as death:
                if died == OPENINGS:
                    raise EngineUnavailable(f"{died} replicas died while they opened a worker: {death}") from death
                log.warning("a replica died while it opened its worker (%s); another is started", death)

    async def _open_one(self) -> None:
        replica = _Replica(self._gpus)
        try:
            async with asyncio.timeout(START_S):
                replica.capacity, facts = await replica.ask("open", self._open_worker)
            if self._facts is None:
                self._facts = facts
            if facts != self._facts:
                raise InputError(f"replicas differ: one has {facts}, another {self._facts}; make their machines alike")
        except TimeoutError as error:
            await replica.end()
            raise EngineUnavailable(f"a replica was not ready within {START_S:.0f} s; see ray status") from error
        except BaseException:
            await replica.end()
            raise
        self._replicas.append(replica)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class ReplicaDied(Exception):
    """The actor is gone, or its node is; whether it had finished is unknown."""


class _Replica:
    """One actor."""

    def __init__(self, gpus: int) -> None:
        import ray

        # An async actor runs its calls on one event loop; the bound is ours, Ray's must only not be lower.
        actor = ray.remote(_Actor).options(num_cpus=0, num_gpus=gpus, max_restarts=0, max_concurrency=100_000)
        self._actor: Any = actor.remote()
        self.capacity = 0
        self.running = 0

    async def ask(self, method: str, *arguments: Any) -> Any:
        """The result of a call. Raises what the call raised of ours, and ``ReplicaDied``."""
        import ray

        reference = getattr(self._actor, method).remote(*arguments)
        try:
            result, error = await reference
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                ray.cancel(reference)
            raise
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as died:
            raise ReplicaDied(str(died).partition("\n")[0]) from died
        if error is not None:
            raise error
        return result

    async def end(self) -> None:
        """Close the worker, then end the actor whether it could or not."""
        with contextlib.suppress(ReplicaDied, TimeoutError, GenPRMError):
            async with asyncio.timeout(CLOSE_S):
                await self.ask("close")
        self.kill()

    def kill(self) -> None:
        """End the actor at once, whatever it does. One that is gone is fine."""
        import ray

        with contextlib.suppress(Exception):
            ray.kill(self._actor)


class _Actor:
    """What runs in the actor. Our own errors come back as values: Ray would wrap them."""

    def __init__(self) -> None:
        self._worker: Worker[Any, Any, Any] | None = None

    async def open(self, open_worker: OpenWorker[Any, Any, Any]) -> tuple[Any, GenPRMError | None]:
        return await _as_value(self._open(open_worker))

    async def run(self, order: Any) -> tuple[Any, GenPRMError | None]:
        assert self._worker is not None, "open first"
        return await _as_value(self._worker.run(order))

    async def close(self) -> tuple[Any, GenPRMError | None]:
        worker, self._worker = self._worker, None
        return (None, None) if worker is None else await _as_value(worker.aclose())

    async def _open(self, open_worker: OpenWorker[Any, Any, Any]) -> tuple[int, Any]:
        self._worker = await open_worker()
        return self._worker.capacity, self._worker.facts


async def _as_value(work: Coroutine[Any, Any, Any]) -> tuple[Any, GenPRMError | None]:
    try:
        return await work, None
    except GenPRMError as error:
        return None, error


def _connect(cluster: RayCluster) -> tuple[bool, int, int]:
    """Whether Ray was started or joined by us, how many replicas, and GPUs of each."""
    for name, value in (("RAY_AUTH_MODE", "disabled"), ("RAY_USAGE_STATS_ENABLED", "0")):
        os.environ.setdefault(name, value)
    import ray

    mine = not ray.is_initialized()
    if mine:
        _require_listener(cluster.address)
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if cluster.address == "local":
                ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
            else:
                ray.init(cluster.address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _no_cluster(cluster.address, error) from error
    try:
        return mine, *_sizes(cluster, int(ray.cluster_resources().get("GPU", 0)))
    except BaseException:
        if mine:
            ray.shutdown()
        raise


def _require_listener(address: str) -> None:
    """Raises ``EngineUnavailable`` if nothing listens at HOST:PORT; Ray itself would try for ten minutes and more."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # local, auto: nothing to look at
    try:
        socket.create_connection((host, int(port)), timeout=LISTEN_S).close()
    except OSError as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> EngineUnavailable:
    return EngineUnavailable(
        f"no Ray cluster answers at '{address}' ({' '.join(str(error).split())[:200]}); start one with "
        "ray start --head, or use --ray local"
    )


def _sizes(cluster: RayCluster, there: int) -> tuple[int, int]:
    """Replicas, and GPUs of each, on a cluster with so many GPUs."""
    gpus = min(1, there) if cluster.gpus_per_replica is None else cluster.gpus_per_replica
    replicas = cluster.replicas or (max(1, there // gpus) if gpus else 1)
    if replicas * gpus > there:
        raise InputError(
            f"{replicas} replicas of {gpus} GPUs need {replicas * gpus} GPUs, the cluster has {there}; "
            "ask for fewer with --replicas or --gpus-per-replica"
        )
    return replicas, gpus
