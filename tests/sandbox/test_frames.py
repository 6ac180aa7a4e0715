"""What a job's ending, its streams and its frame amount to, without running anything."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprise.sandbox import Call, Ending, Job, JobLimits, JobResult
from reprise.sandbox.frames import Report, conclude, read_frame
from reprise.sandbox.inside.values import ValueRefused

NONCE = "n"
LIMITS = JobLimits(cpu_s=2, output_bytes=1000)
PROGRAM = Job(limits=LIMITS)
CALL = Job(call=Call("f"), limits=LIMITS)


def frame(**fields: Any) -> bytes:
    return json.dumps({"nonce": NONCE, **fields}).encode() + b"\n"


def ended(
    job: Job,
    status: int = 0,
    cpu_s: float = 0.1,
    killed: Ending | None = None,
    stdout: bytes = b"",
    result: bytes = b"",
) -> JobResult:
    return conclude(job, NONCE, Report(status, cpu_s, 1.0, killed), stdout, b"", result)


@pytest.mark.parametrize(
    ("result", "ending"),
    [
        (ended(PROGRAM), Ending.OK),
        (ended(PROGRAM, status=3), Ending.CRASH),
        (ended(PROGRAM, status=1, result=frame(error="ValueError", message="no")), Ending.CRASH),
        (ended(PROGRAM, status=1, result=frame(error="MemoryError", message="")), Ending.MEMORY),
        (ended(PROGRAM, status=-signal.SIGSEGV), Ending.CRASH),
        (ended(PROGRAM, status=-signal.SIGKILL, cpu_s=0.1), Ending.CRASH),
        (ended(PROGRAM, status=-signal.SIGKILL, cpu_s=3), Ending.TIMEOUT),
        (ended(PROGRAM, status=-signal.SIGXCPU, cpu_s=2), Ending.TIMEOUT),
        (
            ended(PROGRAM, status=-signal.SIGXCPU, cpu_s=LIMITS.cpu_s - 0.03),
            Ending.TIMEOUT,
        ),  # its kernel counts in ticks
        (ended(PROGRAM, status=-signal.SIGXCPU, cpu_s=0.1), Ending.CRASH),  # raised by itself
        (ended(PROGRAM, status=-signal.SIGKILL, killed=Ending.TIMEOUT), Ending.TIMEOUT),
        (ended(PROGRAM, status=-signal.SIGKILL, killed=Ending.MEMORY), Ending.MEMORY),
        (ended(PROGRAM, status=0, killed=Ending.TIMEOUT), Ending.TIMEOUT),
        (ended(PROGRAM, stdout=b"x" * 1000), Ending.OUTPUT_LIMIT),
        (ended(PROGRAM, stdout=b"x" * 999), Ending.OK),
        (ended(PROGRAM, result=frame(value=1)), Ending.INVALID_RESULT),
        (ended(CALL), Ending.CRASH),
        (ended(CALL, result=frame(value=1)), Ending.OK),
        (ended(CALL, status=1, result=frame(value=1)), Ending.INVALID_RESULT),
        (ended(CALL, result=frame(refused="type X")), Ending.INVALID_RESULT),
        (ended(CALL, status=1, result=b'{"jail": "no namespaces"}\n'), Ending.INVALID_RESULT),
        (ended(PROGRAM, result=b'{"jail": "x"}\n'), Ending.INVALID_RESULT),
    ],
)
def test_an_ending_follows_from_its_cause(result: JobResult, ending: Ending) -> None:
    assert result.ending is ending, result


def test_a_call_gives_its_value_and_an_exception_its_name() -> None:
    assert ended(CALL, result=frame(value={"tuple": [1, 2]})).value == (1, 2)
    failed = ended(CALL, status=1, result=frame(error="KeyError", message="'x'"))
    assert (failed.raised, failed.explanation) == ("KeyError", "KeyError: 'x'")


@pytest.mark.parametrize(
    "result",
    [
        frame(refused="\x1b[2J\u202e\ud800\n" * 1000),
        frame(error="\x07" * 1000, message="\x1b]0;owned\x07" * 1000),
        frame(error="E", message="m" * 1000),
    ],
)
def test_an_explanation_is_short_and_can_be_printed_whoever_wrote_it(result: bytes) -> None:
    job = Job(call=Call("f"), limits=JobLimits())
    found = conclude(job, NONCE, Report(1, 0.1, 1.0, None), b"", b"", result)
    assert found.ending in (Ending.INVALID_RESULT, Ending.CRASH)
    for text in (found.explanation, found.raised):
        assert len(text) <= 500
        assert text.isprintable()


@pytest.mark.parametrize(
    "result",
    [
        b"{}",
        b"{}\n",
        b"[]\n",
        b"\n",
        b"\xff\n",
        frame(value=1) * 2,
        frame(value=1) + b"x",
        frame(value=1)[:-1],
        b'{"nonce": "m", "value": 1}\n',
        frame(value=1, error="x"),
        frame(error="x"),
        frame(error=1, message=2),
        frame(value=float("nan")),
        frame(value=1.5),
        b'{"nonce": "n", "nonce": "n", "value": 1}\n',
        b"[" * 100_000 + b"\n",
        frame(value=1).replace(b"1", b"[" * 300 + b"]" * 300),
    ],
)
def test_whatever_is_not_the_one_right_frame_is_refused(result: bytes) -> None:
    with pytest.raises(ValueRefused):
        read_frame(result, NONCE)


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(result: bytes) -> None:
    with suppress(ValueRefused):
        assert read_frame(result, NONCE) is None
