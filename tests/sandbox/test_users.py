"""Sessions of a container are users of their own: what one can do to another and to the supervisor, and what is left
of one when it ends. On a real engine."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.sandbox.container import FIRST_UID, Container

TRY = """
import os
def attempt(what, *arguments, **options):
    try: return what(*arguments, **options)
    except OSError as error: return type(error).__name__
"""
OUR_PROCESSES = """
import os
def processes():
    found = {}
    for name in os.listdir('/proc'):
        if name.isdigit():
            try: lines = dict(line.split(':', 1) for line in open(f'/proc/{name}/status'))
            except OSError: continue
            if lines['State'].split()[0] not in 'ZX': found[int(name)] = int(lines['Uid'].split()[0])
    return found
"""


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    with Container() as container:
        yield container


@pytest.fixture
def numbers(container: Container) -> Iterator[Iterator[int]]:
    """Session numbers; their sessions are closed after the test, and then nobody is left."""
    used: list[int] = []

    def fresh() -> Iterator[int]:
        while True:
            used.append(next(_NUMBERS))
            yield used[-1]

    yield fresh()
    for number in used:
        container.close(number)
    assert_clean(container)


_NUMBERS = iter(range(1, 1_000_000))


def assert_clean(container: Container) -> None:
    """Nobody lives but the supervisor, the template and the session that looks; no file lies anywhere."""
    number = next(_NUMBERS)
    living = container.prints(number, f"{OUR_PROCESSES}print(sorted(processes().values()))")
    uid = int(container.prints(number, "import os; print(os.getuid())"))
    container.close(number)
    assert living == f"{[0, 0, uid]}\n"
    listing = container._api.exec_create(container.id, ["/opt/genprm/bin/python", "-c", LISTING])["Id"]
    assert container._api.exec_start(listing) == b"[]\n"


LISTING = """
import os
print([path for top in ('/tmp', '/dev/shm', '/dev/mqueue', '/scratch') for path in os.listdir(top)])
"""


def test_code_is_a_user_of_its_own_without_any_privilege(container: Container, numbers: Iterator[int]) -> None:
    look = "import os\nprint(os.getresuid() + os.getresgid(), os.getgroups())\nprint(open('/proc/self/status').read())"
    one, other = (container.prints(next(numbers), look) for _ in range(2))
    ids = [set(re.findall(r"\d+", text.splitlines()[0])) for text in (one, other)]
    assert all(len(found) == 1 for found in ids), ids  # real, effective and saved alike, and no further group
    assert ids[0] != ids[1]
    assert all(int(uid) >= FIRST_UID for uid in ids[0] | ids[1])
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert re.search(rf"{kind}:\s+0+\n", one), kind
    assert re.search(r"NoNewPrivs:\s+1\n", one)
    assert re.search(r"Seccomp:\s+2\n", one)


def test_a_session_cannot_become_another_user(container: Container, numbers: Iterator[int]) -> None:
    become = "for uid in (0, 1, os.getuid() + 1): print(attempt(os.setuid, uid), attempt(os.setgid, uid))"
    assert set(container.prints(next(numbers), TRY + become).split()) == {"PermissionError"}


def test_a_session_cannot_signal_another_one_nor_the_supervisor(container: Container, numbers: Iterator[int]) -> None:
    victim = next(numbers)
    pid = container.prints(victim, "import os; x = 5; print(os.getpid())").strip()
    shoot = (
        f"{TRY}{OUR_PROCESSES}others = [pid for pid, uid in processes().items() if uid != os.getuid()]\n"
        f"print({pid} in others, 1 in others, len(others))\n"
        "print({attempt(os.kill, pid, sign) for pid in others for sign in (0, 9, 15, 18, 19)})"
    )
    assert container.prints(next(numbers), shoot) == "True True 3\n{'PermissionError'}\n"
    container.run(next(numbers), "import os\nos.kill(-1, 9)")
    assert container.prints(victim, "print(x)") == "5\n"


def test_a_session_cannot_look_into_another_one_nor_the_supervisor(
    container: Container, numbers: Iterator[int]
) -> None:
    victim = next(numbers)
    secret = "import os; open('file', 'w').write('x'); open('/dev/shm/named', 'w').write('x'); os.environ['S'] = 's'"
    pid = container.prints(victim, f"{secret}; print(os.getpid())").strip()
    look = (
        f"{TRY}for pid in (1, {pid}):\n"
        "    for name in ('mem', 'maps', 'environ', 'smaps_rollup', 'io', 'stack', 'syscall'):\n"
        "        print(attempt(lambda: open(f'/proc/{pid}/{name}', 'rb').read(9)))\n"
        "    for name in ('fd', 'fdinfo', 'map_files', 'cwd/', 'root/'):\n"
        "        print(attempt(os.listdir, f'/proc/{pid}/{name}'))\n"
        "for name in ('/scratch', '/tmp', '/dev/shm', '/opt/genprm/sandbox', f'/scratch/SESSION'):\n"
        "    print(attempt(os.listdir, name))\n"
        "print(attempt(open, '/dev/shm/named'), attempt(open, '/scratch/SESSION/file'))\n"
        "print(attempt(open, '/tmp/planted', 'w'))\n"
    ).replace("SESSION", str(victim))
    assert set(container.prints(next(numbers), look).split()) == {"PermissionError"}


def test_no_process_may_be_traced_not_even_an_own_child(container: Container, numbers: Iterator[int]) -> None:
    trace = (
        "import ctypes, os, signal\nlibc = ctypes.CDLL(None, use_errno=True)\nchild = os.fork()\n"
        "if not child: signal.pause()\n"
        "print(libc.ptrace(16, child, 0, 0), ctypes.get_errno())\n"
        "buffer = ctypes.create_string_buffer(8)\n"
        "print(libc.process_vm_readv(child, buffer, 1, buffer, 1, 0), ctypes.get_errno())"
    )
    assert container.prints(next(numbers), trace) == "-1 1\n-1 1\n"


def test_a_session_has_a_number_of_processes_of_its_own() -> None:
    """Not even root's: the kernel counts them per user, so a bomb takes no process from its neighbours."""
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    count = (
        "import os, signal\nn = 0\ntry:\n    while n < 200:\n        if not os.fork(): signal.pause()\n        n += 1\n"
        "except OSError: print(n)"
    )
    with Container(processes=24) as container:
        running = container.start(1, bomb, timeout_s=3.0)
        assert container.prints(2, count) == "23\n"
        assert container.reply(running)["status"] == "timeout"
        assert container.prints(3, "print('clean')") == "clean\n"
        container.close(2)
        container.close(3)
        assert_clean(container)


