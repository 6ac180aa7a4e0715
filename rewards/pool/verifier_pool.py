"""The hosts of one verifier: they verify side by side, are watched, and are restarted when they are lost.

Who is next (`dispatch`), whose fault a loss was (`case`) and when a host is given up (`health`) is decided in classes
without a clock; here and in `keeper` are the waits. What a host is, `host` says: for training a Ray actor, for
`reprise verify` a process.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Collection, Coroutine, Hashable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import TypeVar

from reprise.core.types import Status, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.infra_errors import InfraError, collected
from reprise.rewards.pool.case import Case, Loss
from reprise.rewards.pool.dispatch import Dispatch, Recycle
from reprise.rewards.pool.health import Health, Patience
from reprise.rewards.pool.host import Host
from reprise.rewards.pool.keeper import Checks, Keeper
from reprise.rewards.scoring import Verification
from reprise.rewards.settings import VerifierSettings

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """What happened since the last time it was asked.

    restarts   how often a host was lost (it died, had to be killed, or did not start) and started again
    rejudged   answers that were verified again because of that, each time counted
    held_back  batches that found the queue full
    waiting    batches that wait for a host now
    """

    restarts: int = 0
    rejudged: int = 0
    held_back: int = 0
    waiting: int = 0

    def __add__(self, other: PoolCounts) -> PoolCounts:
        return PoolCounts(*map(operator.add, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class Verified:
    """One verdict for each answer, in their order; seconds in the queue, and seconds that verifying took after it."""

    verdicts: Sequence[Verdict]
    queue_seconds: float
    seconds: float


@dataclass(slots=True, eq=False)
class _Batch:
    """One call of `verify`. Its times are the loop's; `abandoned` once nobody waits for it any more."""

    answers: Sequence[Answer]
    queued: float
    begun: float | None = None
    abandoned: bool = False

    def verified(self, verdicts: Sequence[Verdict], now: float) -> Verified:
        assert self.begun is not None
        return Verified(verdicts, self.begun - self.queued, now - self.begun)


