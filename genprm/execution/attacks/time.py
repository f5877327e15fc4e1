"""T1-T9: code that does not end, or hides that it goes on."""

from __future__ import annotations

from genprm.execution.attacks.case import attack, fails, prints

_STUBBORN = "while True:\n    try:\n        while True: pass\n    except BaseException: continue\n"

_DAEMON = (
    "import os, time\n"
    "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(120)\n    os._exit(0)\n"
    "os.wait()\nprint('done')"
)
"""Its grandchild has left the process group and holds stdout open."""

_SHARE = """
import os, time
def quota():
    try:
        limit, period = open('/sys/fs/cgroup/cpu.max').read().split()
    except OSError:
        limit, period = (open(f'/sys/fs/cgroup/cpu/cpu.cfs_{part}_us').read() for part in ('quota', 'period'))
    return int(limit) / int(period)
share, start = quota(), time.monotonic()
if share <= 0: print('BREACH: no quota of processor time')
for _ in range(32):
    if os.fork() == 0:
        while time.monotonic() - start < 2: pass
        os._exit(0)
for _ in range(32): os.wait()
spent = os.times()
used = (spent.children_user + spent.children_system) / (time.monotonic() - start)
if used > 1.25 * share + 0.1: print(f'BREACH: used {used:.2f} processors of {share:.2f}')
"""

ATTACKS = (
    attack("T1-endless-loop", "timeout", "while True: pass", timeout_s=0.7),
    attack("T2-sleep", "timeout", "import time; time.sleep(1e9)", timeout_s=0.7),
    attack("T2-big-integer", "timeout", "10 ** 10 ** 8", timeout_s=0.7),
    attack(
        "T2-integral",
        "timeout",
        "from sympy import *; x = Symbol('x'); integrate(sin(x)**100000 / (1 + cos(x)**997), x)",
        timeout_s=0.7,
    ),
    attack("T2-regex", "timeout", "import re; re.match('(a+)+$', 'a' * 64 + 'b')", timeout_s=0.7),
    attack(
        "T3-deaf-to-signals",
        "timeout",
        "import signal\nfor s in set(signal.Signals) - {9, 19}: signal.signal(s, signal.SIG_IGN)\n" + _STUBBORN,
        timeout_s=0.7,
    ),
    attack(
        "T3-no-alarm",
        "timeout",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))\n"
        "while True: signal.alarm(0); signal.setitimer(signal.ITIMER_REAL, 0)",
        timeout_s=0.7,
    ),
    attack("T4-swallowed-interrupt", "timeout", _STUBBORN, timeout_s=0.7),
    attack(
        "T5-daemon",
        "ok",
        _DAEMON,
        holds=lambda result: result.stdout == "done\n" and result.duration_s < 8,
        requires="the result comes at once",
    ),
    attack("T5-daemon-then-loop", "timeout", _DAEMON + "\nwhile True: pass", timeout_s=1.5, holds=prints("done\n")),
    attack("T6-silent", "timeout", "while True: pass", timeout_s=0.7, holds=prints("")),
    attack(
        "T6-partial-output",
        "timeout",
        "import sys\nprint('line', flush=True)\nsys.stdout.write('rest')\nwhile True: pass",
        timeout_s=0.7,
        holds=prints("line\nrest"),
        requires="what was printed is kept, flushed or not",
    ),
    *(
        attack(
            f"T7-own-{name}",
            "crashed",
            f"import os, signal; print('a'); os.kill(os.getpid(), signal.{name})\nwhile True: pass",
            holds=lambda result, number=str(number): (  # type: ignore[misc]
                (result.stdout, result.error) == ("a\n", number) and result.duration_s < 8
            ),
            requires="a death by signal is no timeout",
        )
        for name, number in (("SIGTERM", 15), ("SIGKILL", 9))
    ),
    attack(
        "T8-drip",
        "timeout",
        "import time\nwhile True: print(end='x'); time.sleep(0.1)",
        timeout_s=1.0,
        holds=lambda result: result.stdout.startswith("xxx"),
        requires="output does not move the time limit",
    ),
    attack("T9-busy-processes", "ok", _SHARE, needs="cpu processes"),
    attack(
        "T10-hostile-error",
        "timeout",
        "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
        timeout_s=0.7,
    ),
    attack(
        "T11-deadline-after-error", "error", "raise TimeoutError('not yours')", holds=fails("TimeoutError: not yours")
    ),
)
