"""What the docker sandbox promises its host, on a real engine: containers come and go with their owner, and whatever
happens to one, every request has exactly one result and none is a made-up verdict."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator

import docker
import pytest

from genprm.errors import InputError, SandboxUnavailable
from genprm.execution import DockerSandbox, containers, open_sandbox
from genprm.execution import pool as pools
from tests.execution import engine

PATIENCE_S = 300.0
"""For the engine on a busy machine; nothing waits so long where all is well."""
SPIN = "while True: pass"


@pytest.fixture(scope="module")
def api() -> Iterator[docker.APIClient]:
    engine.need_image()
    with contextlib.closing(engine.client()) as api:
        before = engine.ours(api)
        yield api
        gone = engine.within(PATIENCE_S, lambda: engine.ours(api) <= before)
        assert gone, engine.described(api, engine.ours(api) - before)


def run(use: Callable[[DockerSandbox], Awaitable[None]], **options: int | float) -> None:
    """Use a sandbox; afterwards no container of it is left."""
    image = engine.need_image()

    async def story() -> None:
        async with contextlib.aclosing(DockerSandbox(image, **options)) as sandbox:  # type: ignore[arg-type]
            await use(sandbox)

    with contextlib.closing(engine.client()) as api:
        before = engine.ours(api)
        asyncio.run(story())
        left = engine.ours(api) - before
        assert not left, engine.described(api, left)


def one(sandbox: DockerSandbox) -> str:
    (container,) = sandbox.containers
    return container


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; fail when it takes too long."""
    assert await asyncio.to_thread(engine.within, PATIENCE_S, condition)


async def spinning(sandbox: DockerSandbox, source: str = SPIN) -> asyncio.Task[object]:
    """A cell that has begun to run."""
    await sandbox.start()
    session = sandbox.session()
    task = asyncio.create_task(session.run(source, timeout_s=120.0))
    await asyncio.sleep(1.0)
    assert not task.done()
    return task


def test_the_tests_before_have_left_no_container() -> None:
    """Here alone; the other tests compare with what there was before them."""
    engine.need_image()
    with contextlib.closing(engine.client()) as api:
        left = engine.ours(api)
        assert not left, engine.described(api, left)


# --- the owner --------------------------------------------------------------------------------------------------------

OWNER = """
import asyncio, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had us ignore it
from genprm.execution import open_sandbox

async def main():
    sandbox = open_sandbox("docker", containers=1)
    session = sandbox.session()
    await session.run("x = 1")
    print(*sandbox.containers, flush=True)
    if {fails}:
        raise RuntimeError("the caller has a fault")
    await session.run("while True: pass", timeout_s=300)

asyncio.run(main())
"""


@contextlib.contextmanager
def another_owner(*, fails: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A process with a container of its own, in which a cell runs."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    program = [sys.executable, "-c", OWNER.format(fails=fails)]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, stdout=pipe, stderr=subprocess.DEVNULL, env=environment, text=True) as owner:
        try:
            yield owner
        finally:
            owner.kill()


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "SIGINT", "exception"])
def test_no_container_outlives_its_owner(api: docker.APIClient, end: str) -> None:
    with another_owner(fails=end == "exception") as owner:
        assert owner.stdout is not None
        container = owner.stdout.readline().strip()
        if end == "exception":
            owner.wait(PATIENCE_S)
        else:
            assert engine.ours(api, owner.pid) == {container}
            owner.send_signal(signal.Signals[end])
            owner.wait(PATIENCE_S)
        assert engine.within(PATIENCE_S, lambda: not engine.ours(api, owner.pid))


