"""The sandbox contract, executable: every sandbox passes every check.

    for check in CHECKS:
        await check(sandbox)       # raises AssertionError with a sentence

A check opens sessions of its own and leaves the sandbox usable, whatever its code did: run them all, in any order, on
one sandbox that nothing else uses meanwhile. They hold for a sandbox with at least ``LEAST_SESSIONS`` sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from genprm.execution.base import ExecutionResult, Sandbox, Session

Check = Callable[[Sandbox], Coroutine[Any, Any, None]]
CHECKS: list[Check] = []
LEAST_SESSIONS = 56
PATIENCE_S = 8.0
"""What a busy machine may add to a time limit."""


def _check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def expect(holds: bool, what: str, found: object) -> None:
    """Raise ``AssertionError`` unless the property holds."""
    if not holds:
        raise AssertionError(f"{what}; found {str(found)[:600]}")


@contextlib.asynccontextmanager
async def _session(sandbox: Sandbox) -> AsyncIterator[Session]:
    async with contextlib.aclosing(sandbox.session()) as session:
        yield session


async def _run(sandbox: Sandbox, source: str, timeout_s: float = 20.0) -> ExecutionResult:
    """Run one cell in a session of its own."""
    async with _session(sandbox) as session:
        return await session.run(source, timeout_s=timeout_s)


async def _expect_run(sandbox: Sandbox, source: str, stdout: str, error: str = "") -> None:
    result = await _run(sandbox, source)
    status = "error" if error else "ok"
    found = (result.status, result.stdout, result.error)
    expect(found == (status, stdout, error), f"{source[:60]!r} must end {(status, stdout, error)}", result)


async def _expect_gone(sandbox: Sandbox, pid: str) -> None:
    """A later session sees no living process of that id."""
    look = f"try: print(open('/proc/{pid}/stat').read().rpartition(')')[2].split()[0])\nexcept OSError: print('X')"
    result = await _run(sandbox, look)
    expect(result.stdout.strip() in ("X", "Z"), f"process {pid} must be dead", result)


# --- state ----------------------------------------------------------------------------------------------------------


@_check
async def state_is_kept_across_cells(sandbox: Sandbox) -> None:
    async with _session(sandbox) as session:
        await session.run("import math\nx = 20\ndef double(n): return 2 * n")
        result = await session.run("print(double(x) + math.floor(2.5))")
    expect((result.status, result.stdout) == ("ok", "42\n"), "a cell sees the names of earlier cells", result)


@_check
async def state_survives_an_exception(sandbox: Sandbox) -> None:
    async with _session(sandbox) as session:
        failed = await session.run("x = 7\nraise ValueError('no')")
        result = await session.run("print(x)")
    expect(not failed.session_lost and result.stdout == "7\n", "an exception does not end the session", result)


@_check
async def sessions_are_isolated(sandbox: Sandbox) -> None:
    async with _session(sandbox) as one, _session(sandbox) as other:
        await one.run("secret = 1; open('left', 'w').write('x')")
        result = await other.run("import os\nprint(os.path.exists('left'))\nprint(secret)")
    found = (result.status, result.stdout, result.error)
    expect(found == ("error", "False\n", "NameError: name 'secret' is not defined"), "sessions share nothing", result)


@_check
async def patches_do_not_outlive_their_session(sandbox: Sandbox) -> None:
    """Replaced builtins, json, os functions and streams harm the next session not at all, this one not visibly."""
    vandal = (
        "import builtins, json, os, sys, socket\n"
        "print('done')\n"
        "os.getpid = os._exit = os.close = os.read = json.dumps = json.loads = lambda *a, **k: 1 / 0\n"
        "sys.settrace = sys.byteorder = socket.socket.send = socket.socket.recvmsg = None\n"
        "for name in ('len', 'str', 'isinstance', 'getattr', 'type', 'int', 'exec', 'compile', 'vars', 'setattr'):\n"
        "    setattr(builtins, name, None)\n"
        "sys.stdout = None\n"
    )
    async with _session(sandbox) as session:
        first = await session.run(vandal)
        second = await session.run("print('still here')")
    expect((first.status, first.stdout) == ("ok", "done\n"), "the vandal's own cell ends as it ended", first)
    expect((second.status, second.stdout) == ("ok", "still here\n"), "its next cell has streams again", second)
    await _expect_run(sandbox, "import json; print(json.dumps(len('ab')))", "2\n")


@_check
async def a_cell_is_the_main_module(sandbox: Sandbox) -> None:
    await _expect_run(sandbox, "if __name__ == '__main__':\n    print('body')", "body\n")
    program = "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nimport pickle\n"
    await _expect_run(sandbox, program + "print(pickle.loads(pickle.dumps(P(3))))", "P(x=3)\n")


@_check
async def the_same_code_prints_the_same(sandbox: Sandbox) -> None:
    source = (
        "import os, random, time, numpy\nprint(hash('text'), {'a', 'b', 'c', 'd'})\n"
        "print(random.random(), numpy.random.rand())\n"
        "print(time.tzname, os.environ.get('LC_ALL'), os.environ.get('OMP_NUM_THREADS'))"
    )
    results = [await _run(sandbox, source) for _ in range(2)]
    expect(results[0].status == "ok" and results[0].stdout == results[1].stdout, "sessions are deterministic", results)


# --- how cells end --------------------------------------------------------------------------------------------------


@_check
async def exceptions_keep_what_was_printed(sandbox: Sandbox) -> None:
    await _expect_run(sandbox, "print('before')\n1 / 0", "before\n", "ZeroDivisionError: division by zero")
    await _expect_run(sandbox, "print('before', end='')\nassert 1 == 2, 'a\\nb'", "before", "AssertionError: a\nb")


@_check
async def invalid_sources_are_syntax_errors(sandbox: Sandbox) -> None:
    for source in ("x = (", "def f(:", "print('a", "a = 1\n  b = 2", "a\0b", "x = '\ud800'", "return 1", "\t\tx=1\n y"):
        result = await _run(sandbox, source)
        clean = result.status == "error" and result.error.startswith(("SyntaxError: ", "IndentationError: "))
        expect(clean and not result.session_lost, f"{source!r} is a syntax error", result)


@_check
async def sources_mean_what_they_mean_in_a_file(sandbox: Sandbox) -> None:
    await _expect_run(sandbox, "", "")
    await _expect_run(sandbox, "\ufeffprint('bom')\r\nif True:\r\n\tprint('crlf')\r\n", "bom\ncrlf\n")
    await _expect_run(sandbox, 'print("""a\'\'\'b\\n""" + r"\\d{}%s")', "a'''b\n\\d{}%s\n")
    await _expect_run(sandbox, "print('é∑😀')", "é∑😀\n")
    await _expect_run(sandbox, f"x = '{'y' * 2_000_000}'\nprint(len(x))", "2000000\n")


