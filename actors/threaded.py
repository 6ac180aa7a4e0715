"""What the actors share whose work blocks: one thread for the work, the event loop free to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class ThreadedActor:
    """Runs blocking work in one thread, in the order it was asked for."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="work")

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def alive(self) -> None:
        """Never returns: its caller learns of the actor's death."""
        await asyncio.Event().wait()
