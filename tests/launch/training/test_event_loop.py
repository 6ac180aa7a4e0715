"""A run's event loop, alone or beside another, and how it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from reprise.launch.reporting.run_summary import ending
from reprise.launch.training import event_loop


@pytest.fixture(autouse=True)
def _not_under_nohup() -> Iterator[None]:
    """As in a terminal, even if the tests themselves run under nohup."""
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGHUP, hang_up)
    signal.signal(signal.SIGINT, interrupt)


class Run:
    """A run that takes its time to end when it is told to."""

    def __init__(self, told: str = "") -> None:
        self.told, self.did = told, list[str]()

    async def body(self) -> None:
        self.thread = threading.current_thread()
        if self.told:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.Signals[self.told])).start()
        try:
            await asyncio.sleep(5 if self.told else 0.01)
            self.did.append("trained")
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            self.did.append("saved")
            raise

    async def in_a_notebook(self) -> None:
        event_loop.run(self.body())  # as a cell does, whose loop waits meanwhile


def test_a_run_works_where_an_event_loop_runs_already() -> None:
    run = Run()
    asyncio.run(run.in_a_notebook())
    assert run.did == ["trained"]


def test_ctrl_c_in_a_notebook_lets_the_run_end_in_order() -> None:
    run = Run("SIGINT")
    loop = asyncio.new_event_loop()  # as IPython's kernel has it, without a handler of asyncio's for Ctrl-C
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(run.in_a_notebook())
    loop.close()
    assert run.did == ["saved"]


def test_a_run_may_be_started_from_a_thread() -> None:
    run = Run()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(lambda: event_loop.run(run.body())).result()
    assert run.did == ["trained"]
    assert run.thread is not threading.main_thread()


@pytest.mark.parametrize("told", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_alone_a_run_ends_in_order_and_says_by_what(told: str) -> None:
    run = Run(told)
    with pytest.raises(KeyboardInterrupt) as stopped:
        event_loop.run(run.body())
    assert run.did == ["saved"]
    assert ending(stopped.value) == ("interrupted", "Ctrl-C" if told == "SIGINT" else told)
    assert run.thread is threading.main_thread()


def test_what_ends_a_run_is_raised_where_it_was_started() -> None:
    async def broken() -> None:
        raise ValueError("it broke")

    async def cell() -> None:
        event_loop.run(broken())

    for start in (lambda: event_loop.run(broken()), lambda: asyncio.run(cell())):
        with pytest.raises(ValueError, match="it broke"):
            start()
