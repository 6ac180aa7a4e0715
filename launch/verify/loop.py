"""The loop of `reprise verify`: gives answers to pools of verifiers, and returns verdicts in the answers' order.

What happens to answers whose verifier dies or is late, the pool decides, as in training.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from reprise.core.errors import RunError, UserError
from reprise.core.types import Verdict
from reprise.rewards.base import Answer
from reprise.rewards.infra_errors import InfraError
from reprise.rewards.pool.health import Patience
from reprise.rewards.pool.host import Host
from reprise.rewards.pool.verifier_pool import VerifierPool
from reprise.rewards.settings import VerifierSettings

# Seconds that verifiers may take to close before they are killed: at the end, and after an interrupt.
_CLOSE_S, _BREAK_OFF_S = 10.0, 2.0
_IDLE_EVERY_S = 0.25
_PATIENCE = Patience(starts=1)  # whoever waits for verdicts wants to know at once that a verifier does not start

Ready = Sequence[tuple[Answer, Verdict]]
_Held = tuple[Answer, asyncio.Future[Verdict]]


async def verify_all(
    answers: Iterator[Answer],
    chosen: Mapping[str, VerifierSettings],
    create: Callable[[str], Host],
    write: Callable[[Ready], None],
    note: Callable[[str], None] = lambda text: None,
    failed: Callable[[Sequence[InfraError]], None] = lambda failures: None,
    idle: Callable[[], None] = lambda: None,
    *,
    window: int,
    batch_size: int,
) -> list[str]:
    """Verify all answers; returns the notes of the verifiers.

    chosen      the verifiers that will be needed, each in one host; they start side by side
    create      a new host of a verifier
    write       is given verdicts in the order of the answers
    note        is called when a verifier is lost and restarted
    failed      is called with what kept answers from being verified
    idle        is called a few times a second
    window      answers between the first without a verdict and the last that was read, at most: it bounds both memory
                and what a killed run has to verify again
    batch_size  answers handed to a verifier at a time, at most

    UserError or RunError if a verifier cannot start. Hosts are closed, whatever happens.
    """
    loop = asyncio.get_running_loop()
    failure: asyncio.Future[Exception] = loop.create_future()
    held: deque[_Held] = deque()
    waiting: dict[str, asyncio.Queue[_Held]] = {name: asyncio.Queue() for name in chosen}

    def pool(name: str, settings: VerifierSettings) -> VerifierPool:
        def host(number: int, again: bool) -> Host:
            return create(name)

        def fail(number: int, error: Exception) -> None:
            kind = UserError if isinstance(error, UserError) else RunError
            if not failure.done():
                failure.set_result(kind(f"verifier {name!r} cannot start: {error}"))

        one = settings.model_copy(update={"workers": 1})
        return VerifierPool(name, one, host, note, failed, fail, _PATIENCE)

    def read() -> None:
        for answer in islice(answers, window - len(held)):
            held.append((answer, loop.create_future()))
            waiting[answer.task.verifier].put_nowait(held[-1])

    async def work(name: str) -> None:
        """Hand over one batch after the other: what waits by then."""
        while True:
            batch = [await waiting[name].get()]
            batch += [waiting[name].get_nowait() for _ in range(min(batch_size - 1, waiting[name].qsize()))]
            done = await pools[name].verify([answer for answer, _ in batch])
            for (_, verdict), found in zip(batch, done.verdicts, strict=True):
                verdict.set_result(found)

    pools = {name: pool(name, settings) for name, settings in chosen.items()}
    workers = [asyncio.create_task(work(name)) for name in chosen for _ in range(chosen[name].concurrency)]
    grace_s = _BREAK_OFF_S
    try:
        for each in pools.values():
            each.start()
        read()
        while held:
            events: set[asyncio.Future[Any]] = {held[0][1], failure, *workers}
            await asyncio.wait(events, timeout=_IDLE_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            if failure.done():
                raise failure.result()
            for worker in workers:
                if worker.done():
                    worker.result()
            ready = []
            while held and held[0][1].done():
                answer, verdict = held.popleft()
                ready.append((answer, verdict.result()))
            if ready:
                write(ready)
                read()
            idle()
        grace_s = _CLOSE_S
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, *(each.close(grace_s) for each in pools.values()), return_exceptions=True)
    return [f"verifier {name}: {text}" for name, each in pools.items() for text in each.notes]