@_check
async def hostile_exceptions_are_described(sandbox: Sandbox) -> None:
    result = await _run(sandbox, "class E(Exception):\n    def __str__(self): raise SystemError\nprint('a')\nraise E")
    expect(result.status == "error" and result.error.startswith("E: "), "an unprintable exception is named", result)
    result = await _run(sandbox, "raise ValueError('x' * 10_000_000)")
    expect(result.status == "error" and len(result.error) < 10_000, "a message is capped", len(result.error))
    await _expect_run(sandbox, "import sys; sys.settrace(lambda *a: 1 / 0); raise KeyError(1)", "", "KeyError: 1")


@_check
async def an_exit_ends_the_cell_only(sandbox: Sandbox) -> None:
    async with _session(sandbox) as session:
        for source, status, error in (
            ("x = 1; exit()", "ok", ""),
            ("import sys; sys.exit(0)", "ok", ""),
            ("sys.exit(3)", "error", "SystemExit: 3"),
            ("sys.exit('bye')", "error", "SystemExit: bye"),
        ):
            result = await session.run(source)
            expect((result.status, result.error, result.session_lost) == (status, error, False), source, result)
        result = await session.run("print(x)")
    expect(result.stdout == "1\n", "the session goes on after an exit", result)


@_check
async def a_hard_exit_takes_the_session(sandbox: Sandbox) -> None:
    async with _session(sandbox) as session:
        result = await session.run("print('a'); import os; os._exit(4)")
        found = (result.status, result.stdout, result.error, result.session_lost)
        expect(found == ("error", "a\n", "SystemExit: 4", True), "os._exit is an exit with its code", result)
        result = await session.run("os._exit(0)")
        expect(result.error.startswith("NameError"), "the next cell starts clean", result)
        result = await session.run("import os; os._exit(0)")
        expect((result.status, result.session_lost) == ("ok", True), "os._exit(0) is no error", result)


