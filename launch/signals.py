"""Being asked to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import NoReturn, TypeVar

R = TypeVar("R")


def cancel_on_signals() -> None:
    """Cancel the running task on SIGTERM, with which a cluster ends a job, and on SIGHUP, when its terminal is closed
    (unless `nohup` has that ignored). Ray's own handler would just exit."""
    body = asyncio.current_task()
    assert body is not None
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, body.cancel, "SIGTERM")
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, body.cancel, "SIGHUP")


def interrupt_on_sigterm(signal_number: int, frame: object) -> NoReturn:
    """A handler of SIGTERM: stop as on Ctrl-C."""
    raise KeyboardInterrupt(signal.Signals(signal_number).name)


def run_interruptibly(work: Coroutine[object, object, R]) -> R:
    """`asyncio.run`, which SIGTERM and SIGHUP stop as Ctrl-C does: the work is cancelled, and KeyboardInterrupt raised.

    The handler of SIGTERM is then as before.
    """

    async def cancelled_by_signals() -> R:
        cancel_on_signals()
        return await work

    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        return asyncio.run(cancelled_by_signals())
    except asyncio.CancelledError as stopped:
        raise KeyboardInterrupt(*stopped.args) from None
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)
