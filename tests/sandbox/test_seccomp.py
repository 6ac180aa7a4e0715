"""What the filters decide, call by call: their BPF programs, run by a few lines of Python in the kernel's place."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence

import pytest

from reprise.sandbox.inside import kernel, seccomp, syscalls

ALLOW, KILL = "allow", "kill"
EPERM, ENOSYS, ENOTTY, DONE = errno.EPERM, errno.ENOSYS, errno.ENOTTY, 0
PID = 4321
NAMESPACES = seccomp.with_namespaces()
LANDLOCK = seccomp.for_job(seccomp.behind_landlock(), PID)
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[kernel.MACHINE]


def decide(program: bytes, number: int, arguments: Sequence[int] = (), architecture: int = ARCHITECTURE) -> str | int:
    """`allow`, `kill`, or the error that the call fails with."""
    padded = [argument & (1 << 64) - 1 for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    data = struct.pack("=iIQ6Q", number, architecture, 0, *padded)
    at, loaded = 0, 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("HBBI", program, 8 * at)
        at += 1
        if code == 0x20:
            [loaded] = struct.unpack_from("=I", data, value)
        elif code == 0x54:
            loaded &= value
        elif code == 0x05:
            at += value
        elif code == 0x06:
            return {0x7FFF: ALLOW, 0x8000: KILL}.get(value >> 16, value & 0xFFFF)
        else:
            true = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
            at += if_true if true else if_false


def named(program: bytes, name: str, *arguments: int) -> str | int:
    return decide(program, syscalls.CONDITIONAL[name], arguments)


@pytest.mark.parametrize("program", [NAMESPACES, LANDLOCK], ids=["namespaces", "landlock"])
def test_what_is_refused_to_all(program: bytes) -> None:
    assert {decide(program, number) for number in syscalls.REFUSED.values()} == {EPERM}
    assert {decide(program, number) for number in syscalls.MISSING.values()} == {ENOSYS}
    assert {decide(program, number) for number in syscalls.NOTHING_TO_DO.values()} == {DONE}
    assert {decide(program, number) for number in range(syscalls.HIGHEST_KNOWN + 1, 1000)} == {ENOSYS}
    assert decide(program, 0, architecture=0x40000003) == KILL, "32-bit calls"
    assert len(program) // 8 < 1000, "it is loaded for every job"


@pytest.mark.skipif(kernel.MACHINE != "x86_64", reason="x32 is x86-64's")
def test_x32_calls_kill() -> None:
    assert {decide(program, 0x40000000 | 1) for program in (NAMESPACES, LANDLOCK)} == {KILL}


def test_behind_landlock_nothing_passes_but_what_is_listed() -> None:
    decided_by_name = {**syscalls.MISSING, **syscalls.NOTHING_TO_DO, **syscalls.CONDITIONAL}.values()
    others = set(range(syscalls.HIGHEST_KNOWN + 1)) - set(decided_by_name)
    allowed = {number for number in others if decide(LANDLOCK, number) == ALLOW}
    assert allowed == set(syscalls.ALLOWED.values())
    assert {decide(LANDLOCK, number) for number in others - allowed} == {EPERM}


def test_no_call_is_in_two_lists() -> None:
    lists = (syscalls.REFUSED, syscalls.MISSING, syscalls.NOTHING_TO_DO, syscalls.CONDITIONAL, syscalls.ALLOWED)
    numbers = [number for each in lists for number in each.values()]
    assert len(numbers) == len(set(numbers))


_PRIVATE, _SHARED, _ANONYMOUS = 0x02, 0x01, 0x20


@pytest.mark.parametrize(
    ("call", "arguments", "apart", "alone"),
    [
        ("mmap", (0, 4096, 3, _PRIVATE | _ANONYMOUS, -1), ALLOW, ALLOW),
        ("mmap", (0, 4096, 3, _SHARED, 0), ALLOW, ALLOW),
        ("mmap", (0, 4096, 3, _SHARED | _ANONYMOUS, -1), EPERM, EPERM),
        ("mmap", (0, 4096, 3, 0x03 | _ANONYMOUS, -1), EPERM, EPERM),
        ("mmap", (0, 4096, 3, _PRIVATE | _ANONYMOUS | 0x40000, -1), EPERM, EPERM),
        ("madvise", (0, 4096, 4), ALLOW, ALLOW),
        ("madvise", (0, 4096, 21), EPERM, EPERM),
        ("socketpair", (1, 1), ALLOW, ALLOW),
        ("socketpair", (1, 1 | 0x80000 | 0x800), ALLOW, ALLOW),
        ("socketpair", (1, 2), EPERM, EPERM),
        ("socketpair", (2, 1), EPERM, EPERM),
        ("sendto", (5, 0, 1, 0x4000, 0, 0), ALLOW, ALLOW),
        ("sendto", (5, 0, 1, 1, 0, 0), EPERM, EPERM),
        ("sendto", (5, 0, 1, 0, 0x7F0000000000, 0), EPERM, EPERM),
        ("sendto", (5, 0, 1, 0, 1, 0), EPERM, EPERM),
        ("recvfrom", (5, 0, 1, 1), EPERM, EPERM),
        ("sendmsg", (5, 0, 0), ALLOW, EPERM),
        ("sendmsg", (5, 0, 1), EPERM, EPERM),
        ("clone", (17,), ALLOW, EPERM),
        ("clone", (0x3D0F00,), ALLOW, ALLOW),
        ("clone", (0x3D0F00 | 0x20000000,), EPERM, EPERM),
        ("ioctl", (0, 0x5401), ALLOW, ALLOW),
        ("ioctl", (0, 0x5412), ENOTTY, ENOTTY),
        ("ioctl", (0, 0x8901), ENOTTY, ENOTTY),
        ("fcntl", (0, 3), ALLOW, ALLOW),
        ("fcntl", (0, 6), ALLOW, EPERM),
        ("fcntl", (0, 8, PID), EPERM, EPERM),
        ("fcntl", (0, 1031), EPERM, EPERM),
        ("prctl", (15,), ALLOW, ALLOW),
        ("prctl", (1,), ALLOW, EPERM),
        ("prctl", (4, 0), EPERM, EPERM),
        ("prctl", (22, 2), EPERM, EPERM),
        ("kill", (PID, 9), ALLOW, ALLOW),
        ("kill", (0, 9), ALLOW, ALLOW),
        ("kill", (1, 9), ALLOW, EPERM),
        ("kill", (-1, 9), ALLOW, EPERM),
        ("tgkill", (PID + 1, 5, 9), ALLOW, EPERM),
        ("prlimit64", (1, 7), ALLOW, EPERM),
        ("prlimit64", (0, 7, 0x7F0000000000), ALLOW, ALLOW),
        ("prlimit64", (0, 4, 0, 0x7F0000000000), ALLOW, ALLOW),
        ("prlimit64", (0, 4, 0x7F0000000000), EPERM, EPERM),
        ("prlimit64", (PID, 4, 8), EPERM, EPERM),
        ("setrlimit", (3, 8), ALLOW, ALLOW),
        ("setrlimit", (4, 8), EPERM, EPERM),
    ],
)
def test_calls_that_are_decided_by_their_arguments(
    call: str, arguments: tuple[int, ...], apart: str | int, alone: str | int
) -> None:
    assert (named(NAMESPACES, call, *arguments), named(LANDLOCK, call, *arguments)) == (apart, alone)
