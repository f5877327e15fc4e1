"""V1-V5: code that wants to be more than a plain user."""

from __future__ import annotations

from genprm.execution.attacks.case import attack, prints

_WHO = """
import os
status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
if 0 in (*os.getresuid(), *os.getresgid(), *os.getgroups()): print('BREACH: root, or of its group')
for name in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb'):
    if int(status[name], 16): print('BREACH: capabilities', name, status[name].strip())
if status['NoNewPrivs'].strip() != '1': print('BREACH: new privileges can be had')
if status['Seccomp'].strip() != '2': print('BREACH: no system call is filtered')
for call in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgroups([0])):
    try: call()
    except OSError: continue
    print('BREACH: became another user')
print('looked')
"""

_SETUID = """
import os, subprocess
tried = []
for top in ('/bin', '/sbin', '/usr', '/opt'):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try: mode = os.lstat(path).st_mode
            except OSError: continue
            if mode & 0o6000 and mode & 0o170000 == 0o100000: tried.append(path)
for path in tried:
    try: child = subprocess.Popen([path], stdin=-3, stdout=-3, stderr=-3)
    except OSError: continue
    try:
        ids = next(line for line in open(f'/proc/{child.pid}/status') if line.startswith('Uid')).split()[1:]
        if '0' in ids: print('BREACH:', path, 'runs as root')
    except (OSError, StopIteration): pass
    child.kill(); child.wait()
print('looked')
"""

_CALLS = """
import ctypes, errno, platform
names = ('unshare setns mount umount2 pivot_root chroot ptrace bpf keyctl add_key request_key perf_event_open '
         'io_uring_setup '
         'userfaultfd init_module finit_module delete_module kexec_load reboot swapon swapoff sethostname settimeofday '
         'clock_settime adjtimex acct quotactl open_by_handle_at process_vm_readv process_vm_writev personality '
         'fsopen open_tree move_mount mount_setattr pidfd_getfd clone3 fanotify_init lookup_dcookie syslog').split()
x86 = (272, 308, 165, 166, 155, 161, 101, 321, 250, 248, 249, 298, 425, 323, 175, 313, 176, 246, 169, 167, 168, 170,
       164, 227, 159, 163, 179, 304, 310, 311, 135, 430, 428, 429, 442, 438, 435, 300, 212, 103)
arm = (97, 268, 40, 39, 41, 51, 117, 280, 219, 217, 218, 241, 425, 282, 105, 273, 106, 104, 142, 224, 225, 161, 170,
       112, 171, 89, 60, 265, 270, 271, 92, 430, 428, 429, 442, 438, 435, 262, 18, 116)
numbers = {'x86_64': x86, 'aarch64': arm}[platform.machine()]
assert len(numbers) == len(names)
call = ctypes.CDLL(None, use_errno=True).syscall
denied = {errno.EPERM, errno.ENOSYS, errno.EACCES}
arguments = {'unshare': (0x10000000,), 'ptrace': (16, 1), 'personality': (0x0040000,), 'clock_settime': (0, 0),
             'process_vm_readv': (1, 0, 0, 0, 0, 0), 'process_vm_writev': (1, 0, 0, 0, 0, 0), 'syslog': (3, 0, 0)}
for name, number in zip(names, numbers):
    if name == 'clone3': continue  # refused or not, C libraries try it first; its flags are looked at below
    ctypes.set_errno(0)
    result = call(number, *(ctypes.c_long(a) for a in arguments.get(name, (-1, -1, -1, -1))))
    if result >= 0 or ctypes.get_errno() not in denied:
        print('BREACH:', name, 'is open:', result, errno.errorcode.get(ctypes.get_errno()))
args = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)
ctypes.set_errno(0)
pid = call(435, args, 88)
if pid == 0: call({'x86_64': 231, 'aarch64': 94}[platform.machine()], 0)
if pid > 0: print('BREACH: clone3 made a user namespace')
print('tried')
"""

