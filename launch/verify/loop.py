"""The loop of `reprise verify`: gives answers to pools of verifiers, and returns verdicts in the answers' order.

What happens to answers whose verifier dies or is late, the pool decides, as in training.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reprise.core.errors import RunError, UserError
from reprise.core.types import Verdict
from reprise.launch.verify.window import Batch, Window
from reprise.rewards.base import Answer
from reprise.rewards.infra_errors import InfraError
from reprise.rewards.pool.health import Patience
from reprise.rewards.pool.host import Host
from reprise.rewards.pool.verifier_pool import Verified, VerifierPool
from reprise.rewards.settings import VerifierSettings

# Seconds that verifiers may take to close before they are killed: at the end, and after an interrupt.
_CLOSE_S, _BREAK_OFF_S = 10.0, 2.0
_IDLE_EVERY_S = 0.25
_PATIENCE = Patience(starts=1)  # whoever waits for verdicts wants to know at once that a verifier does not start

Ready = Sequence[tuple[Answer, Verdict]]


async def verify_all(
    window: Window,
    chosen: Mapping[str, VerifierSettings],
    create: Callable[[str], Host],
    write: Callable[[Ready], None],
    note: Callable[[str], None] = lambda text: None,
    failed: Callable[[Sequence[InfraError]], None] = lambda failures: None,
    idle: Callable[[], None] = lambda: None,
) -> list[str]:
    """Verify all that the window reads; returns the notes of the verifiers.

    chosen  the verifiers that will be needed, each in one host; they start side by side
    create  a new host of a verifier
    write   is given verdicts in the order of the answers
    note    is called when a verifier is lost and restarted
    failed  is called with what kept answers from being verified
    idle    is called a few times a second

    UserError or RunError if a verifier cannot start. Hosts are closed, whatever happens.
    """
    failure: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    def pool(name: str, settings: VerifierSettings) -> VerifierPool:
        def host(number: int, again: bool) -> Host:
            return create(name)

        def fail(number: int, error: Exception) -> None:
            kind = UserError if isinstance(error, UserError) else RunError
            if not failure.done():
                failure.set_result(kind(f"verifier {name!r} cannot start: {error}"))

        one = settings.model_copy(update={"workers": 1})
        return VerifierPool(name, one, host, note, failed, fail, _PATIENCE)

    pools = {name: pool(name, settings) for name, settings in chosen.items()}
    at_work: dict[asyncio.Task[Verified], Batch] = {}
    load = Counter[str]()
    grace_s = _BREAK_OFF_S
    try:
        for each in pools.values():
            each.start()
        window.fill()
        while not window.finished:
            for name, settings in chosen.items():
                while load[name] < settings.concurrency and (batch := window.next_batch(name)) is not None:
                    load[name] += 1
                    at_work[asyncio.create_task(pools[name].verify(batch.answers))] = batch
            events: set[asyncio.Future[Any]] = {failure, *at_work}
            await asyncio.wait(events, timeout=_IDLE_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            if failure.done():
                raise failure.result()
            for task in [task for task in at_work if task.done()]:
                batch = at_work.pop(task)
                load[batch.verifier] -= 1
                window.verified(batch, task.result().verdicts)
            if ready := window.ready():
                write(ready)
                window.fill()
            idle()
        grace_s = _CLOSE_S
    finally:
        for task in at_work:
            task.cancel()
        await asyncio.gather(*at_work, *(each.close(grace_s) for each in pools.values()), return_exceptions=True)
    return [f"verifier {name}: {text}" for name, each in pools.items() for text in each.notes]
