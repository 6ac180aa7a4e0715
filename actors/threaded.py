"""What the actors share whose work blocks: threads (mostly one) for the work, the event loop free to answer."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class ThreadedActor:
    """Runs blocking work in one thread, in the order it was asked for; in more than one where an actor wants that."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="work")

    async def _run(self, work: Callable[[], T]) -> T:
        """What `work` gives. What it raises is in the actor's log, with its traceback, beside what the caller gets."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except Exception:
            with suppress(OSError):  # the log's disk may be full
                traceback.print_exc()
            raise

    async def alive(self) -> None:
        """Never returns: its caller learns of the actor's death."""
        await asyncio.Event().wait()