_NAMESPACES = """
import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
clone = {'x86_64': 56, 'aarch64': 220}[platform.machine()]
for name, flag in (('user', 0x10000000), ('mount', 0x20000), ('pid', 0x20000000), ('network', 0x40000000)):
    if libc.unshare(flag) == 0: print('BREACH: unshared the', name, 'namespace')
    pid = libc.syscall(clone, flag | 17, 0, 0, 0, 0)
    if pid == 0: os._exit(0)
    if pid > 0:
        os.waitpid(pid, 0)
        print('BREACH: cloned into a new', name, 'namespace')
print('tried')
"""

_ENVIRONMENT = """
import os, re
expected = ('PATH|LANG|LC_ALL|TZ|HOME|TMPDIR|HOSTNAME|MPLBACKEND|LD_LIBRARY_PATH|PYTHON[A-Z]+|[A-Z_]+_NUM_THREADS')
for name in os.environ:
    if not re.fullmatch(expected, name): print('BREACH: variable', name)
with open('/proc/self/environ', 'rb') as file:
    for entry in file.read().split(b'\\0'):
        name = entry.partition(b'=')[0].decode()
        if name and not re.fullmatch(expected, name): print('BREACH: variable', name, 'of the process')
print('looked')
"""

_SWITCHES = """
import os
for top in ('/proc/sys', '/sys'):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            except OSError: continue
            print('BREACH: could write', path)
paths = ('sysrq-trigger', 'kcore', '1/oom_score_adj', '1/mem')
for path in (*(f'/proc/{p}' for p in paths), '/dev/mem', '/dev/kmsg', '/dev/kvm'):
    try: os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except OSError: continue
    print('BREACH: could open', path)
for folder, _, _ in os.walk('/sys/fs/cgroup'):
    try: os.mkdir(os.path.join(folder, 'own'))
    except OSError: continue
    print('BREACH: made a control group in', folder)
print('looked')
"""

_PLANT = """
import os, site, sys
text = "print('BREACH: planted code ran')"
tops = {'.', site.getusersitepackages(), *sys.path, os.environ.get('HOME', '.'), os.environ.get('TMPDIR', '.')}
for top in tops:
    try:
        os.makedirs(top or '.', exist_ok=True)
        for name in ('sitecustomize.py', 'usercustomize.py', 'fractions2.py', 'planted.pth'):
            if not os.path.exists(os.path.join(top, name)):
                open(os.path.join(top, name), 'w').write('import sys; ' + text)
    except OSError: pass
os.environ['PYTHONSTARTUP'] = os.environ['LD_PRELOAD'] = 'planted'
"""

_UNPLANTED = """
import os, subprocess, sys
if 'LD_PRELOAD' in os.environ: print('BREACH: variables of an earlier session')
print(subprocess.run([sys.executable, '-c', 'pass'], capture_output=True, text=True).stdout, end='')
"""

_TEMPLATE = """
import os
def fields(pid):
    lines = open(f'/proc/{pid}/status').read().splitlines()
    return {line.partition(':')[0]: line.partition(':')[2].strip() for line in lines}
for pid in (name for name in os.listdir('/proc') if name.isdigit()):
    try: one = fields(pid)
    except OSError: continue
    if one['NoNewPrivs'] != '1' or one['Seccomp'] != '2':
        print('BREACH: process', pid, one['Name'], 'is not confined as we are')
print('looked')
"""

ATTACKS = (
    attack("V1-who", "ok", _WHO, needs="privilege", holds=prints("looked\n")),
    attack("V2-setuid-programs", "ok", _SETUID, needs="privilege", holds=prints("looked\n"), timeout_s=180.0),
    attack("V2-system-calls", "ok", _CALLS, needs="privilege", holds=prints("tried\n")),
    attack("V2-namespaces", "ok", _NAMESPACES, needs="privilege", holds=prints("tried\n")),
    attack("V3-environment", "ok", _ENVIRONMENT, needs="environment", holds=prints("looked\n")),
    attack("V4-kernel-switches", "ok", _SWITCHES, needs="privilege", holds=prints("looked\n"), timeout_s=180.0),
    attack("V5-planted-code", "ok", _PLANT, needs="files", later=_UNPLANTED),
    attack("V5-preload-is-confined", "ok", _TEMPLATE, needs="privilege", holds=prints("looked\n")),
)
