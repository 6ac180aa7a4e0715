"""What a hostile program is, and how it must end.

Programs that try something forbidden print `held` if they failed, `ESCAPED` and what if not. On stdin they get a line
of JSON, `given`, of what lies outside: `canary`, a file in a folder that anyone may read and write; `owner`, the pid of
the process that owns the sandbox; `segment`, a System V segment; `socket`, a path where datagrams are received, and
`abstract`, the same by name.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from reprise.sandbox import Call, Ending, JobLimits
from reprise.sandbox.inside import syscalls

OK, TIMEOUT, MEMORY = Ending.OK, Ending.TIMEOUT, Ending.MEMORY
OUTPUT_LIMIT, CRASH, INVALID = Ending.OUTPUT_LIMIT, Ending.CRASH, Ending.INVALID_RESULT

LIMITS = JobLimits(cpu_s=0.6, wall_s=0.9, memory_mb=128, processes=16, disk_mb=8, output_bytes=1 << 20)
# Without a pid namespace (landlock) a job may start no process at all: os.fork raises.
NO_FORK = {"landlock": (CRASH,)}

_CALLS = {
    name: number
    for group in (syscalls.REFUSED, syscalls.MISSING, syscalls.NOTHING_TO_DO, syscalls.CONDITIONAL, syscalls.ALLOWED)
    for name, number in group.items()
}
_SETUP = f"""
import ctypes, errno, fcntl, json, mmap, os, signal, socket, struct, sys, threading, time
given = json.loads(input())
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {json.dumps(_CALLS)}
def must(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), 'refused')
    return result
def call(name, *arguments):
    number = NUMBERS[name] if isinstance(name, str) else name
    return must(libc.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a for a in (number, *arguments))))
"""
_HELD = (OSError, ValueError, AssertionError)


@dataclass(frozen=True)
class Hostile:
    """endings: acceptable on every backend; on: others for a backend by name; prints: stdout when it ends OK."""

    name: str
    source: str
    endings: tuple[Ending, ...]
    prints: str | None = None
    call: Call | None = None
    on: Mapping[str, tuple[Ending, ...]] = field(default_factory=dict)
    stdin: bytes | None = None


def program(name: str, *endings: Ending, source: str, **more: object) -> Hostile:
    return Hostile(name, textwrap.dedent(source), endings, **more)  # type: ignore[arg-type]


def attempt(name: str, action: str, setup: str = "") -> Hostile:
    """`action` must raise: a line of Python, or several."""
    return attempts(name, {name: action}, setup)


def attempts(name: str, actions: Mapping[str, str], setup: str = "") -> Hostile:
    """Each action must raise; the program says which did not."""
    source = f"""{_SETUP}
{textwrap.dedent(setup)}
escaped = []
for name, action in json.loads({json.dumps(json.dumps({k: textwrap.dedent(v).strip() for k, v in actions.items()}))}).items():
    try:
        exec(action, globals())
    except ({", ".join(error.__name__ for error in _HELD)}):
        continue
    escaped.append(name)
print(f"ESCAPED: {{escaped}}" if escaped else "held")
"""  # noqa: E501 - a program
    return Hostile(name, source, (OK,), prints="held")