def test_the_next_start_removes_the_containers_of_dead_owners_and_only_those(api: docker.APIClient) -> None:
    with subprocess.Popen(["sleep", "300"]) as living, subprocess.Popen(["sleep", "300"]) as dying:
        me = containers.Owner.me()
        owners = {
            name: containers.Owner(me.boot, me.namespace, process.pid, containers._started(process.pid))
            for name, process in (("living", living), ("dead", dying))
        }
        owners["reused number"] = containers.Owner(me.boot, me.namespace, living.pid, "1")
        owners["elsewhere"] = containers.Owner("another boot", me.namespace, dying.pid, "1")
        made = {name: made_for(api, owner) for name, owner in owners.items()}
        dying.kill()
        dying.wait()
        try:
            run(lambda sandbox: sandbox.start(), containers=1)
            left = {container for container, _ in containers.owned(api)}
            assert {name for name, container in made.items() if container in left} == {"living", "elsewhere"}
        finally:
            for container in made.values():
                containers.remove(api, container)
            living.kill()


def made_for(api: docker.APIClient, owner: containers.Owner) -> str:
    """A container of that owner, never started."""
    labels = {containers.OWNER_LABEL: str(owner)}
    return str(api.create_container(engine.need_image().reference, ["{}"], labels=labels)["Id"])


def test_two_owners_on_one_machine_leave_each_other_alone(api: docker.APIClient) -> None:
    with another_owner() as other:
        assert other.stdout is not None
        theirs = other.stdout.readline().strip()

        async def use(sandbox: DockerSandbox) -> None:
            assert (await sandbox.session().run("print(1)")).stdout == "1\n"
            assert theirs not in sandbox.containers

        run(use, containers=1)
        assert engine.ours(api, other.pid) == {theirs}
        assert api.inspect_container(theirs)["State"]["Running"]


# --- the container ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["removed", "killed", "paused"])
def test_a_lost_container_costs_variables_and_no_verdict(
    api: docker.APIClient, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "HEALTH_EVERY_S", 0.5)

    async def use(sandbox: DockerSandbox) -> None:
        with_state = sandbox.session()
        await with_state.run("x = 1")
        lost = asyncio.create_task(with_state.run(SPIN, timeout_s=120.0))
        again = await spinning(sandbox, "import time; time.sleep(3); print('ran again')")
        container = one(sandbox)
        harm = {
            "removed": lambda: api.remove_container(container, force=True),
            "killed": lambda: api.kill(container),
            "paused": lambda: api.pause(container),
        }
        await asyncio.to_thread(harm[fault])
        with pytest.raises(SandboxUnavailable, match="session is lost"):
            await asyncio.wait_for(lost, PATIENCE_S)
        result = await asyncio.wait_for(again, PATIENCE_S)
        assert getattr(result, "stdout", "") == "ran again\n"
        assert (await with_state.run("print('x' in globals())")).stdout == "False\n"
        assert container not in sandbox.containers

    run(use, containers=1)


def test_a_container_that_dies_twice_under_a_cell_is_reported_not_judged(api: docker.APIClient) -> None:
    async def use(sandbox: DockerSandbox) -> None:
        task = await spinning(sandbox)
        first = one(sandbox)
        await asyncio.to_thread(api.kill, first)
        await until(lambda: sandbox.containers not in ((), (first,)))
        await asyncio.sleep(1.0)
        await asyncio.to_thread(api.kill, one(sandbox))
        with pytest.raises(SandboxUnavailable, match="while a cell ran"):
            await asyncio.wait_for(task, PATIENCE_S)
        assert (await sandbox.session().run("print('healed')")).stdout == "healed\n"

    run(use, containers=1)


def test_an_idle_container_that_died_is_never_handed_out(api: docker.APIClient) -> None:
    async def use(sandbox: DockerSandbox) -> None:
        await sandbox.start()
        await asyncio.to_thread(api.remove_container, one(sandbox), force=True)
        await asyncio.sleep(1.0)
        assert (await sandbox.session().run("print('fine')")).stdout == "fine\n"

    run(use, containers=1)