class VerifierPool:
    """All hosts of `rewards.verifiers.<name>`.

    Args:
        name: the verifier's name.
        settings: how many hosts (`workers`), how many batches at a time, queue, deadlines.
        create: makes the host with this number; the flag says whether there was one before.
        note: called with a line whenever a host is lost and restarted.
        failed: called with what kept answers from being verified.
        fail: called with the number of a host that cannot be started, and why: no batch may ever be verified then.
        patience, checks: when a host is given up.
    """

    def __init__(
        self,
        name: str,
        settings: VerifierSettings,
        create: Callable[[int, bool], Host],
        note: Callable[[str], None],
        failed: Callable[[Sequence[InfraError]], None],
        fail: Callable[[int, Exception], None],
        patience: Patience | None = None,
        checks: Checks | None = None,
    ) -> None:
        self.name = name
        self._settings, self._create, self._note, self._failed, self._fail = settings, create, note, failed, fail
        self._patience, self._checks = patience or Patience(), checks or Checks()
        self._dispatch = Dispatch(settings.workers, settings.concurrency, settings.queue)
        self._keepers: list[Keeper] = []
        self._turns: dict[Hashable, asyncio.Future[Keeper]] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._scored = 0
        self._counts, self._held_back = PoolCounts(), 0

    def start(self) -> None:
        """Create every host and begin to start it; `started` waits for them."""
        for number in range(self._settings.workers):
            what, health = f"verifier {self.name} {number}", Health(self._patience)
            callbacks = self._create, self._dispatch, self._pump, self._lost
            self._keepers.append(Keeper(what, number, self._settings, *callbacks, health, self._checks))
            self._spawn(self._keep(self._keepers[-1]))

    async def started(self) -> None:
        """Returns when every host has been started once. `fail` is called for one that cannot be."""
        for keeper in self._keepers:
            await keeper.started.wait()

    @property
    def notes(self) -> list[str]:
        """What the hosts' verifiers said when they started, each once."""
        return list(dict.fromkeys(note for keeper in self._keepers for note in keeper.notes))

    async def verify(self, answers: Sequence[Answer]) -> Verified:
        """A verdict for each answer of a group.

        Waits while the queue is full, and until all are there: however many hosts are lost meanwhile, each answer gets
        one verdict. Raises what a host raises that has not died.
        """
        batch = _Batch(answers, _now())
        task = self._spawn(self._verify(batch))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            batch.abandoned = True
            if batch in self._turns:  # else a host works on it, and will be free again when it is done
                task.cancel()
            raise

    def counts(self) -> PoolCounts:
        """What happened since the last call."""
        held_back = self._dispatch.ever_held_back
        counts = replace(self._counts, held_back=held_back - self._held_back, waiting=self._dispatch.waiting)
        self._counts, self._held_back = PoolCounts(), held_back
        return counts

    async def close(self, grace_s: float) -> None:
        """Verify and restart nothing more. Hosts have `grace_s` seconds to close and are then killed."""
        await _cancel(self._tasks)
        closing = {asyncio.ensure_future(keeper.host.close()) for keeper in self._keepers}
        try:
            if closing:
                await asyncio.wait(closing, timeout=grace_s)
        finally:
            for keeper in self._keepers:
                keeper.host.kill()
            await _cancel(closing)

    # --- batches ------------------------------------------------------------------------------------------------------

    async def _verify(self, batch: _Batch) -> Verified:
        case, scored = Case(len(batch.answers), self._settings.deadline_s), 0
        enter: Callable[[_Batch], None] = self._dispatch.submit
        while not case.alone:
            keeper = await self._turn(batch, enter)
            asked = _now()
            try:
                outcome = await self._ask(keeper, batch.answers)
            finally:
                self._release(batch)
            if not isinstance(outcome, Loss):
                return batch.verified(outcome.verdicts, asked + outcome.seconds)
            case.lost(outcome)
            scored, enter = self._scored, self._dispatch.again
            self._counts += PoolCounts(rejudged=0 if case.alone else len(batch.answers))
        await self._verify_alone(batch, case)
        verdicts = case.verdicts(witness=self._scored > scored)
        self._failed(collected(self.name, [verdicts[number] for number in case.given_up]))
        return batch.verified([verdicts[number] for number in range(len(batch.answers))], _now())

    async def _verify_alone(self, batch: _Batch, case: Case) -> None:
        """One answer after the other, on a fresh host that serves nothing else until they are done or it is lost."""
        while case.next is not None:
            keeper = await self._turn(batch, self._dispatch.alone)
            try:
                while (number := case.next) is not None:
                    self._counts += PoolCounts(rejudged=1)
                    outcome = await self._ask(keeper, [batch.answers[number]])
                    if isinstance(outcome, Loss):
                        case.lost(outcome)
                        break
                    case.verified(outcome.verdicts[0])
            finally:
                self._release(batch)

    async def _ask(self, keeper: Keeper, answers: Sequence[Answer]) -> Verification | Loss:
        outcome = await keeper.verify(answers)
        if not isinstance(outcome, Loss):
            self._scored += sum(verdict.status is Status.SCORED for verdict in outcome.verdicts)
            self._failed(outcome.failures)
        return outcome

    async def _turn(self, batch: _Batch, enter: Callable[[_Batch], None]) -> Keeper:
        """The host that takes the batch, once one does; say `_release` when it is done. `enter` is how it queues."""
        if batch.abandoned:
            raise asyncio.CancelledError
        turn: asyncio.Future[Keeper] = asyncio.get_running_loop().create_future()
        self._turns[batch] = turn
        enter(batch)
        self._pump()
        try:
            keeper = await turn
            batch.begun = _now() if batch.begun is None else batch.begun
            return keeper
        except asyncio.CancelledError:
            self._release(batch)
            raise
        finally:
            del self._turns[batch]

    def _release(self, batch: _Batch) -> None:
        self._dispatch.done(batch)
        self._pump()

    def _pump(self) -> None:
        """Do what can be done now."""
        while (step := self._dispatch.next()) is not None:
            if isinstance(step, Recycle):
                self._keepers[step.actor].kill(Loss.KILLED)
            elif not (turn := self._turns[step.batch]).done():
                turn.set_result(self._keepers[step.actor])

    def _lost(self, what: str) -> None:
        self._counts += PoolCounts(restarts=1)
        self._note(what)

    # --- tasks --------------------------------------------------------------------------------------------------------

    async def _keep(self, keeper: Keeper) -> None:
        try:
            await keeper.keep()
        except Exception as error:  # noqa: BLE001 - without its keeper a host is lost for good
            self._fail(keeper.number, error)

    def _spawn(self, work: Coroutine[object, object, R]) -> asyncio.Task[R]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits has it; asyncio need not report it as lost where nobody does


async def _cancel(tasks: Collection[asyncio.Task[object]]) -> None:
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _now() -> float:
    """Seconds of the event loop's clock."""
    return asyncio.get_running_loop().time()
