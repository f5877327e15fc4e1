"""A system call filter for Linux: what code that checks arithmetic never calls, as the program that the kernel runs.

For the local sandbox inside bubblewrap, whose ``--seccomp`` takes such a program. Containers have
``sandbox/seccomp.json`` instead, which their engine translates.
"""

from __future__ import annotations

import errno
import platform
import struct

_X86_64, _AARCH64 = 0xC000003E, 0xC00000B7
_X32_BIT = 0x40000000
_LOAD, _AND, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
"""Offsets in what the kernel shows of a call."""

_REFUSED_FLAGS = 0x7E028000
"""All CLONE_NEW flags of clone, but CLONE_NEWTIME, which clone does not know; and CLONE_PARENT."""
_END_SIGNAL, _SIGCHLD, _F_SETSIG = 0xFF, 17, 10
_FAMILIES = (1,)
"""Unix. Others would find an empty network, and wait in vain for its answers; AF_VSOCK would get out."""

_DENIED = {  # name: number on x86_64, on aarch64
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "quotactl": (179, 60), "syslog": (103, 116),
    "personality": (135, 92), "fanotify_init": (300, 262), "lookup_dcookie": (212, 18), "vhangup": (153, 58),
    "timer_create": (222, 107),
}  # fmt: skip
_SOCKET, _CLONE, _CLONE3, _FCNTL = (41, 198), (56, 220), 435, (72, 25)


def program(machine: str | None = None) -> bytes | None:
    """The filter for this kind of machine; ``None`` for one whose call numbers we do not have."""
    machine = machine or platform.machine()
    kinds = {"x86_64": (0, _X86_64), "aarch64": (1, _AARCH64)}
    if machine not in kinds:
        return None
    column, architecture = kinds[machine]
    code = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_JUMP_EQUAL, architecture, over_if_true=1),
        _fail(errno.ENOSYS),
        _step(_LOAD, _NUMBER),
        *([_step(_JUMP_AT_LEAST, _X32_BIT, over_if_false=1), _fail(errno.ENOSYS)] if architecture == _X86_64 else []),
        *_on(_CLONE3, [_fail(errno.ENOSYS)]),  # its flags cannot be looked at; C libraries then take clone
    ]
    for numbers in _DENIED.values():
        code += _on(numbers[column], [_fail(errno.EPERM)])
    code += _on(_CLONE[column], [
        _step(_LOAD, _FIRST_ARGUMENT), _step(_JUMP_ANY_BIT, _REFUSED_FLAGS, over_if_false=1), _fail(errno.EPERM),
        # A process ends with SIGCHLD, a thread with no signal: with another one it could wake its stopped parent.
        _step(_AND, _END_SIGNAL), _step(_JUMP_EQUAL, 0, over_if_true=2), _step(_JUMP_EQUAL, _SIGCHLD, over_if_true=1),
        _fail(errno.EPERM), _allow(),
    ])  # fmt: skip
    code += _on(_FCNTL[column], [
        _step(_LOAD, _SECOND_ARGUMENT), _step(_JUMP_EQUAL, _F_SETSIG, over_if_false=1), _fail(errno.EPERM), _allow(),
    ])  # fmt: skip
    families = [
        _step(_JUMP_EQUAL, family, over_if_true=len(_FAMILIES) - place) for place, family in enumerate(_FAMILIES)
    ]
    code += _on(_SOCKET[column], [_step(_LOAD, _FIRST_ARGUMENT), *families, _fail(errno.EAFNOSUPPORT), _allow()])
    return b"".join([*code, _allow()])


def _on(number: int, steps: list[bytes]) -> list[bytes]:
    """Take these steps, which end in a return, if the call has this number."""
    return [_step(_JUMP_EQUAL, number, over_if_false=len(steps)), *steps]


def _step(code: int, value: int, over_if_true: int = 0, over_if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, over_if_true, over_if_false, value)


def _fail(error: int) -> bytes:
    return _step(_RETURN, _FAIL | error)


def _allow() -> bytes:
    return _step(_RETURN, _ALLOW)
