"""What the local sandbox promises its host: nothing is left behind, failure of the machinery is never a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from genprm.errors import InputError, SandboxUnavailable
from genprm.execution import LocalSandbox, open_sandbox
from genprm.execution.bubblewrap import find as find_bubblewrap
from genprm.execution.transport import PipeTransport

FORK_DAEMON = (
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(300)\n    os._exit(0)\n"
)


def descendants(root: int) -> set[int]:
    """Living processes below ``root``, by a look at all processes: independent of the supervisor's own method."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    parents[int(entry.name)] = int(parent)
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found & set(parents)


def scratch_folders(root: Path) -> set[str]:
    return {str(folder) for folder in root.glob("*/*")}


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if descendants(pid)}


def gone_within(pids: set[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pids)


def supervisor_pid(sandbox: LocalSandbox) -> int:
    (worker,) = sandbox._pool.workers
    assert isinstance(worker.client.transport, PipeTransport)
    return worker.client.transport.pid


@pytest.fixture
def scratch_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path


def test_nothing_is_left_after_close(scratch_root: Path) -> None:
    async def use() -> set[int]:
        sandbox = LocalSandbox(bubblewrap=False)
        sessions = [sandbox.session() for _ in range(4)]
        for session in sessions:
            await session.run(FORK_DAEMON + "open('file', 'w').write('x'); os.mkdir('locked', 0)")
        running = asyncio.create_task(sessions[0].run("while True: pass", timeout_s=60))
        await asyncio.sleep(0.1)
        pids = descendants(supervisor_pid(sandbox))
        assert len(pids) >= 6
        await sandbox.aclose()
        await sandbox.aclose()
        with pytest.raises(SandboxUnavailable):
            await running
        with pytest.raises(SandboxUnavailable, match="closed"):
            await sessions[1].run("print(1)")
        await asyncio.gather(*(session.aclose() for session in sessions))
        return pids

    pids = asyncio.run(use())
    assert not alive(pids)
    assert not list(scratch_root.iterdir())


def test_scratch_of_a_session_is_wiped_with_it(scratch_root: Path) -> None:
    async def use() -> None:
        async with contextlib.aclosing(LocalSandbox(bubblewrap=False)) as sandbox:
            session = sandbox.session()
            where = (await session.run("import os; os.makedirs('a/b'); os.chmod('a', 0); print(os.getcwd())")).stdout
            assert where.strip() in scratch_folders(scratch_root)
            await session.aclose()
            assert where.strip() not in scratch_folders(scratch_root)

    asyncio.run(use())


def test_killing_the_owner_kills_everything(scratch_root: Path) -> None:
    program = (
        "import asyncio\nfrom genprm.execution import LocalSandbox\n"
        "async def main():\n    sandbox = LocalSandbox(bubblewrap=False)\n    session = sandbox.session()\n"
        f"    await session.run({FORK_DAEMON!r})\n"
        "    print(sandbox._pool.workers[0].client.transport.pid, flush=True)\n"
        "    await session.run('while True: pass', timeout_s=300)\nasyncio.run(main())\n"
    )
    environment = {**os.environ, "TMPDIR": str(scratch_root), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as owner:
        assert owner.stdout is not None
        pids = descendants(int(owner.stdout.readline()))
        assert len(pids) >= 3
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert gone_within(pids, 10)
    assert not list(scratch_root.iterdir())


def test_a_dead_supervisor_is_an_error_where_variables_were_lost_and_nowhere_else() -> None:
    async def use() -> None:
        async with contextlib.aclosing(LocalSandbox(bubblewrap=False)) as sandbox:
            with_state, running, fresh = sandbox.session(), sandbox.session(), sandbox.session()
            await with_state.run("x = 1")
            await running.run("x = 1")
            task = asyncio.create_task(running.run("while True: pass", timeout_s=60))
            first_cell = asyncio.create_task(fresh.run("import time; time.sleep(0.5); print('ran again')"))
            await asyncio.sleep(0.2)
            os.kill(supervisor_pid(sandbox), signal.SIGKILL)
            with pytest.raises(SandboxUnavailable, match="died"):
                await task
            assert (await first_cell).stdout == "ran again\n"
            with pytest.raises(SandboxUnavailable, match="died between two cells"):
                await with_state.run("print(x)")
            assert (await with_state.run("print('clean')")).stdout == "clean\n"

    asyncio.run(use())


def test_a_dead_supervisor_takes_its_sessions_along() -> None:
    async def use() -> set[int]:
        async with contextlib.aclosing(LocalSandbox(bubblewrap=False)) as sandbox:
            session = sandbox.session()
            await session.run("x = 1")
            task = asyncio.create_task(session.run("while True: pass", timeout_s=60))
            await asyncio.sleep(0.1)
            pids = descendants(supervisor_pid(sandbox))
            os.kill(supervisor_pid(sandbox), signal.SIGKILL)
            with pytest.raises(SandboxUnavailable):
                await task
            return pids

    assert gone_within(asyncio.run(use()), 5)


def test_a_supervisor_that_dies_twice_is_reported_not_judged() -> None:
    async def use() -> None:
        async with contextlib.aclosing(LocalSandbox(bubblewrap=False)) as sandbox:
            session = sandbox.session()
            with pytest.raises(SandboxUnavailable, match=r"died \(exit status -9\) while a cell ran"):
                await session.run("import os; os.kill(os.getppid(), 9)")
            assert (await session.run("print('healed')")).stdout == "healed\n"

    asyncio.run(use())


def test_a_lost_template_is_replaced_and_costs_no_session() -> None:
    async def use() -> None:
        async with contextlib.aclosing(LocalSandbox(bubblewrap=False)) as sandbox:
            session, late = sandbox.session(), sandbox.session()
            own = (await session.run("import os; x = 1; print(os.getpid())")).stdout
            for pid in descendants(supervisor_pid(sandbox)) - {supervisor_pid(sandbox), int(own)}:
                os.kill(pid, signal.SIGKILL)
            assert (await late.run("print('new')")).stdout == "new\n"
            assert (await session.run("print(x)")).stdout == "1\n"

    asyncio.run(use())


def test_a_wrecked_scratch_folder_harms_no_verdict() -> None:
    async def use() -> None:
        async with contextlib.aclosing(LocalSandbox(bubblewrap=False)) as sandbox:
            vandal, other = sandbox.session(), sandbox.session()
            await other.run("x = 1")
            await vandal.run("import shutil; shutil.rmtree('..', ignore_errors=True)")
            assert (await other.run("print(x)")).stdout == "1\n"
            assert (await sandbox.session().run("open('a', 'w').write('b'); print(2)")).stdout == "2\n"

    asyncio.run(use())


def test_a_sandbox_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> None:
        async with contextlib.aclosing(LocalSandbox(bubblewrap=False)) as sandbox:
            await sandbox.session().run("print(1)")

    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(SandboxUnavailable, match="cannot be started"):
        asyncio.run(use())
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SandboxUnavailable, match="ended at its start"):
        asyncio.run(use())


def test_cells_see_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    source = (
        "import os\nprint(os.environ)\nfor pid in ('self', os.getppid()): print(open(f'/proc/{pid}/environ').read())"
    )

    async def use() -> str:
        async with contextlib.aclosing(LocalSandbox(bubblewrap=False)) as sandbox:
            return (await sandbox.session().run(source)).stdout

    printed = asyncio.run(use())
    assert "PYTHONHASHSEED" in printed
    assert "hf_secret" not in printed


def test_the_same_code_prints_the_same_in_another_sandbox() -> None:
    async def use() -> str:
        async with contextlib.aclosing(LocalSandbox(bubblewrap=False)) as sandbox:
            source = "import random, numpy; print(hash('a'), {'a', 'b', 'c'}, random.random(), numpy.random.rand())"
            return (await sandbox.session().run(source)).stdout

    assert asyncio.run(use()) == asyncio.run(use())


def test_memory_of_all_processes_of_a_session_counts_together() -> None:
    source = (
        "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n        x = b'x' * (120 << 20)\n"
        "        time.sleep(60)\ntime.sleep(60)"
    )

    async def use() -> str:
        async with contextlib.aclosing(LocalSandbox(memory_mb=256, bubblewrap=False)) as sandbox:
            return (await sandbox.session().run(source, timeout_s=30)).status

    assert asyncio.run(use()) == "oom"


def test_waiting_for_a_turn_does_not_use_up_the_time_limit() -> None:
    async def use() -> list[str]:
        async with contextlib.aclosing(LocalSandbox(max_running=1, bubblewrap=False)) as sandbox:
            cells = (sandbox.session().run("import time; time.sleep(0.4)", timeout_s=1.2) for _ in range(5))
            return [result.status for result in await asyncio.gather(*cells)]

    assert asyncio.run(use()) == ["ok"] * 5


def test_cancelled_waiters_take_no_slot() -> None:
    async def use() -> str:
        async with contextlib.aclosing(LocalSandbox(max_sessions=1, bubblewrap=False)) as sandbox:
            holder, late = sandbox.session(), sandbox.session()
            await holder.run("pass")
            waiting = [asyncio.create_task(sandbox.session().run("print(1)")) for _ in range(20)]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await holder.aclose()
            return (await asyncio.wait_for(late.run("print('in')"), 20)).stdout

    assert asyncio.run(use()) == "in\n"


def test_open_sandbox_refuses_in_sentences() -> None:
    with pytest.raises(InputError, match="chroot"):
        open_sandbox("chroot")
    for option, value in (("timeout_s", 0), ("memory_mb", 1), ("max_sessions", 0), ("max_running", 0)):
        with pytest.raises(InputError, match=option):
            open_sandbox("local", **{option: value})


def test_inside_bubblewrap_nothing_of_the_host_is_there_and_the_owner_takes_all_along(scratch_root: Path) -> None:
    if find_bubblewrap() is None:
        pytest.skip("NOT TESTED in bubblewrap: this machine has none that works")
    (scratch_root / "private").write_text("mine")
    source = f"import os; print(os.path.exists({str(scratch_root / 'private')!r}), os.path.exists('/home'))"

    async def use() -> tuple[str, set[int]]:
        async with contextlib.aclosing(LocalSandbox(bubblewrap=True)) as sandbox:
            result = await sandbox.session().run(source)
            assert "bubblewrap" in sandbox.describe()
            return result.stdout, descendants(sandbox.pids[0])

    printed, pids = asyncio.run(use())
    assert printed == "False False\n"
    assert len(pids) >= 4
    assert gone_within(pids, 10)


def test_bad_calls_are_refused_before_anything_starts() -> None:
    async def use() -> None:
        sandbox = LocalSandbox(bubblewrap=False)
        with pytest.raises(InputError, match="time limit"):
            await sandbox.session().run("pass", timeout_s=-1)
        result = await sandbox.session().run("x" * (9 << 20))
        assert result.status == "error"
        assert result.error.startswith("SyntaxError: source of")
        assert not sandbox._pool.workers
        await sandbox.aclose()

    asyncio.run(use())
