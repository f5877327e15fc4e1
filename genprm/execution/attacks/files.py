"""F1-F5: code that fills, keeps, fakes or deletes files."""

from __future__ import annotations

from genprm.execution.attacks.case import attack, prints

_FOLDERS = {"scratch": ".", "tmp": "/tmp", "var-tmp": "/var/tmp", "shm": "/dev/shm", "run": "/run"}

_FILL = """
import os
try:
    os.makedirs('{folder}/fill', exist_ok=True)
    written, block = 0, b'x' * (1 << 20)
    for number in range(20 << 10):
        with open(f'{folder}/fill/{{number // 32}}', 'ab') as file: written += file.write(block)
    print('BREACH: 20 GB in {folder}')
except OSError as error:
    print('stopped')
"""

_INODES = """
import os
try:
    os.makedirs('{folder}/many', exist_ok=True)
    for number in range(10_000_000): os.close(os.open(f'{folder}/many/{{number}}', os.O_CREAT | os.O_WRONLY))
    print('BREACH: ten million files in {folder}')
except OSError as error:
    print('stopped')
"""

_SPARSE = """
import os
try:
    with open('sparse', 'wb') as file: file.truncate(20 << 30)
    print('BREACH: a file of 20 GB')
except OSError as error:
    print('stopped')
"""

_LEAVE = """
import os
for folder in ('/tmp', '/var/tmp', '/dev/shm', '/run', '/dev/mqueue', '/var/lock', '/'):
    try:
        os.makedirs(f'{folder}/left', exist_ok=True)
        open(f'{folder}/left/file', 'w').write('left')
        open(f'{folder}/left.txt', 'w').write('left')
        os.chmod(f'{folder}/left', 0)
    except OSError: continue
"""

_LEAVE_IPC = """
import ctypes, multiprocessing.shared_memory
c = ctypes.CDLL(None, use_errno=True)
c.shmget(0x6e70726d, 4096, 0o1666); c.semget(0x6e70726d, 1, 0o1666); c.msgget(0x6e70726d, 0o1666)
c.mq_open(b'/left', 0o102, 0o666, None)
try: multiprocessing.shared_memory.SharedMemory('left', create=True, size=4096)
except OSError: pass
"""

_FIND = """
import ctypes, os
for folder in ('/tmp', '/var/tmp', '/dev/shm', '/run', '/dev/mqueue', '/var/lock', '/', '.'):
    try: names = os.listdir(folder)
    except OSError: continue
    found = [name for name in names if 'left' in name]
    if found: print('BREACH: an earlier session left', found, 'in', folder)
for kind in ('shm', 'sem', 'msg'):
    try: found = open(f'/proc/sysvipc/{kind}').read().splitlines()[1:]
    except OSError: continue
    if found: print('BREACH: an earlier session left System V', kind)
if ctypes.CDLL(None).mq_open(b'/left', 0) >= 0: print('BREACH: an earlier session left a message queue')
"""

_TAMPER = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for top in {('/tmp'), os.path.dirname(os.getcwd()), '/dev/shm'}:
                try:
                    for name in os.listdir(top): open(os.path.join(top, name, 'tampered'), 'w').write('BREACH')
                except OSError: pass
    os._exit(0)
os.wait()
"""

_UNTAMPERED = """
import os, time
time.sleep(0.3)
if os.path.exists('tampered'): print('BREACH: a process of an earlier session wrote into this one')
"""

_TRAPS = """
import os, socket
os.mkfifo('fifo')
os.symlink('/', 'root'); os.symlink('..', 'above'); os.symlink('loop', 'loop'); os.symlink('/dev/zero', 'zero')
open('file', 'w').write('x'); os.link('file', 'hard')
socket.socket(socket.AF_UNIX).bind('socket')
os.makedirs('a/' * 200)
os.mkdir('closed'); open('closed/file', 'w'); os.chmod('closed', 0)
os.chmod('.', 0)
print('set')
"""

_DEEP = """
import os
for _ in range(1005): os.mkdir('a'); os.chdir('a')
print('deep')
"""

_LONG = """
import os
for _ in range(20): os.mkdir('n' * 250); os.chdir('n' * 250)
open('hidden', 'wb').write(b'x' * (40 << 20))
print('hidden')
"""

_ROOM = """
import os
status = os.statvfs('.')
if (status.f_blocks - status.f_bfree) * status.f_frsize > 32 << 20: print('BREACH: an earlier session left its files')
"""

_DEVICES = """
import os, stat
for name, kind in (('null', stat.S_IFCHR), ('disk', stat.S_IFBLK)):
    for major, minor in ((1, 1), (8, 0), (253, 0), (254, 0)):
        try:
            os.mknod(name, 0o666 | kind, os.makedev(major, minor))
            print('BREACH: made a device', name); os.unlink(name)
        except OSError: pass
