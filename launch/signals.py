"""Being asked to stop."""

from __future__ import annotations

import asyncio
import signal
from typing import NoReturn


def cancel_when_told_to_end() -> None:
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
