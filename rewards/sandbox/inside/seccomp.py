"""Which system calls a job may make: a filter that refuses what no answer to a programming task needs.

Refused calls fail with EPERM, unknown ones with ENOSYS; another instruction set (32-bit calls) kills. What is refused
and why: sockets (each family is a piece of kernel), new namespaces and mounts, looking into other processes, memory
that no limit counts (memfd, System V segments), kernel administration.
"""

from __future__ import annotations

import errno
import struct

from . import kernel

_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_HIGHEST_KNOWN = 462

# name: (x86-64, aarch64); None: the call does not exist there. From 424 on both have the same numbers.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "lookup_dcookie": (212, 18),
}
# What a job without a pid namespace could use to outlive its end or to reach others.
_PROCESSES: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "setpriority": (141, 140),
    "sched_setscheduler": (144, 119),
    "setpgid": (109, 154),
    "setsid": (112, 157),
}
_CLONE, _CLONE3, _IOCTL, _PRCTL = (56, 220), (435, 435), (16, 29), (157, 167)
# Their first argument is a process; 0 is the caller, or its group, in which it is alone.
_ON_PROCESSES = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "sched_setaffinity": (203, 122),
    "prlimit64": (302, 261),
}
_TERMINAL_IOCTLS = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX type into the terminal
# flags of new namespaces; CLONE_NEWTIME is none of clone's, only of clone3's and unshare's
_NAMESPACES = kernel.ALL_NAMESPACES

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _fail(error: int) -> bytes:
    return _op(_RETURN, _ERROR | error)


def _argument(index: int) -> bytes:
    """Load the low half of an argument (both machines are little-endian)."""
    return _op(_LOAD, _FIRST_ARGUMENT + 8 * index)


def _when(number: int, body: list[bytes]) -> list[bytes]:
    """`body`, which returns, for this call only; what follows still has the number loaded."""
    return [_op(_EQUAL, number, 0, len(body)), *body]


def job_filter(own_pid: int | None) -> bytes:
    """The filter of one job. With `own_pid` (no pid namespace), it may start no process and signal only itself."""
    column = 0 if kernel.MACHINE == "x86_64" else 1
    program = [_op(_LOAD, _ARCH), _op(_EQUAL, _ARCHITECTURE[kernel.MACHINE], 1, 0), _op(_RETURN, _KILL)]
    program += [_op(_LOAD, _NUMBER)]
    if kernel.MACHINE == "x86_64":
        program += [_op(_AT_LEAST, _X32_BIT, 0, 1), _op(_RETURN, _KILL)]
    program += [_op(_AT_LEAST, _HIGHEST_KNOWN + 1, 0, 1), _fail(errno.ENOSYS)]
    refused = _REFUSED if own_pid is None else _REFUSED | _PROCESSES
    for numbers in refused.values():
        if (number := numbers[column]) is not None:
            program += _when(number, [_fail(errno.EPERM)])
    clone = [_argument(0), _op(_ANY_BIT, _NAMESPACES, 0, 1), _fail(errno.EPERM)]
    if own_pid is not None:
        clone += [_op(_ANY_BIT, kernel.CLONE_THREAD, 1, 0), _fail(errno.EPERM)]
    program += _when(_CLONE[column], [*clone, _op(_RETURN, _ALLOW)])
    program += _when(_CLONE3[column], [_fail(errno.ENOSYS)])  # its flags lie in memory; libc falls back to clone
    ioctl = [_argument(1)]
    for request in _TERMINAL_IOCTLS:
        ioctl += [_op(_EQUAL, request, 0, 1), _fail(errno.EPERM)]
    program += _when(_IOCTL[column], [*ioctl, _op(_RETURN, _ALLOW)])
    # Undumpable, a job would hide its memory from whoever measures it.
    dumpable = [_argument(0), _op(_EQUAL, kernel.PR_SET_DUMPABLE, 0, 1), _fail(errno.EPERM), _op(_RETURN, _ALLOW)]
    program += _when(_PRCTL[column], dumpable)
    if own_pid is not None:
        for numbers in _ON_PROCESSES.values():
            own = [_argument(0), _op(_EQUAL, own_pid, 2, 0), _op(_EQUAL, 0, 1, 0), _fail(errno.EPERM)]
            program += _when(numbers[column], [*own, _op(_RETURN, _ALLOW)])
    return b"".join([*program, _op(_RETURN, _ALLOW)])
