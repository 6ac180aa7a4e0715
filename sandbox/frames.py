"""What goes into a job and what comes out of it: the payload, the result's frame, and what they make of an ending.

The frame is written by a process that the program shares and may have taken over, so nothing in it is taken on trust:
exactly one frame, with this job's nonce, of the right shape and size, holding plain values; anything else is an
`invalid_result`. Nor does it matter much: the expected value is not in there, so a forged result is at best a guess.
"""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import NamedTuple

from reprise.core.printable import printable
from reprise.core.strict_json import no_constant, unique_keys
from reprise.sandbox.base import Ending, Job, JobResult
from reprise.sandbox.inside import values

_STDERR_KEPT = 10_000
_WORDS = 500  # characters of an explanation
_TICKS_S = 0.1  # what a limit on CPU time and an account of it may differ by
_ROOM = 10  # levels that arguments may be deeper than results, which come back in as part of them


@dataclass(frozen=True, slots=True)
class Report:
    """How a job's main process ended: its exit code (negative: a signal), what it used, and why it was killed.

    delay_s  seconds that a killed job was ready to run and had no core, if that is known
    """

    status: int
    cpu_s: float
    wall_s: float
    killed: Ending | None
    delay_s: float | None = None


def payload_of(job: Job, nonce: str) -> bytes:
    """What the harness reads."""
    call = job.call and {
        "function": job.call.function,
        "args": values.encode(list(job.call.args), -_ROOM),
        "kwargs": values.encode(dict(job.call.kwargs), -_ROOM),
        "expression": job.call.expression,
        "setup": job.call.setup,
        "then": list(job.call.then),
    }
    files = {name: content.hex() for name, content in job.files.items()}
    task = {"nonce": nonce, "source": job.source, "call": call, "argv": list(job.argv), "files": files}
    task["prelude"] = job.prelude
    return json.dumps(task).encode()


def conclude(job: Job, nonce: str, report: Report, stdout: bytes, stderr: bytes, result: bytes) -> JobResult:
    """The result of a job whose processes are gone. Each stream holds at most `output_bytes` bytes, then it was cut."""
    flooded = max(map(len, (stdout, stderr, result))) >= job.limits.output_bytes
    end = _conclude(job, nonce, report, flooded, result)
    return JobResult(
        end.ending,
        end.value,
        stdout,
        stderr[-_STDERR_KEPT:],
        printable(end.explanation, _WORDS),
        report.cpu_s,
        report.wall_s,
        printable(end.raised, _WORDS),
        delay_s=report.delay_s,
    )


class _End(NamedTuple):
    """As in JobResult."""

    ending: Ending
    explanation: str = ""
    value: object = None
    raised: str = ""


def _conclude(job: Job, nonce: str, report: Report, flooded: bool, result: bytes) -> _End:
    limits = job.limits
    if report.killed is Ending.TIMEOUT:
        return _End(Ending.TIMEOUT, f"{report.wall_s:.1f} s, {report.cpu_s:.1f} s of CPU")
    if report.killed is Ending.MEMORY:
        return _End(Ending.MEMORY, f"its processes hold more than {limits.memory_mb} MiB")
    if flooded:
        return _End(Ending.OUTPUT_LIMIT, f"more than {limits.output_bytes} bytes")
    of_limit = limits.cpu_s - (_TICKS_S if report.status == -signal.SIGXCPU else 0)
    if report.status in (-signal.SIGXCPU, -signal.SIGKILL) and report.cpu_s >= of_limit:
        return _End(Ending.TIMEOUT, f"{report.cpu_s:.1f} s of CPU")
    if report.status < 0:
        return _End(Ending.CRASH, f"signal {_signal(-report.status)}")
    try:
        frame = read_frame(result, nonce)
    except values.ValueRefused as error:
        return _End(Ending.INVALID_RESULT, str(error))
    if frame is None:
        if job.call is not None:
            return _End(Ending.CRASH, f"ended with exit code {report.status} before it had a result")
        return _End(Ending.OK) if report.status == 0 else _End(Ending.CRASH, f"exit code {report.status}")
    if "refused" in frame:
        return _End(Ending.INVALID_RESULT, str(frame["refused"]))
    if "error" in frame:
        raised = str(frame["error"])
        ending = Ending.MEMORY if raised == "MemoryError" else Ending.CRASH
        return _End(ending, f"{raised}: {frame['message']}".removesuffix(": "), raised=raised)
    if job.call is None or report.status != 0:
        return _End(Ending.INVALID_RESULT, "a result that nobody asked for")
    return _End(Ending.OK, value=frame["value"])


def read_frame(result: bytes, nonce: str) -> dict[str, object] | None:
    """The one frame of a result; None if it is empty. ValueRefused if it is anything else."""
    if not result:
        return None
    lines = result.split(b"\n")
    if lines[-1] or len(lines) != 2:
        raise values.ValueRefused(f"one frame was due, not {len(lines) - 1} and {len(lines[-1])} bytes")
    try:
        frame = json.loads(
            lines[0].decode("utf-8"), object_pairs_hook=unique_keys, parse_constant=no_constant, parse_float=no_constant
        )
    except (ValueError, RecursionError) as error:
        raise values.ValueRefused(f"the frame is not JSON: {type(error).__name__}") from error
    if not isinstance(frame, dict) or frame.pop("nonce", None) != nonce:
        raise values.ValueRefused("the frame is not the harness's")
    if set(frame) == {"value"}:
        try:
            return {"value": values.decode(frame["value"])}
        except RecursionError as error:
            raise values.ValueRefused("nested too deeply") from error
    if set(frame) in ({"error", "message"}, {"refused"}) and all(isinstance(text, str) for text in frame.values()):
        return frame
    raise values.ValueRefused("the frame has a wrong shape")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