@_check
async def a_crash_names_its_signal(sandbox: Sandbox) -> None:
    for source, signal in (
        ("import ctypes; print('a'); ctypes.string_at(0)", "11"),
        ("import os; print('a'); os.abort()", "6"),
        ("import os; print('a'); os.kill(os.getpid(), 9)", "9"),
    ):
        result = await _run(sandbox, source)
        found = (result.status, result.stdout, result.error, result.session_lost)
        expect(found == ("crashed", "a\n", signal, True), f"{source!r} is a crash by signal {signal}", result)


@_check
async def no_input_is_an_error_not_a_wait(sandbox: Sandbox) -> None:
    await _expect_run(sandbox, "input()", "", "EOFError: EOF when reading a line")


# --- time -----------------------------------------------------------------------------------------------------------


async def _expect_timeout(sandbox: Sandbox, source: str, stdout: str = "") -> None:
    async with _session(sandbox) as session:
        started = time.monotonic()
        result = await session.run(source, timeout_s=0.7)
        took = time.monotonic() - started
        found = (result.status, result.stdout, result.error, result.session_lost)
        expect(found == ("timeout", stdout, "", True), f"{source[:60]!r} must time out", result)
        expect(0.6 < took < 0.7 + PATIENCE_S, "a timeout comes in time", took)
        again = await session.run("print('clean')")
    expect((again.status, again.stdout) == ("ok", "clean\n"), "the cell after a timeout starts clean", again)


@_check
async def an_endless_loop_times_out(sandbox: Sandbox) -> None:
    await _expect_timeout(sandbox, "print('part')\nprint('of it', end='')\nwhile True: pass", "part\nof it")


@_check
async def blocked_c_code_times_out(sandbox: Sandbox) -> None:
    await _expect_timeout(sandbox, "10 ** 10 ** 8")
    await _expect_timeout(sandbox, "import re; re.match('(a+)+$', 'a' * 64 + 'b')")
    await _expect_timeout(sandbox, "import time; time.sleep(1000)")


@_check
async def code_that_refuses_to_end_times_out(sandbox: Sandbox) -> None:
    deaf = "import signal\nfor s in set(signal.Signals) - {9, 19}: signal.signal(s, signal.SIG_IGN)\n"
    stubborn = "while True:\n    try:\n        while True: pass\n    except BaseException: continue\n"
    await _expect_timeout(sandbox, deaf + stubborn)


@_check
async def a_recursive_str_times_out(sandbox: Sandbox) -> None:
    await _expect_timeout(sandbox, "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E")


# --- output ---------------------------------------------------------------------------------------------------------


@_check
async def big_outputs_are_complete_or_say_so(sandbox: Sandbox) -> None:
    for size in (4096, 65_536, 131_072, 160_000, 1 << 20):
        for source in (
            f"import sys; sys.stdout.write('x' * {size})",
            f"import os; n = 0\nwhile n < {size}: n += os.write(1, b'x' * ({size} - n))",
            f"import subprocess; subprocess.run(['head', '-c', '{size}', '/dev/zero'])",
        ):
            result = await _run(sandbox, source)
            complete = len(result.stdout) == size and not result.truncated
            cut = result.truncated and size > 65_536 and len(result.stdout) < size
            expect(result.status == "ok" and (complete or cut), f"{size} bytes by {source[:30]!r}", result)


@_check
async def a_flood_is_cut_off(sandbox: Sandbox) -> None:
    for source in (
        "while True: print('x' * 1000)",
        "import sys\nwhile True: sys.stderr.write('x' * 100000)",
        "import sys\nsys.stdout.write('x' * (40 << 20))",
        "import subprocess; subprocess.run(['yes'])",
    ):
        result = await _run(sandbox, "print('head')\n" + source)
        expect((result.status, result.session_lost) == ("output_limit", True), f"{source!r} is a flood", result.status)
        kept = result.truncated and result.stdout.startswith("head\n") and len(result.stdout) < 1 << 20
        expect(kept, "of a flood head and tail are kept", len(result.stdout))


