"""The pool of killable workers, against handlers that hang, crash, eat memory and lie."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import alive, eventually

from reprise.rewards.workers.workers import MAX_REQUEST_BYTES, Failure, Limits, WorkerPool

pytestmark = pytest.mark.slow

LIMITS = Limits(cpu_s=0.4, wall_s=10.0, memory_mb=512, start_s=30.0)
ECHO = {"do": "echo", "value": 0}


def make_pool(processes: int = 2, limits: Limits = LIMITS, handler: str = "handle") -> WorkerPool:
    return WorkerPool(f"hostile_handlers:{handler}", ECHO, processes, limits)


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = make_pool()
    pool.start()
    yield pool
    pool.close()


def echo(value: object) -> dict[str, object]:
    return {"do": "echo", "value": value}


def test_outcomes_come_in_the_order_of_the_requests(pool: WorkerPool) -> None:
    values = [{"n": n, "text": "é\ud800\0\n" * n} for n in range(50)]
    assert [outcome.value for outcome in pool.run([echo(value) for value in values])] == values


def test_no_requests_give_no_outcomes(pool: WorkerPool) -> None:
    assert pool.run([]) == []


def test_both_workers_are_used(pool: WorkerPool) -> None:
    assert {outcome.value for outcome in pool.run([{"do": "pid"}] * 200)} == set(pool.pids)


def test_a_request_beyond_the_limit_is_refused(pool: WorkerPool) -> None:
    with pytest.raises(ValueError, match="more than 60000"):
        pool.run([echo("x" * MAX_REQUEST_BYTES)])


def test_an_exception_of_the_handler_is_an_infra_failure_and_the_worker_lives_on(pool: WorkerPool) -> None:
    before = pool.pids
    [outcome] = pool.run([{"do": "raise"}])
    assert (outcome.failure, pool.pids) == (Failure.INFRA, before)
    assert "KeyError" in outcome.detail


@pytest.mark.parametrize(
    ("request_", "failure"),
    [
        ({"do": "spin"}, Failure.TIMEOUT),
        ({"do": "eat memory"}, Failure.MEMORY),
        ({"do": "crash"}, Failure.CRASH),
        ({"do": "babble"}, Failure.CRASH),
        ({"do": "babble and stay"}, Failure.CRASH),
        ({"do": "be killed from outside"}, Failure.INFRA),
    ],
)
def test_a_second_death_alone_decides_whose_fault_it_is(pool: WorkerPool, request_: dict, failure: Failure) -> None:
    deaths = pool.deaths
    first, outcome, last = pool.run([echo(1), request_, echo(2)])
    assert (first.value, last.value) == (1, 2)
    assert outcome.failure is failure, outcome
    assert pool.deaths - deaths >= 2
    assert [outcome.value for outcome in pool.run([echo(n) for n in range(5)])] == list(range(5))


def test_a_request_that_kills_its_worker_only_once_is_not_blamed(pool: WorkerPool, tmp_path: Path) -> None:
    [outcome] = pool.run([{"do": "die once", "marker": str(tmp_path / "died")}])
    assert (outcome.value, outcome.failure) == ("second time lucky", None)


def test_idle_workers_killed_from_outside_are_replaced(pool: WorkerPool) -> None:
    killed = pool.pids
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert [outcome.value for outcome in pool.run([echo(n) for n in range(5)])] == list(range(5))
    assert not set(killed) & set(pool.pids)


def test_a_wall_deadline_missed_without_cpu_is_an_infra_failure() -> None:
    pool = make_pool(processes=1, limits=Limits(cpu_s=0.4, wall_s=0.5, memory_mb=512))
    try:
        started = time.monotonic()
        [outcome] = pool.run([{"do": "sleep"}])
        assert outcome.failure is Failure.INFRA
        assert "took 0.5 s" in outcome.detail
        assert pool.deaths == 2, "it was run twice before it was given up"
        assert time.monotonic() - started < 8
    finally:
        pool.close()


@pytest.mark.parametrize(
    ("handler", "cause"), [("refuse_to_start", "the library is not there"), ("vanish_at_start", "exit code 3")]
)
def test_workers_that_cannot_start_are_an_infra_failure_with_the_cause(handler: str, cause: str) -> None:
    pool = make_pool(processes=1, handler=handler)
    try:
        [outcome] = pool.run([ECHO])
        assert outcome.failure is Failure.INFRA
        assert cause in outcome.detail
        with pytest.raises(RuntimeError, match=cause):
            pool.start()
    finally:
        pool.close()


def test_a_worker_that_is_not_ready_in_time_is_an_infra_failure() -> None:
    pool = make_pool(processes=1, limits=Limits(cpu_s=1.0, wall_s=1.0, memory_mb=512, start_s=0.01))
    try:
        [outcome] = pool.run([ECHO])
        assert outcome.failure is Failure.INFRA
        assert "not ready within 0.01 s" in outcome.detail
    finally:
        pool.close()


def test_the_pool_may_be_used_from_threads_that_end() -> None:
    pool = make_pool(processes=1)
    try:
        for _ in range(2):
            thread = threading.Thread(target=pool.run, args=([ECHO],))
            thread.start()
            thread.join()
        time.sleep(0.2)
        assert pool.run([echo("alive")])[0].value == "alive"
        assert pool.deaths == 0, "a worker must not end with the thread that asked for it"
    finally:
        pool.close()


def test_closing_ends_every_worker_and_a_closed_pool_can_be_used_again() -> None:
    pool = make_pool()
    pool.start()
    pids = pool.pids
    pool.close()
    pool.close()
    assert not any(alive(pid) for pid in pids)
    assert pool.run([ECHO])[0].value == 0
    pool.close()


@pytest.mark.parametrize("work", ["", 'pool.run([{"do": "spin"}])'], ids=["idle", "busy"])
def test_workers_end_with_a_parent_that_is_killed(work: str, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"""
        import sys, threading, time
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from reprise.rewards.workers.workers import Limits, WorkerPool
        pool = WorkerPool("hostile_handlers:handle", {ECHO!r}, 2, Limits(100.0, 100.0, 512))
        pool.start()
        Path({str(pids)!r}).write_text(" ".join(map(str, pool.pids)))
        {work or "pass"}
        time.sleep(100)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    assert eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    workers = [int(pid) for pid in pids.read_text().split()]
    assert eventually(lambda: not any(alive(pid) for pid in workers))