"""

_DELETE = """
import os, shutil, sys
for path in ({tops}, sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)):
    shutil.rmtree(path, ignore_errors=True)
for path in (sys.executable, os.path.realpath(sys.executable), os.__file__, '/bin/sh', '/etc/passwd'):
    for act in (os.unlink, lambda p: open(p, 'w'), lambda p: os.chmod(p, 0), lambda p: os.rename(p, p + '.gone')):
        try:
            act(path)
            print('BREACH: changed', path)
        except OSError: pass
print('tried')
"""

_MOUNTS = """
import os
own = ('tmpfs', 'proc', 'sysfs', 'devpts', 'mqueue', 'cgroup', 'cgroup2', 'devtmpfs')
for line in open('/proc/self/mountinfo'):
    before, _, after = line.partition(' - ')
    point, options = before.split()[4:6]
    if 'rw' in options.split(',') and after.split()[0] not in own: print('BREACH: writable mount', point)
tops = ('/', '/usr', '/etc', '/home', '/root', '/opt', '/mnt', '/srv', '/var', '/sys', '/proc', '/boot')
for top in (*tops, os.path.dirname(os.__file__)):
    try:
        os.close(os.open(os.path.join(top, 'written'), os.O_CREAT | os.O_WRONLY))
        print('BREACH: wrote to', top)
    except OSError: pass
"""

ATTACKS = (
    *(
        attack(f"F1-fill-{name}", "ok oom", _FILL.format(folder=folder), needs="disk memory", timeout_s=180.0)
        for name, folder in _FOLDERS.items()
    ),
    *(
        attack(
            f"F1-inodes-{name}", "ok oom timeout", _INODES.format(folder=folder), needs="disk memory", timeout_s=20.0
        )
        for name, folder in _FOLDERS.items()
    ),
    attack("F1-sparse", "ok", _SPARSE, holds=prints("stopped\n")),
    attack(
        "F2-scratch",
        "ok",
        "open('left', 'w').write('x')",
        later="import os\nif os.listdir('.'): print('BREACH', os.listdir('.'))",
    ),
    attack("F2-left-files", "ok", _LEAVE, needs="leftovers", later=_FIND),
    attack("F2-left-memory", "ok error crashed", _LEAVE_IPC, needs="leftovers", later=_FIND),
    attack("F2-tampering", "ok", _TAMPER, later=_UNTAMPERED),
    attack("F3-traps", "ok", _TRAPS, holds=prints("set\n"), later="import os; os.listdir('.')"),
    attack("F3-deep", "ok", _DEEP, holds=prints("deep\n"), later="import os; os.listdir('.')"),
    attack("F3-deep-and-gone", "ok", _DEEP + "os._exit(0)", holds=prints("deep\n")),
    attack("F3-long-paths", "ok oom", _LONG, needs="disk", later=_ROOM),
    attack("F3-devices", "ok", _DEVICES, needs="privilege"),
    *(
        attack(f"F4-delete-{name}", "ok", _DELETE.format(tops=tops), needs=f"files {more}", holds=prints("tried\n"))
        for name, tops, more in (
            ("the-system", "'/usr', '/bin', '/lib', '/etc', '/home', '/root'", ""),
            ("everything", "'/', '/dev/shm', '/tmp'", "neighbours"),
        )
    ),
    attack(
        "F4-own-folder", "ok", "import os, shutil; shutil.rmtree(os.getcwd(), True)", "print(2)", holds=prints("2\n")
    ),
    attack("F4-closed-folder", "ok", "import os; os.chmod('.', 0)", "print(2)", holds=prints("2\n")),
    attack("F5-no-writable-mounts", "ok", _MOUNTS, needs="files"),
)