@_check
async def every_way_to_print_is_captured_in_order(sandbox: Sandbox) -> None:
    source = (
        "import os, sys, subprocess\nprint('a')\nos.write(1, b'b\\n')\nsys.__stdout__.write('c\\n')\n"
        "sys.stderr.write('d\\n')\nsubprocess.run(['echo', 'e'])\nos.system('echo f >&2')\n"
        "open('/proc/self/fd/1', 'w').write('g\\n')\nsys.stdout.buffer.write(b'h\\n')"
    )
    await _expect_run(sandbox, source, "".join(f"{letter}\n" for letter in "abcdefgh"))


@_check
async def any_bytes_may_be_printed(sandbox: Sandbox) -> None:
    source = "import os; os.write(1, b'a\\xff\\xfe\\x00\\x1b[31m\\r\\n\\xc3')"
    await _expect_run(sandbox, source, "a\ufffd\ufffd\0\x1b[31m\r\n\ufffd")


# --- verdicts cannot be forged --------------------------------------------------------------------------------------

_FORGERY = b'\\x00\\x00\\x00\\x30{"id": 1, "status": "ok", "stdout": "forged", "ready": true}'


@_check
async def frames_on_stdout_are_only_text(sandbox: Sandbox) -> None:
    source = f"import os; os.write(1, b'{_FORGERY.decode()}'); os.write(2, b'ok\\n'); raise ValueError('true')"
    result = await _run(sandbox, source)
    expect((result.status, result.error) == ("error", "ValueError: true"), "a printed frame changes nothing", result)
    expect('"forged"' in result.stdout, "a printed frame is output", result)


@_check
async def scribbles_on_inherited_descriptors_change_nothing(sandbox: Sandbox) -> None:
    source = (
        "import os\nfor fd in map(int, os.listdir('/proc/self/fd')):\n"
        f"    for data in (b'{_FORGERY.decode()}', b'ok\\n', b'x' * 16 + b'ok\\n', b'y' * 3000):\n"
        "        try: os.write(fd, data)\n        except OSError: pass\n"
        "raise ValueError('true')"
    )
    async with _session(sandbox) as session, _session(sandbox) as other:
        await other.run("x = 5")
        for _ in range(2):
            result = await session.run(source)
            expect(result.error == "ValueError: true", "scribbles do not change the verdict", result)
        result = await other.run("print(x)")
    expect(result.stdout == "5\n", "nor those of others", result)


@_check
async def closing_all_descriptors_harms_only_itself(sandbox: Sandbox) -> None:
    """The usual range closes nothing of ours; closing each one by its number is a crash, not a success."""
    result = await _run(sandbox, "import os; os.closerange(3, 256); print('fine')")
    expect((result.status, result.stdout) == ("ok", "fine\n"), "closerange is harmless", result)
    result = await _run(sandbox, "import os\nos.closerange(0, 65536)")
    expect(result.status == "crashed" and result.session_lost, "a cut channel is a crash", result)


@_check
async def a_forked_copy_does_not_answer(sandbox: Sandbox) -> None:
    async with _session(sandbox) as session:
        result = await session.run("import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint(pid > 0)")
        expect((result.status, result.stdout) == ("ok", "False\nTrue\n"), "one cell, one verdict", result)
        result = await session.run("print(pid > 0)")
    expect(result.stdout == "True\n", "the session is the parent", result)


# --- processes ------------------------------------------------------------------------------------------------------

_DAEMON = (
    "import os, time\nr, w = os.pipe()\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
    "        os.write(w, str(os.getpid()).encode())\n        time.sleep(300)\n    os._exit(0)\n"
    "print(os.read(r, 20).decode())\n"
)


@_check
async def nobody_waits_for_a_grandchild(sandbox: Sandbox) -> None:
    """A process that holds stdout and has left the process group neither delays the result nor outlives it."""
    started = time.monotonic()
    result = await _run(sandbox, _DAEMON, timeout_s=30.0)
    expect(result.status == "ok" and time.monotonic() - started < 20, "the result comes at once", result)
    await _expect_gone(sandbox, result.stdout.strip())


@_check
async def threads_stand_still_between_cells(sandbox: Sandbox) -> None:
    ticking = (
        "import threading, time\nticks = []\n"
        "def tick():\n    while True: ticks.append(time.monotonic()); time.sleep(0.01)\n"
        "threading.Thread(target=tick, daemon=True).start(); time.sleep(0.1)"
    )
    async with _session(sandbox) as session:
        await session.run(ticking)
        await asyncio.sleep(0.6)
        result = await session.run("time.sleep(0.1); print(max(b - a for a, b in zip(ticks, ticks[1:])) > 0.4)")
    expect(result.stdout == "True\n", "no thread of a cell runs while no cell does", result)


