"""Being asked to stop."""

from __future__ import annotations

import asyncio
import signal


def cancel_on_sigterm() -> None:
    """Cancel the running task on SIGTERM, with which a cluster ends a job. Ray's own handler would just exit."""
    body = asyncio.current_task()
    assert body is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, body.cancel)
