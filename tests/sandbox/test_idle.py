"""Between two cells a session stands still. What wakes it is refused, and if it is not, it is found and ended."""

from __future__ import annotations

import time

import pytest

from tests.sandbox.container import Container

AT_WORK = """
import threading, time
def work():
    while True: sum(range(100_000))
threading.Thread(target=work, daemon=True).start()
print('done')
"""
BY_TIMER = """
import ctypes, signal
class Event(ctypes.Structure): _fields_ = [('value', ctypes.c_void_p), ('number', ctypes.c_int), ('kind', ctypes.c_int),
                                           ('rest', ctypes.c_char * 48)]
event, timer, libc = Event(None, signal.SIGCONT, 0), ctypes.c_void_p(), ctypes.CDLL(None)
if libc.timer_create(1, ctypes.byref(event), ctypes.byref(timer)): raise PermissionError('timer_create')
libc.timer_settime(timer, 0, (ctypes.c_long * 4)(0, 20_000_000, 0, 20_000_000), None)
"""
BY_CHILD = """
import ctypes, signal, time
pid = ctypes.CDLL(None).syscall(56, int(signal.SIGCONT), 0, 0, 0, 0)
if pid < 0: raise PermissionError('clone')
while not pid: time.sleep(100)
"""
BY_PIPE = """
import fcntl, os, signal
fcntl.fcntl(1, fcntl.F_SETOWN, os.getpid()); fcntl.fcntl(1, 10, int(signal.SIGCONT))
fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_ASYNC)
"""


@pytest.mark.parametrize("how", [BY_TIMER, BY_CHILD, BY_PIPE], ids=["timer", "child", "pipe"])
def test_code_cannot_arrange_to_be_woken(how: str) -> None:
    with Container() as container:
        assert container.run(1, how)["error"].startswith("PermissionError")


def test_a_session_that_runs_on_between_its_cells_is_ended_and_says_so() -> None:
    """Without our list of system calls, so that the supervisor alone must see it."""
    with Container(filtered=False) as container:
        container.run(1, "kept = 1")
        assert container.prints(2, BY_TIMER + AT_WORK) == "done\n"
        for pause in (
            2.0,
            8.0,
            30.0,
        ):  # it is known by the processor time it takes, of which others may leave it little
            time.sleep(pause)
            # Once more, for a stop that meets the timer's signal on its way ends the timer: then nothing runs on.
            if (reply := container.run(2, BY_TIMER))["status"] != "ok":
                break
        assert (reply["status"], reply["error"], reply["session_lost"]) == ("crashed", "9", True)
        assert container.prints(1, "print(kept)") == "1\n"


def test_threads_that_stand_still_are_let_go_on() -> None:
    with Container() as container:
        assert container.prints(1, AT_WORK) == "done\n"
        time.sleep(2.0)
        assert container.prints(1, "print(threading.active_count())") == "2\n"


def test_a_session_cannot_read_back_its_output() -> None:
    with Container() as container:
        reply = container.run(1, "import os\nos.open('/proc/self/fd/1', os.O_RDONLY)")
        assert reply["error"].startswith("PermissionError")
        assert container.prints(1, "open('/dev/stdout', 'w').write('x'); print()") == "x\n"
