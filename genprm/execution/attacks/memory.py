"""M1-M5: code that takes all memory. Where it can, it reads its limit first, so as to take not much more."""

from __future__ import annotations

from genprm.execution.attacks.case import attack, prints

_OF_MANY = """
import os, resource, time
part = resource.getrlimit(resource.RLIMIT_DATA)[0] // 3
for _ in range(6):
    if os.fork() == 0:
        held = bytearray(b'x') * part
        time.sleep(60)
time.sleep(60)
"""

_FILE = """
block = b'x' * (1 << 20)
with open('{folder}/held', 'wb') as file:
    for _ in range(8 << 10): file.write(block)
print('BREACH: 8 GB of memory in {folder}')
"""

_MANY_FILES = """
import os
os.makedirs('{folder}/held', exist_ok=True)
block = b'x' * (8 << 20)
for number in range(1 << 10):
    with open(f'{folder}/held/{{number}}', 'wb') as file: file.write(block)
print('BREACH: 8 GB of memory in {folder}')
"""

_LIBRARIES = """
import subprocess, sys
import numpy, sympy
print(round(numpy.linalg.det(numpy.eye(300) * 1.01), 3), sympy.factor(sympy.sympify('x**2 - 1')))
fresh = [sys.executable, '-c', 'import numpy, sympy; print(numpy.ones((500, 500)).sum(), sympy.pi.n(5))']
print(subprocess.run(fresh, capture_output=True, text=True).stdout, end='')
"""

_SWAP = """
def read(path):
    try:
        return open(path).read().strip()
    except OSError:
        return None
swap = read('/sys/fs/cgroup/memory.swap.max')
both, memory = (read(f'/sys/fs/cgroup/memory/memory.{name}limit_in_bytes') for name in ('memsw.', ''))
machine = next(line.split()[1] for line in open('/proc/meminfo') if line.startswith('SwapTotal'))
if not (swap == '0' or (both is not None and both == memory) or machine == '0'):
    print(f'BREACH: swap is open ({swap}, {both}, {memory}, {machine} kB)')
"""

_UNMAPPED = """
import mmap
held = []
while True:
    m = mmap.mmap(-1, 64 << 20)
    for offset in range(0, 64 << 20, 4096): m[offset] = 1
    held.append(m)
"""

ATTACKS = (
    attack("M1-at-once", "oom", "print('a'); x = bytearray(8 << 30)", needs="memory", holds=prints("a\n")),
    attack("M1-array", "oom", "print('a'); import numpy; x = numpy.ones(1 << 32)", needs="memory", holds=prints("a\n")),
    attack(
        "M2-growth",
        "oom",
        "print('a'); x = []\nwhile True: x.append([0] * 100_000)",
        needs="memory",
        holds=prints("a\n"),
        timeout_s=180.0,
    ),
    attack(
        "M2-caught",
        "oom timeout",
        "x = []\nwhile True:\n    try: x.append(bytearray(8 << 20))\n    except MemoryError: pass",
        needs="memory",
        timeout_s=5.0,
        requires="code that catches MemoryError gets no more memory",
    ),
    attack("M3-mmap", "oom", _UNMAPPED, needs="memory", timeout_s=180.0),
    *(
        attack(f"M3-file-in-{name}", "oom error", _FILE.format(folder=folder), needs="memory disk", timeout_s=180.0)
        for name, folder in (("shm", "/dev/shm"), ("tmp", "/tmp"), ("scratch", "."))
    ),
    *(
        attack(
            f"M3-files-in-{name}", "oom error", _MANY_FILES.format(folder=folder), needs="memory disk", timeout_s=180.0
        )
        for name, folder in (("shm", "/dev/shm"), ("tmp", "/tmp"), ("scratch", "."))
    ),
    attack(
        "M4-libraries-fit",
        "ok",
        _LIBRARIES,
        needs="memory",
        timeout_s=180.0,
        holds=lambda result: result.stdout.endswith("(x - 1)*(x + 1)\n250000.0 3.1416\n"),
        requires="numpy and sympy work below the limit, in a new interpreter too",
    ),
    attack("M4-swap", "ok", _SWAP, needs="memory swap"),
    attack(
        "M5-many-small",
        "oom",
        _OF_MANY,
        needs="memory",
        timeout_s=180.0,
        requires="processes that each stay below the limit exceed it together",
    ),
)
