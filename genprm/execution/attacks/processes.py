"""P1-P7: code that multiplies, kills or crashes."""

from __future__ import annotations

from genprm.execution.attacks.case import attack, fails, prints

_ANY_END = "ok error timeout oom crashed"

_RUNAWAY = """
import os, time
end = time.monotonic() + 40
if os.fork() == 0:
    while time.monotonic() < end:
        if os.fork(): os._exit(0)
print('started')
"""
"""One process at a time, with a new process id every moment; it gives up by itself if nobody gets it."""

_ZOMBIES = """
import os
for _ in range(1000):
    try:
        if os.fork() == 0: os._exit(0)
    except BlockingIOError:  # as many as it may have
        os.wait()
print('done')
"""

_CHAIN = """
import subprocess, sys
with open('c.py', 'w') as file: file.write('import subprocess, sys; subprocess.run([sys.executable, "c.py"])')
sys.exit(subprocess.run([sys.executable, 'c.py'], stderr=subprocess.DEVNULL).returncode or 1)
"""

_KILL_ALL = """
import os, signal
me, tried = os.getpid(), 0
def hit(call, *arguments):
    global tried
    tried += 1
    try:
        call(*arguments)
        return True
    except (ProcessLookupError, PermissionError):
        return False
for number in ({signals}):
    if hit(os.kill, 1, number): print('BREACH: signal', number, 'to process 1')
    for pid in sorted({{int(name) for name in os.listdir('/proc') if name.isdigit()}} | set(range(2, 400)) - {{me}}):
        if pid != me and hit(os.kill, pid, number): print('BREACH: signal', number, 'to process', pid)
    if os.getppid() and hit(os.kill, os.getppid(), number): print('BREACH: signal', number, 'to the parent')
hit(os.kill, -1, signal.SIGCONT)
print('tried', tried > 100)
"""

_PRIORITIES = """
import os
for pid in [1, os.getppid()]:
    for call in (lambda: os.setpriority(os.PRIO_PROCESS, pid, 19), lambda: os.sched_setaffinity(pid, {0})):
        try:
            call()
        except (PermissionError, ProcessLookupError):
            continue
        print('BREACH: changed how process', pid, 'is scheduled')
"""

_CORE = """
import os, resource
print(resource.getrlimit(resource.RLIMIT_CORE))
try:
    resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
    print('BREACH: core files can be had')
except ValueError:
    pass
if os.fork() == 0: os.abort()
os.wait()
print(os.listdir('.'))
"""

ATTACKS = (
    attack("P1-fork-bomb", _ANY_END, "import os\nwhile True: os.fork()", needs="processes", timeout_s=3.0),
    attack(
        "P1-patient-fork-bomb",
        "timeout oom crashed",
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        needs="processes",
        timeout_s=3.0,
    ),
    attack(
        "P1-full-table",
        "error",
        "import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(60)",
        needs="processes",
        holds=fails("BlockingIOError"),
        requires="a full process table is an error of the one who filled it",
    ),
    attack(
        "P2-thread-bomb",
        "error oom",
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        needs="processes memory",
    ),
    attack(
        "P3-pool",
        "error timeout oom crashed",
        "import multiprocessing\nmultiprocessing.get_context('fork').Pool(10_000)",
        needs="processes",
        timeout_s=6.0,
    ),
    attack(
        "P4-shell-bomb",
        _ANY_END,
        "import subprocess; subprocess.run(['sh', '-c', 'b(){ b|b& };b'])",
        needs="processes",
        timeout_s=3.0,
    ),
    attack(
        "P4-chain",
        "error timeout oom crashed",
        _CHAIN,
        needs="processes",
        timeout_s=6.0,
    ),
    attack("P4-runaway", "ok", _RUNAWAY, needs="processes", holds=prints("started\n")),
    attack("P5-zombies", "ok", _ZOMBIES, holds=prints("done\n"), timeout_s=180.0),
    attack("P6-own-group", "crashed", "import os; os.killpg(0, 9)", holds=lambda result: result.error == "9"),
    attack(
        "P6-kill-everyone",
        "ok crashed",
        "import os\ntry: os.kill(-1, 9)\nexcept ProcessLookupError: pass",
        needs="neighbours strangers",
    ),
    attack(
        "P6-kill-each",
        "ok",
        _KILL_ALL.format(signals="0, 9"),
        needs="neighbours strangers",
        holds=prints("tried True\n"),
    ),
    attack(
        "P6-stop-each",
        "ok",
        _KILL_ALL.format(signals="19, 15"),
        needs="neighbours strangers",
        holds=prints("tried True\n"),
    ),
    attack("P6-priorities", "ok", _PRIORITIES, needs="neighbours"),
    attack("P7-recursion", "error", "def f(): f()\nf()", holds=fails("RecursionError")),
    attack(
        "P7-deep-recursion",
        "error crashed oom",
        "import sys; sys.setrecursionlimit(10 ** 9)\nf = lambda x: f(x)\nf(1)",
        needs="memory",
        timeout_s=180.0,
    ),
    attack(
        "P7-deep-c-recursion",
        "crashed",
        "import sys; sys.setrecursionlimit(10 ** 9)\nclass A: pass\nA.__call__ = A()\nA()()",
        holds=lambda result: result.error == "11",
    ),
    attack(
        "P7-segmentation-fault",
        "crashed",
        "import ctypes; ctypes.string_at(0)",
        holds=lambda result: result.error == "11",
    ),
    attack("P7-abort", "crashed", "import os; os.abort()", holds=lambda result: result.error == "6"),
    attack("P7-core-file", "ok", _CORE, holds=prints("(0, 0)\n[]\n"), requires="no core file"),
)
