"""How fast are the verifiers' sandboxes and workers? `python bench/verifiers.py` prints two tables.

Latencies of each sandbox backend at 1, 2 and 8 jobs at a time, beside a bare `subprocess.run([python, "-I", …])` of the
same program; then what is aimed at, maths included. README.md beside this file says what each row means.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rows import Aim, Row, machine, table

from reprise.core.types import Task
from reprise.rewards.base import Answer, Reason
from reprise.rewards.verifiers.code.verifier import CodeVerifier
from reprise.sandbox import Call, Ending, Job, JobLimits, SandboxSettings
from reprise.sandbox.pool import SandboxPool

AT_A_TIME = (1, 2, 8)
BACKENDS = ("zygote", "oneshot", "landlock")
PROGRAM = "def f(x):\n    return sum(range(x))\n"
_DEADLINE = JobLimits(cpu_s=1.0, wall_s=1.5, memory_mb=128, processes=16, disk_mb=8, output_bytes=1 << 20)
_HOSTILE = Path(__file__).resolve().parent.parent / "tests" / "rewards" / "adversarial"


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds of a job, and jobs a second, `at_a_time` of them at a time."""

    runner: str
    at_a_time: int
    jobs: int
    per_second: float
    p50: float
    p95: float
    p99: float


def main() -> None:
    arguments = _parser().parse_args()
    count = 60 if arguments.quick else 400
    progress = Console(stderr=True)
    measured: list[Latencies] = []
    with progress.status("starting") as status:
        for at_a_time in AT_A_TIME:
            for runner in ("subprocess", *BACKENDS):
                status.update(f"measuring {runner}, {at_a_time} at a time")
                with _runner(runner, at_a_time) as run:
                    slow = runner in ("subprocess", "oneshot")
                    measured.append(_latencies(runner, run, at_a_time, count // 2 if slow else count))
        status.update("measuring verdicts on programs")
        rows = [_half(measured), _code_verifier(count)]
        status.update("measuring deadlines of hostile programs")
        rows += [_deadlines(backend, arguments.quick) for backend in BACKENDS]
        status.update("measuring maths")
        rows += _maths(arguments.quick)
        status.update("measuring verdicts a second of one core")
        rows += _rates(arguments.quick)
    here = machine()
    console = Console(width=max(Console().width, 120))
    console.print(_latency_table(measured, here))
    console.print(table(rows, here, "What is aimed at"))
    if arguments.json is not None:
        report = {"machine": here, "rows": [row.plain() for row in rows], "latencies": [asdict(m) for m in measured]}
        arguments.json.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")


# --- latency ----------------------------------------------------------------------------------------------------------


@contextmanager
def _runner(name: str, at_a_time: int) -> Iterator[Callable[[int], Any]]:
    """A function that runs PROGRAM on one number and gives its result, ready to be called from `at_a_time` threads."""
    if name == "subprocess":
        yield _bare_subprocess
        return
    pool = SandboxPool(SandboxSettings(backend=name, slots=at_a_time), ["numpy", "sympy"])  # type: ignore[arg-type]
    pool.start()
    try:
        yield lambda x: pool.run_one(Job(PROGRAM, call=Call("f", [x]))).value
    finally:
        pool.close()


def _bare_subprocess(x: int) -> int:
    command = [sys.executable, "-I", "-c", f"{PROGRAM}\nprint(f({x}))"]
    return int(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)


def _latencies(runner: str, run: Callable[[int], Any], at_a_time: int, count: int) -> Latencies:
    for x in range(2 * at_a_time):
        assert run(x) == sum(range(x))
    seconds: list[float] = []

    def timed(x: int) -> None:
        started = time.perf_counter()
        value = run(x)
        seconds.append(time.perf_counter() - started)
        assert value == sum(range(x)), value

    started = time.perf_counter()
    with ThreadPoolExecutor(at_a_time) as threads:
        list(threads.map(timed, range(count)))
    wall = time.perf_counter() - started
    p50, p95, p99 = (float(1e3 * np.percentile(seconds, p)) for p in (50, 95, 99))
    return Latencies(runner, at_a_time, count, count / wall, p50, p95, p99)


def _latency_table(measured: Sequence[Latencies], here: str) -> Table:
    shown = Table(title=f"One job's latency on {here}", title_justify="left", title_style="bold", box=box.SIMPLE)
    for column in ("runner", "at a time", "jobs a second", "p50 ms", "p95 ms", "p99 ms", "p50 / subprocess"):
        shown.add_column(column, justify="left" if column == "runner" else "right")
    for each in measured:
        bare = next(m for m in measured if m.runner == "subprocess" and m.at_a_time == each.at_a_time)
        numbers = (each.per_second, each.p50, each.p95, each.p99)
        ratio = f"{each.p50 / bare.p50:.2f}"
        shown.add_row(each.runner, str(each.at_a_time), *(f"{n:.1f}" for n in numbers), ratio)
    return shown


def _half(measured: Sequence[Latencies]) -> Row:
    zygote, bare = (next(m for m in measured if (m.runner, m.at_a_time) == (r, 1)) for r in ("zygote", "subprocess"))
    return Row(
        "zygote's median latency, one job at a time",
        f"{zygote.p50:.1f} ms, numpy and sympy loaded",
        f"{bare.p50:.1f} ms, a bare python -I",
        zygote.p50 / bare.p50,
        Aim(at_most=0.5),
        {"zygote": asdict(zygote), "subprocess": asdict(bare)},
    )


def _code_verifier(count: int) -> Row:
    """Whole verdicts, one test each: a distinct program every time, so that none has the verdict of another."""
    verifier = CodeVerifier(sandbox={"slots": 2})
    verifier.start()
    task = Task("t", "?", "code", "code", {"function": "f", "tests": [{"args": [5], "expected": 10}]})
    answers = [Answer(task, f"```python\n{PROGRAM}# {i}\n```") for i in range(count)]
    try:
        verifier.verify(answers[:4])
        started = time.perf_counter()
        verdicts = verifier.verify(answers)
        wall = time.perf_counter() - started
    finally:
        verifier.close()
    assert all(verdict.reason == Reason.CORRECT for verdict in verdicts)
    return Row(
        "code verifier, two slots",
        f"{count} programs of one test in {wall:.1f} s",
        "–",
        count / wall,
        Aim(at_least=100, unit="jobs/s"),
        {"seconds": wall, "programs": count},
    )


def _deadlines(backend: str, quick: bool) -> Row:
    """How much later than its deadline any hostile program of the test suite ended, its second run left out."""
    sys.path.insert(0, str(_HOSTILE))
    from programs import HOSTILE

    pool = SandboxPool(SandboxSettings(backend=backend, slots=1))  # type: ignore[arg-type]
    pool.start()
    given = json.dumps({"canary": "/nowhere", "owner": os.getpid()}).encode()
    late: dict[str, float] = {}
    try:
        for hostile in HOSTILE[:10] if quick else HOSTILE:
            job = Job(hostile.source, given if hostile.stdin is None else hostile.stdin, hostile.call, _DEADLINE)
            result, _ = pool._try(job)
            late[hostile.name] = 1e3 * (result.wall_s - _DEADLINE.wall_s)
            assert result.ending is not Ending.INFRA, (hostile.name, result)
    finally:
        pool.close()
    worst = max(late, key=lambda name: late[name])
    return Row(
        f"{backend}: latest end of {len(late)} hostile programs after the deadline",
        f"{worst!r}",
        f"{_DEADLINE.wall_s:g} s",
        max(late.values()),
        Aim(at_most=200, unit="ms"),
        {"milliseconds_late": late},
    )


# --- maths, and all verifiers on one core -----------------------------------------------------------------------------


def _maths(quick: bool) -> list[Row]:
    from maths_items import measure

    return measure(quick)


def _rates(quick: bool) -> list[Row]:
    from verdict_rates import measure

    return measure(quick)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: to see that it works, not to compare")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the numbers behind the tables here")
    return parser


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="reprise-bench-") as scratch:
        os.chdir(scratch)
        main()
