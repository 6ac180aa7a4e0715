"""The event loop of a run, which a signal ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

from reprise.launch.signals import cancel_on_signals


def run(body: Coroutine[Any, Any, None]) -> None:
    """`asyncio.run(body)`; where an event loop runs already, as in a notebook, in a thread of its own.

    Ctrl-C, SIGTERM and SIGHUP cancel the body, which may then take its time to end; KeyboardInterrupt is raised
    afterwards. A notebook gets no signal but Ctrl-C ("interrupt the kernel").
    """
    try:
        if _beside_a_loop():
            _run_in_a_thread(body)
        else:
            asyncio.run(_until_signalled(body))
    except asyncio.CancelledError as signalled:
        raise KeyboardInterrupt(*signalled.args) from None


def _beside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _until_signalled(body: Coroutine[Any, Any, None]) -> None:
    if threading.current_thread() is threading.main_thread():  # no other may ask for signals
        cancel_on_signals()
    await body


def _run_in_a_thread(body: Coroutine[Any, Any, None]) -> None:
    ended: Future[None] = Future()
    loop, task = asyncio.new_event_loop(), list[asyncio.Task[None]]()

    async def cancellable() -> None:
        task.extend(filter(None, [asyncio.current_task()]))
        await body

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                ended.set_result(runner.run(cancellable()))
        except BaseException as error:  # noqa: BLE001 - raised again where `run` was called
            ended.set_exception(error)

    threading.Thread(target=work, name="reprise", daemon=True).start()
    while True:
        try:
            return ended.result()
        except KeyboardInterrupt:
            if ended.done():
                raise
            loop.call_soon_threadsafe(lambda: [each.cancel() for each in task])
