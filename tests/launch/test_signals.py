"""Being asked to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from reprise.launch.reporting.run_summary import ending
from reprise.launch.signals import cancel_on_signals, interrupt_on_sigterm


async def signalled(number: int) -> str:
    cancel_on_signals()
    os.kill(os.getpid(), number)
    await asyncio.sleep(0.1)
    return "went on"


@pytest.fixture(autouse=True)
def _not_under_nohup() -> Iterator[None]:
    """As in a terminal, even if the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_run_that_is_stopped_is_cancelled_and_says_by_what(name: str) -> None:
    with pytest.raises(asyncio.CancelledError) as stopped:
        asyncio.run(signalled(signal.Signals[name]))
    assert ending(KeyboardInterrupt(*stopped.value.args)) == ("interrupted", name)


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert asyncio.run(signalled(signal.SIGHUP)) == "went on"


def test_before_the_run_it_is_as_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt) as stopped:
        interrupt_on_sigterm(signal.SIGTERM, None)
    assert ending(stopped.value) == ("interrupted", "SIGTERM")
    assert ending(KeyboardInterrupt()) == ("interrupted", "Ctrl-C")
