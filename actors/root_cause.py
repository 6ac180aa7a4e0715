"""What a process says last before it fails: the cause, picked out of the end of its log. Pure."""

from __future__ import annotations

import re

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
# vLLM's: "(EngineCore pid=12) ERROR 11-29 22:00:50 [core.py:1100] "; DeepSpeed's and Ray's have the same parts.
_PREFIX = re.compile(
    r"^(\([^()]*pid=\d+\) ?)?((DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \[[^\]]*\] ?)?"
)
_EXCEPTION = re.compile(r"^(?:[\w<>]+\.)*([A-Z]\w+)(?:: (.*))?$")
_SIGNAL = re.compile(r"^\*\*\* (SIG(?!TERM)[A-Z]+) received")
_TERMINATED = re.compile(r"^terminate called after throwing an instance of '(.+)'")
_LINES = 400  # from the end: what is further up was survived
_LONGEST = 600

# What follows from a failure elsewhere: each has a cause, and is none.
_CONSEQUENCES = (
    "See root cause above",
    "core process has died",
    "EngineDeadError",
    "EngineCore encountered an issue",
    "Engine core proc",
    "WorkerProc initialization failed due to an exception",
    "Executor failed",
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "BrokenPipeError",
    "EOFError",
    "KeyboardInterrupt",
    "CancelledError",
    "SystemExit",
)


def is_consequence(text: str) -> bool:
    """Whether an error's text tells only that something else failed before."""
    return any(phrase in text for phrase in _CONSEQUENCES)


def root_cause(log: str) -> str | None:
    """The last error near the end of a log that is not the consequence of another, as `ValueError: ...`, or what ended
    the process in native code; None if there is neither."""
    lines = [_PREFIX.sub("", _ANSI.sub("", line)).rstrip() for line in log.splitlines()[-_LINES:]]
    cause = None
    for number, line in enumerate(lines):
        if line == "Traceback (most recent call last):":
            said = _exception(lines[number + 1 :])
        elif match := _SIGNAL.match(line):
            said = f"{match[1]}, a crash in native code"
        elif line.startswith("Fatal Python error: "):
            said = line
        elif match := _TERMINATED.match(line):
            what = lines[number + 1].strip() if number + 1 < len(lines) else ""
            said = f"{match[1]}: {what.removeprefix('what():').strip()}" if what.startswith("what():") else match[1]
        else:
            continue
        if said is not None and not is_consequence(said):
            cause = said
    return cause


def _exception(lines: list[str]) -> str | None:
    """`ValueError: ...` that closes the traceback that these lines begin with; its message may have more lines."""
    for number, line in enumerate(lines):
        if not line or line[0].isspace():
            continue
        match = _EXCEPTION.match(line)
        if match is None:
            return None
        more: list[str] = []
        for further in lines[number + 1 : number + 4]:
            if not further.strip() or further.startswith(("Traceback ", "***", "[")):
                break
            more.append(further.strip())
        message = " ".join([match[2] or "", *(more if match[2] is not None else ())]).strip()
        return (f"{match[1]}: {message}" if message else match[1])[:_LONGEST]
    return None
