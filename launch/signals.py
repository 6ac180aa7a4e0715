"""Being asked to stop."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, NoReturn


def cancel_on_sigterm() -> None:
    """Cancel the running task on SIGTERM, with which a cluster ends a job. Ray's own handler would just exit."""
    body = asyncio.current_task()
    assert body is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, body.cancel)


def interrupt_on_sigterm(signal_number: int, frame: Any) -> NoReturn:
    """A handler of SIGTERM: stop as on Ctrl-C."""
    raise KeyboardInterrupt