def test_what_hides_from_the_family_tree_is_killed_too(container: Container, numbers: Iterator[int]) -> None:
    """The code gives up being the parent of its orphans, so that they become children of process 1."""
    hide = (
        "import ctypes, os, time\nctypes.CDLL(None).prctl(36, 0)\n"
        "if not os.fork():\n    os.setsid()\n    if os.fork(): os._exit(0)\n    time.sleep(300)\n    os._exit(0)\n"
        "os.wait()\ntime.sleep(0.02)\nprint('out')"
    )
    session = next(numbers)
    assert container.prints(session, hide) == "out\n"
    mine = f"{OUR_PROCESSES}print([pid for pid, uid in processes().items() if uid == os.getuid()] == [os.getpid()])"
    assert container.prints(session, mine) == "True\n"


def test_nothing_of_a_session_outlives_it(container: Container, numbers: Iterator[int]) -> None:
    """Files where everybody may write, folders it locked, and the next user of its id: ``numbers`` looks for them."""
    litter = (
        "import os\nfor top in ('/dev/shm', '.'):\n"
        "    os.makedirs(f'{top}/deep/deeper')\n"
        "    for name in ('deep/deeper/file', '.hidden'): open(f'{top}/{name}', 'w').write('x')\n"
        "    os.mkfifo(f'{top}/fifo'); os.symlink('/proc', f'{top}/link')\n"
        "    os.chmod(f'{top}/deep/deeper', 0o1777); os.chmod(f'{top}/deep', 0)\n"
        "os.chmod('.', 0)\nprint(os.getuid())"
    )
    seen = []
    for _ in range(10):  # more than there are user ids
        session = next(numbers)
        seen.append(container.prints(session, litter))
        container.close(session)
    assert len(set(seen)) == 8


def test_system_v_objects_are_removed_where_no_filter_forbids_them() -> None:
    make = (
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "print(libc.shmget(77, 4096, 0o1600) >= 0, libc.semget(77, 1, 0o1600) >= 0, libc.msgget(77, 0o1600) >= 0)"
    )
    count = "print([len(open(f'/proc/sysvipc/{kind}').readlines()) - 1 for kind in ('shm', 'sem', 'msg')])"
    with Container(filtered=False) as container:
        assert container.prints(1, make) == "True True True\n"
        assert container.prints(2, count) == "[1, 1, 1]\n"
        container.close(1)
        assert container.prints(2, count) == "[0, 0, 0]\n"


def test_our_filter_forbids_them(container: Container, numbers: Iterator[int]) -> None:
    get = "libc.shmget(7, 1, 512), libc.semget(7, 1, 512), libc.msgget(7, 512)"
    make = f"import ctypes\nlibc = ctypes.CDLL(None)\nprint({get})"
    assert container.prints(next(numbers), make) == "-1 -1 -1\n"
    queue = f"{TRY}print(attempt(os.open, '/dev/mqueue/q', os.O_CREAT | os.O_RDWR))"
    assert container.prints(next(numbers), queue).strip() in ("OSError", "PermissionError", "FileNotFoundError")


def test_a_session_beyond_the_user_ids_is_refused_and_no_verdict() -> None:
    with Container(max_sessions=1) as container:
        assert container.prints(1, "print(1)") == "1\n"
        assert "user ids" in container.run(2, "print(2)")["unavailable"]
        container.close(1)
        assert container.prints(2, "print(2)") == "2\n"


def test_the_supervisor_ends_at_its_time_however_busy() -> None:
    with Container(lifetime_s=3.0) as container:
        container.start(1, "while True: pass", timeout_s=100.0)
        assert container._api.wait(container.id, timeout=60)["StatusCode"] == 0
