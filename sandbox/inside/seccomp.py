"""The system call filters of jobs: BPF programs, made once in a zygote and loaded by each job.

Where a job has namespaces, all calls pass but those refused by name in `syscalls.py`: it may hold any language. Behind
Landlock alone, where one kernel's table of processes, files and users is before it, nothing passes but what is listed.
In both, calls with conditions are decided by their arguments (those in registers: a filter cannot follow a pointer),
what is newer than the list does not exist (ENOSYS), and another instruction set (32-bit calls) kills.
"""

from __future__ import annotations

import errno
import struct

from . import kernel, syscalls

_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _JUMP, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x05, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_FARTHEST = 255  # of a conditional jump

_OWN_PID = 0x7FFFF00D  # stands for the job's pid in a program that was made before there was a job

# What fcntl, ioctl and prctl may be asked. A file that is no terminal says ENOTTY to whatever it does not know.
_IOCTLS = (0x5401, 0x540F, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, TIOCGPGRP, TIOCGWINSZ, FIONREAD, FIO*
_FCNTLS = (0, 1, 2, 3, 4, 1030, 1032)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GETPIPE_SZ
_PRCTLS = (3, 15, 16, 21, 23, 39, 0x53564D41)  # PR_GET_DUMPABLE, names, PR_GET_SECCOMP, …, PR_SET_VMA
# SETOWN, SETSIG, SETOWN_EX: signals to others. SETLEASE, NOTIFY: others' files. SETPIPE_SZ, seals, write hints.
_REFUSED_FCNTLS = (8, 10, 15, 1024, 1026, 1031, 1033, 1036, 1038)
# Undumpable, a job would hide its memory from whoever measures it. Kernel surface: SET_SECCOMP, SET_MM,
# SET_SYSCALL_USER_DISPATCH, SCHED_CORE.
_REFUSED_PRCTLS = (kernel.PR_SET_DUMPABLE, 22, 35, 59, 62)
# Memory taken out of the resident set without being given back, merged with that of others, or poisoned.
_REFUSED_ADVICE = (12, 20, 21, 100, 101)  # MADV_MERGEABLE, MADV_COLD, MADV_PAGEOUT, MADV_HWPOISON, MADV_SOFT_OFFLINE
_MAP_SHARED, _MAP_ANONYMOUS, _MAP_HUGETLB = 0x01, 0x20, 0x40000
_RLIMIT_CORE = 4  # kept at 1: with 0, a crash would start what the machine has to take cores, as root
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPES, _MSG_OOB = 1, 1, 0xF, 1

_Code = list[bytes]


def with_namespaces() -> bytes:
    """The filter of a job that has namespaces of its own."""
    return _program(_decisions(alone=False), default=_PASS)


def behind_landlock() -> bytes:
    """The filter of a job behind Landlock, to be given its pid by `for_job`. It may start no process, and signal only
    itself."""
    return _program(_decisions(alone=True), default=_fail(errno.EPERM))


def for_job(program: bytes, pid: int) -> bytes:
    """The program with the job's pid in it, if it asks for one."""
    return program.replace(_equal_to(_OWN_PID), _equal_to(pid))


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _equal_to(value: int) -> bytes:
    """Whether the loaded value is this: if so the next instruction, else the one after it."""
    return _op(_EQUAL, value, 0, 1)


_PASS: _Code = [_op(_RETURN, _ALLOW)]


def _fail(error: int) -> _Code:
    return [_op(_RETURN, _ERROR | error)]


def _argument(index: int, high: bool = False) -> bytes:
    """Load one half of an argument; both machines are little-endian."""
    return _op(_LOAD, _FIRST_ARGUMENT + 8 * index + 4 * high)


def _one_of(index: int, values: tuple[int, ...], then: _Code, otherwise: _Code) -> _Code:
    """By whether an argument is one of some values. `then` is one instruction."""
    tests = [instruction for value in values for instruction in (_equal_to(value), *then)]
    return [_argument(index), *tests, *otherwise]


def _null(index: int, otherwise: _Code) -> _Code:
    """Go on if an argument is no address, both halves of it. `otherwise` is one instruction."""
    return [
        instruction
        for high in (False, True)
        for instruction in (_argument(index, high), _op(_EQUAL, 0, 1, 0), *otherwise)
    ]  # fmt: skip


def _decisions(alone: bool) -> dict[int, _Code]:
    """Code for each call that has one, by its number."""
    refuse, missing = _fail(errno.EPERM), _fail(errno.ENOSYS)
    decided = dict.fromkeys(syscalls.MISSING.values(), missing)
    decided |= dict.fromkeys(syscalls.NOTHING_TO_DO.values(), _fail(0))  # the call returns 0
    if alone:
        decided |= dict.fromkeys(syscalls.ALLOWED.values(), _PASS)
    else:
        decided |= dict.fromkeys(syscalls.REFUSED.values(), refuse)
    conditions = _conditions(alone)
    return decided | {number: conditions[name] for name, number in syscalls.CONDITIONAL.items()}


def _conditions(alone: bool) -> dict[str, _Code]:
    """Code for the calls of `syscalls.CONDITIONAL`."""
    refuse = _fail(errno.EPERM)
    own = _one_of(0, (_OWN_PID, 0), _PASS, refuse)  # 0: the caller, or its group, in which it is alone
    threads_only = [_op(_ANY_BIT, kernel.CLONE_THREAD, 1, 0), *refuse] if alone else []
    no_oob = [_op(_ANY_BIT, _MSG_OOB, 0, 1), *refuse]
    no_new_limit = _null(2, refuse)
    no_address = _null(4, refuse)
    return {
        "clone": [_argument(0), _op(_ANY_BIT, kernel.ALL_NAMESPACES, 0, 1), *refuse, *threads_only, *_PASS],
        "ioctl": _one_of(1, _IOCTLS, _PASS, _fail(errno.ENOTTY)),
        "fcntl": _one_of(1, _FCNTLS, _PASS, refuse) if alone else _one_of(1, _REFUSED_FCNTLS, refuse, _PASS),
        "prctl": _one_of(0, _PRCTLS, _PASS, refuse) if alone else _one_of(0, _REFUSED_PRCTLS, refuse, _PASS),
        # Shared pages without a file are in no process's resident set once they are unmapped, or only advised away.
        "mmap": [
            _argument(3),
            _op(_ANY_BIT, _MAP_HUGETLB, 0, 1),
            *refuse,
            _op(_ANY_BIT, _MAP_SHARED, 0, 2),
            _op(_ANY_BIT, _MAP_ANONYMOUS, 0, 1),
            *refuse,
            *_PASS,
        ],
        "madvise": _one_of(2, _REFUSED_ADVICE, refuse, _PASS),
        "socketpair": [
            *(_argument(0), _op(_EQUAL, _AF_UNIX, 1, 0), *refuse),
            *(_argument(1), _op(_AND, _SOCK_TYPES), _op(_EQUAL, _SOCK_STREAM, 1, 0), *refuse),
            *_PASS,
        ],
        "sendto": [_argument(3), *no_oob, *no_address, *_PASS],
        "recvfrom": [_argument(3), *no_oob, *_PASS],
        "sendmsg": refuse if alone else [_argument(2), *no_oob, *_PASS],
        "recvmsg": refuse if alone else [_argument(2), *no_oob, *_PASS],
        "setrlimit": _one_of(0, (_RLIMIT_CORE,), refuse, _PASS),
        "prlimit64": [
            *(_argument(1), _op(_EQUAL, _RLIMIT_CORE, 0, len(no_new_limit)), *no_new_limit),
            *(own if alone else _PASS),
        ],
        **dict.fromkeys(("kill", "tkill", "tgkill", "sched_setaffinity"), own if alone else _PASS),
    }


def _program(decided: dict[int, _Code], default: _Code) -> bytes:
    """A search tree over runs of calls that are decided alike: the kernel walks it for every number as it loads it."""
    code = [_op(_LOAD, _ARCH), _op(_EQUAL, _ARCHITECTURE[kernel.MACHINE], 1, 0), _op(_RETURN, _KILL)]
    code += [_op(_LOAD, _NUMBER)]
    if kernel.MACHINE == "x86_64":
        code += [_op(_AT_LEAST, _X32_BIT, 0, 1), _op(_RETURN, _KILL)]
    runs: list[tuple[int, _Code]] = []  # its first number, its code
    for number in range(syscalls.HIGHEST_KNOWN + 1):
        wanted = decided.get(number, default)
        if not runs or runs[-1][1] != wanted:
            runs.append((number, wanted))
    runs.append((syscalls.HIGHEST_KNOWN + 1, _fail(errno.ENOSYS)))
    return b"".join([*code, *_tree(runs)])


def _tree(runs: list[tuple[int, _Code]]) -> _Code:
    if len(runs) == 1:
        return runs[0][1]
    middle = len(runs) // 2
    lower, upper = _tree(runs[:middle]), _tree(runs[middle:])
    first = runs[middle][0]
    if len(lower) <= _FARTHEST:
        return [_op(_AT_LEAST, first, len(lower), 0), *lower, *upper]
    return [_op(_AT_LEAST, first, 0, 1), _op(_JUMP, len(lower)), *lower, *upper]
