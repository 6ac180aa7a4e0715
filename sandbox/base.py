"""What a sandbox is asked and what it answers. Plain types; nothing here runs anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Bounds of one job, all its processes together unless said otherwise.

    cpu_s         CPU seconds
    wall_s        seconds from start to end; more than `cpu_s`, because a busy machine is not the program's fault
    memory_mb     MiB beyond what the interpreter itself takes
    processes     processes and threads alive at a time
    disk_mb       MiB of the job's own writable folder; it is gone with the job
    output_bytes  stdout, stderr, the result and any file, each
    """

    cpu_s: float = 5.0
    wall_s: float = 12.0
    memory_mb: int = 512
    processes: int = 32
    disk_mb: int = 32
    output_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class Call:
    """Call `function`, which the program defines, and bring out what it returns.

    args and kwargs are JSON values, or tuples, sets and the like (`sandbox.inside.values` says which). With
    `expression`, that Python expression is evaluated in the program's namespace instead; it comes from the data set.

    setup  statements of the data set that run between the program and the expression, in the same namespace
    then   built-in functions that are called with the value, one after the other, before it leaves: `list`, `bool`
    """

    function: str = ""
    args: Sequence[object] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)
    expression: str = ""
    setup: str = ""
    then: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one untrusted program.

    source    Python source, run as `__main__`
    prelude   trusted source that runs before it in the same namespace, such as imports
    stdin     what it may read
    call      what is called after the program ran; None: the program alone, whose stdout is the result
    argv      a command to run in place of Python, in a folder that holds `files`; needs namespaces (not `landlock`).
              Its memory is bounded by looking alone: other runtimes reserve far more address space than they use
    """

    source: str = ""
    stdin: bytes = b""
    call: Call | None = None
    limits: JobLimits = JobLimits()
    argv: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    prelude: str = ""


class Ending(StrEnum):
    """How a job ended. Only INFRA says nothing about the program."""

    OK = "ok"  # exit code 0, and for a call one well-formed result
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    CRASH = "crash"  # an exception, a signal, an exit code other than 0, or no result
    INVALID_RESULT = "invalid_result"  # a result that is no frame, one too many, or a value of a type that cannot leave
    INFRA = "infra"


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came of a job.

    value        what the call returned, if `ending` is OK
    stdout       at most `output_bytes`
    explanation  in words: the exception's type and message, the signal, the cause
    raised       name of the exception's type that ended a call, if one did
    box_died     INFRA, and the sandbox itself died with the job in it
    delay_s      seconds that a job which was killed had been ready to run without getting a core; None: not known
    runs         2 if it was run again, because the first end might not have been the program's doing
    cpu_s        CPU seconds, as many as were seen (`sandbox.meter`)
    """

    ending: Ending
    value: Any = None
    stdout: bytes = b""
    stderr: bytes = b""
    explanation: str = ""
    cpu_s: float = 0.0
    wall_s: float = 0.0
    raised: str = ""
    box_died: bool = False
    delay_s: float | None = None
    runs: int = 1
