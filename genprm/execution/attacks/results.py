"""R1-R6: code that forges its result, spoils later ones, or looks for the answers."""

from __future__ import annotations

from genprm.execution.attacks.case import attack, fails, prints

_FRAME = b'\x00\x00\x00\x30{"id": 1, "status": "ok", "stdout": "forged", "error": "", "session_lost": false}'

_SCRIBBLE = f"""
import os
for fd in map(int, os.listdir('/proc/self/fd')):
    for data in ({_FRAME!r}, b'ok\\n', b'x' * 16 + b'ok\\n', b'y' * 3000):
        try: os.write(fd, data)
        except OSError: pass
raise ValueError('true')
"""

_TRICKS = """
import atexit, builtins, sys, threading
atexit.register(print, 'at exit')
sys.excepthook = threading.excepthook = sys.unraisablehook = lambda *_: None
sys.settrace(lambda *_: None); sys.setprofile(lambda *_: None)
builtins.BaseException = builtins.Exception = builtins.ValueError = type('No', (), {})
raise [c for c in ArithmeticError.__mro__ if c.__name__ == 'Exception'][0]('true')
"""

_VANDAL = """
import builtins, json, os, signal, socket, sys
os.getpid = os._exit = os.close = os.read = os.write = json.dumps = json.loads = lambda *a, **k: 1 / 0
sys.byteorder = socket.socket.send = socket.socket.recvmsg = None
sys.modules['json'] = sys.modules['os'] = None
for name in ('len', 'str', 'isinstance', 'getattr', 'type', 'int', 'exec', 'compile', 'vars', 'setattr', 'print'):
    setattr(builtins, name, lambda *a, **k: 7)
sys.stdout = sys.stderr = sys.stdin = None
sys.path.clear(); sys.meta_path.clear(); sys.setrecursionlimit(60)
"""

_READ = """
import os
word = ('can' + 'ary-').encode()
mine = {os.getpid()}
def look(path, what):
    try:
        with open(path, 'rb') as file: data = file.read(1 << 20)
    except OSError: return
    if word in data: print('BREACH: the canary is in', what)
def memory(pid):
    try:
        maps = [line.split() for line in open(f'/proc/{pid}/maps')]
        with open(f'/proc/{pid}/mem', 'rb') as file:
            for span, mode, *_ in maps:
                start, end = (int(part, 16) for part in span.split('-'))
                if mode.startswith('rw') and end - start < 64 << 20:
                    file.seek(start)
                    if word in file.read(end - start): print('BREACH: read the memory of', pid); return
    except OSError: return
pids = {int(name) for name in os.listdir('/proc') if name.isdigit()} | {1, os.getppid()}
for pid in pids - mine:
    for part in ('environ', 'cmdline', 'auxv', 'stack', 'io'): look(f'/proc/{pid}/{part}', f'{part} of {pid}')
    try: print('BREACH: root, folder and files of process', pid, 'are open:', os.listdir(f'/proc/{pid}/cwd'))
    except OSError: pass
    try: os.listdir(f'/proc/{pid}/fd'); print('BREACH: descriptors of', pid)
    except OSError: pass
    memory(pid)
above = os.path.dirname(os.getcwd())
for top in {above, '/tmp', '/var/tmp', '/dev/shm', '/run'}:
    for folder, _, names in os.walk(top):
        for name in names: look(os.path.join(folder, name), os.path.join(folder, name))
print('looked')
"""

_ANCESTORS = """
import os
pid, seen = os.getppid(), []
while pid > 0:
    for part in ('mem', 'environ', 'maps', 'fd/0', 'fd/1'):
        try:
            open(f'/proc/{pid}/{part}', 'rb').read(64)
            seen.append((pid, part))
        except OSError: pass
    try: pid = int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])
    except OSError: break
print('BREACH: read' if seen else 'nothing', seen)
"""

_LONG = "x = 0\n" + "x += 1\n" * 100_000 + "print(x)"

ATTACKS = (
    attack(
        "R1-printed-frame",
        "error",
        f"import os; os.write(1, {_FRAME!r}); raise ValueError('true')",
        needs="verdict",
        holds=lambda result: result.error == "ValueError: true" and '"forged"' in result.stdout,
        requires="a printed frame is output",
    ),
    attack("R2-scribbles", "error", _SCRIBBLE, needs="verdict", holds=fails("ValueError: true")),
    attack(
        "R2-scribbles-twice", "error", "x = 1", _SCRIBBLE, _SCRIBBLE, needs="verdict", holds=fails("ValueError: true")
    ),
    attack(
        "R2-closed-descriptors",
        "crashed",
        "import os; os.closerange(0, 65536)",
        needs="verdict",
        requires="a cell that cannot report has crashed",
    ),
    attack("R3-exit", "error", "import sys; print('a'); sys.exit(3)", holds=fails("SystemExit: 3")),
    attack("R3-hard-exit", "error", "import os; os._exit(4)", holds=fails("SystemExit: 4")),
    attack(
        "R3-hooks",
        "error",
        _TRICKS,
        needs="verdict",
        holds=lambda result: result.error == "Exception: true" and result.stdout == "",
    ),
    attack(
        "R3-child-reports",
        "error",
        "import os\nif os.fork() == 0: raise SystemExit(0)\nos.wait()\nraise ValueError('true')",
        needs="verdict",
        holds=fails("ValueError: true"),
    ),
    attack("R4-vandal", "error", _VANDAL + "1 / 0", needs="verdict", holds=fails("ZeroDivisionError")),
    attack("R4-vandal-then-cell", "ok", "x = 3\n" + _VANDAL, "y = x", needs="verdict"),
    attack("R5-ancestors", "ok", _ANCESTORS, needs="neighbours", holds=prints("nothing []\n")),
    attack("R5-canary", "ok", _READ, needs="neighbours secrets", holds=prints("looked\n"), timeout_s=180.0),
    attack(
        "R6-quotes",
        "ok",
        "s = '''a\"\"\"b\\n\\\\'''\nprint(s, r'\\d', \"{x} %s $y\")",
        holds=prints('a"""b\n\\ \\d {x} %s $y\n'),
    ),
    attack("R6-nul", "error", "print(1)\0", holds=fails("SyntaxError")),
    attack("R6-line-ends", "ok", "x = 1\r\nif x:\r\n    print('''a\r\nb''')\r\n", holds=prints("a\nb\n")),
    attack("R6-byte-order-mark", "ok", "\ufeffprint('ä')", holds=prints("ä\n")),
    attack("R6-tabs", "error", "if 1:\n\tx = 1\n        y = 2", holds=fails("TabError")),
    attack("R6-surrogate", "error", "print('\udcff')", holds=fails("SyntaxError")),
    attack(
        "R6-huge",
        "error",
        "x = 1\n" + "#" * (10 << 20),
        holds=fails("SyntaxError"),
        requires="a source that is too long is an error, said so",
    ),
    attack("R6-long", "ok", _LONG, needs="memory", holds=prints("100000\n"), timeout_s=180.0),
    attack("R6-deep", "error", "(" * 100_000 + ")" * 100_000, holds=fails("SyntaxError")),
    attack("R6-empty", "ok", "", holds=prints("")),
    attack("R6-comment", "ok", "# nothing", holds=prints("")),
)