def test_a_worn_container_is_replaced_when_its_last_session_ends() -> None:
    async def use(sandbox: DockerSandbox) -> None:
        long = sandbox.session()
        await long.run("x = 5")
        old = one(sandbox)
        for _ in range(4):
            async with contextlib.aclosing(sandbox.session()) as session:
                assert (await session.run("print(1)")).status == "ok"
        await until(lambda: sandbox.containers != (old,))
        assert old in sandbox.containers, "it has a session"
        assert (await long.run("print(x)")).stdout == "5\n"
        await long.aclose()
        assert old not in sandbox.containers
        async with contextlib.aclosing(sandbox.session()) as session:
            assert (await session.run("print(2)")).stdout == "2\n"

    run(use, containers=1, max_uses=3)


# --- many -------------------------------------------------------------------------------------------------------------


def test_a_thousand_submissions_half_of_them_cancelled_get_their_own_results_in_turn() -> None:
    submissions, chance = 1000, random.Random(0)
    leaving = set(chance.sample(range(submissions), submissions // 2))

    async def use(sandbox: DockerSandbox) -> None:
        await sandbox.start()
        threads, finished = threading.active_count(), []

        async def submit(number: int) -> str:
            async with contextlib.aclosing(sandbox.session()) as session:
                printed = (await session.run(f"print({number})", timeout_s=60.0)).stdout
            finished.append(number)
            return printed

        tasks = [asyncio.create_task(submit(number)) for number in range(submissions)]
        for number in leaving:
            asyncio.get_running_loop().call_later(chance.random() * 3, tasks[number].cancel)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for number, outcome in enumerate(outcomes):
            expected = isinstance(outcome, asyncio.CancelledError) and number in leaving
            assert expected or outcome == f"{number}\n", (number, outcome)
        assert threading.active_count() <= threads + 16, "no thread per request"
        stayed = [number for number in finished if number not in leaving]
        late = max(place - sorted(stayed).index(number) for place, number in enumerate(stayed))
        assert late <= sandbox.max_sessions, "who came first is served first"
        assert len(await asyncio.gather(*(submit(number) for number in range(sandbox.max_sessions)))) == 64

    run(use, containers=2)


def test_the_same_code_prints_the_same_in_every_container() -> None:
    source = (
        "import locale, os, random, time, numpy\n"
        "print(hash('a'), {'a', 'b', 'c'}, random.random(), numpy.random.rand())\n"
        "print(time.tzname, locale.getlocale(), os.environ['OMP_NUM_THREADS'], os.getcwd().count('/'))"
    )

    async def use(sandbox: DockerSandbox) -> None:
        sessions = [sandbox.session() for _ in range(8)]
        results = await asyncio.gather(*(session.run(source, timeout_s=60.0) for session in sessions))
        await until(lambda: len(sandbox.containers) == 2)
        results.append(await sandbox.session().run(source, timeout_s=60.0))
        assert {(result.status, result.stdout) for result in results} == {("ok", results[0].stdout)}

    run(use, containers=2)


# --- the options ------------------------------------------------------------------------------------------------------


def test_auto_takes_docker_and_says_so(api: docker.APIClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="genprm.execution"):
        sandbox = open_sandbox("auto", memory_mb=512)
    assert sandbox.kind == "docker"
    assert "sandbox auto: docker" in caplog.text
    assert sandbox.identity == {"kind": "docker", "image": engine.need_image().digest}
    asyncio.run(sandbox.aclose())


def test_options_that_make_no_sense_are_refused() -> None:
    for option in ("containers", "max_uses", "lifetime_s", "max_sessions"):
        with pytest.raises(InputError, match=option):
            DockerSandbox(engine.need_image(), **{option: 0})


def test_a_runtime_that_the_engine_lacks_is_one_sentence() -> None:
    async def use(sandbox: DockerSandbox) -> None:
        with pytest.raises(SandboxUnavailable, match=r"(?s)runtime.*--sandbox local"):
            await sandbox.session().run("print(1)")

    run(use, runtime="warp")  # type: ignore[arg-type]