@_check
async def a_timeout_reaches_every_descendant(sandbox: Sandbox) -> None:
    result = await _run(sandbox, _DAEMON + "while True: pass", timeout_s=1.5)
    expect(result.status == "timeout", "the cell times out", result)
    await _expect_gone(sandbox, result.stdout.strip())


@_check
async def an_exit_leaves_no_descendant(sandbox: Sandbox) -> None:
    result = await _run(sandbox, _DAEMON + "os._exit(0)")
    await _expect_gone(sandbox, result.stdout.strip())


@_check
async def a_process_without_its_first_thread_is_killed_too(sandbox: Sandbox) -> None:
    source = (
        "import ctypes, os, threading, time\nthreading.Thread(target=time.sleep, args=(300,)).start()\n"
        "print(os.getpid())\nctypes.PyDLL(None).pthread_exit(None)"
    )
    result = await _run(sandbox, source, timeout_s=1.5)
    expect(result.status in ("timeout", "crashed"), "such a cell never answers", result)
    gone = f"import os; print(os.path.exists('/proc/{result.stdout.strip()}'))"
    expect((await _run(sandbox, gone)).stdout == "False\n", "no thread of it is left", result)


@_check
async def cancelling_kills_the_cell(sandbox: Sandbox) -> None:
    async with _session(sandbox) as session:
        pid = (await session.run("import os; print(os.getpid())")).stdout.strip()
        task = asyncio.create_task(session.run("while True: pass", timeout_s=60.0))
        await asyncio.sleep(0.2)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        result = await session.run("print('again')")
        expect((result.status, result.stdout) == ("ok", "again\n"), "the cell after it starts clean", result)
        await _expect_gone(sandbox, pid)


@_check
async def closing_is_idempotent_and_kills(sandbox: Sandbox) -> None:
    session = sandbox.session()
    await session.aclose()
    session = sandbox.session()
    pid = (await session.run("import os; print(os.getpid())")).stdout.strip()
    await session.aclose()
    await session.aclose()
    await _expect_gone(sandbox, pid)


@_check
async def too_much_memory_is_oom(sandbox: Sandbox) -> None:
    for source in (
        "print('a'); x = bytearray(1 << 42)",
        "print('a'); import numpy; x = numpy.ones(1 << 40)",
        "print('a'); x = []\nwhile True: x.append(bytearray(32 << 20))",
        "print('a'); import mmap; m = mmap.mmap(-1, 1 << 33)\nwhile True: m.write(b'x' * (8 << 20))",
    ):
        async with _session(sandbox) as session:
            result = await session.run(source, timeout_s=30.0)
            found = (result.status, result.stdout, result.error, result.session_lost)
            expect(found == ("oom", "a\n", "", True), f"{source!r} is out of memory", result)
            again = await session.run("print('clean')")
        expect(again.stdout == "clean\n", "the cell after it starts clean", again)


@_check
async def many_sessions_at_once(sandbox: Sandbox) -> None:
    async def vote(number: int) -> str:
        async with _session(sandbox) as session:
            await session.run(f"import sympy; x = {number}", timeout_s=60.0)
            return (await session.run("print(x)", timeout_s=60.0)).stdout

    printed = await asyncio.gather(*(vote(number) for number in range(LEAST_SESSIONS)))
    expect(printed == [f"{number}\n" for number in range(LEAST_SESSIONS)], "each session has its own state", printed)


@_check
async def a_full_sandbox_makes_the_next_wait(sandbox: Sandbox) -> None:
    open_sessions = [sandbox.session() for _ in range(sandbox.max_sessions)]
    await asyncio.gather(*(session.run("pass", timeout_s=60.0) for session in open_sessions))
    late = sandbox.session()
    task = asyncio.create_task(late.run("print('in')", timeout_s=60.0))
    await asyncio.sleep(0.2)
    expect(not task.done(), "a session beyond max_sessions waits", task)
    await open_sessions[0].aclose()
    result = await task
    expect(result.stdout == "in\n", "it runs as soon as one is closed", result)
    await asyncio.gather(late.aclose(), *(session.aclose() for session in open_sessions))
