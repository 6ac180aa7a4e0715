"""The actors of one verifier: they work side by side, are watched, and are restarted when they are lost.

Decisions are made in `rewards/pool/` (who is next, whose fault a loss was, when an actor is given up); here are the
Ray calls, the clock and the deadlines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from ray.exceptions import (
    ActorDiedError,
    ActorUnschedulableError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    TaskUnschedulableError,
    WorkerCrashedError,
)

from reprise.actors.errors import ActorFailure, noted, shortly, unwrapped
from reprise.actors.remote import Actor, Ref
from reprise.actors.verifier import VerifierActor
from reprise.core.errors import UserError
from reprise.core.types import Status, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.infra_errors import InfraError, collected
from reprise.rewards.pool.case import Case, Loss
from reprise.rewards.pool.dispatch import Dispatch, Recycle
from reprise.rewards.pool.health import Health, Patience, State
from reprise.rewards.scoring import Verification
from reprise.rewards.settings import VerifierSettings

R = TypeVar("R")

# What says that a call has failed because its actor is gone, not because of what it was asked.
_DEATHS = (
    RayActorError,
    ActorUnschedulableError,
    TaskUnschedulableError,
    NodeDiedError,
    OutOfMemoryError,
    WorkerCrashedError,
)


@dataclass(frozen=True, slots=True)
class Checks:
    """Health checks: seconds between two, and seconds an answer may take (many, because machines may be busy)."""

    period_s: float = 10.0
    deadline_s: float = 30.0


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """What happened since the last time it was asked.

    restarts   how often an actor was lost (it died, had to be killed, or did not start) and started again
    rejudged   answers that were verified again because of that, each time counted
    held_back  batches that found the queue full
    waiting    batches that wait for an actor now
    """

    restarts: int = 0
    rejudged: int = 0
    held_back: int = 0
    waiting: int = 0

    def __add__(self, other: PoolCounts) -> PoolCounts:
        return PoolCounts(
            self.restarts + other.restarts,
            self.rejudged + other.rejudged,
            self.held_back + other.held_back,
            self.waiting + other.waiting,
        )


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
    """All actors of `rewards.verifiers.<name>`.

    Args:
        name: the verifier's name.
        settings: how many actors, how many batches at a time, queue, deadlines.
        create: makes the actor with this number; the flag says whether one was there before.
        note: called with a line whenever an actor is lost and restarted.
        failed: called with what kept answers from being verified.
        fail: called with what ends the run: an actor that cannot be restarted, or starts with a UserError.
        patience, checks: when an actor is given up.
    """

    def __init__(
        self,
        name: str,
        settings: VerifierSettings,
        create: Callable[[int, bool], Actor[VerifierActor]],
        note: Callable[[str], None],
        failed: Callable[[Sequence[InfraError]], None],
        fail: Callable[[BaseException], None],
        patience: Patience | None = None,
        checks: Checks | None = None,
    ) -> None:
        self.name = name
        self.notes: list[str] = []  # what the actors' verifiers said when they started, each once
        self._settings = settings
        self._create, self._note, self._failed, self._fail = create, note, failed, fail
        self._checks = checks or Checks()
        self._dispatch = Dispatch(settings.workers, settings.concurrency, settings.queue)
        self._health = [Health(patience or Patience()) for _ in range(settings.workers)]
        self._actors: dict[int, Actor[VerifierActor]] = {}
        self._first_starts = [asyncio.Event() for _ in range(settings.workers)]
        self._to_be_killed: dict[int, asyncio.Future[Loss]] = {}  # set when an actor has to be
        self._lost: dict[int, asyncio.Future[Loss]] = {}  # set when it is, for what it was working on
        self._turns: dict[Hashable, asyncio.Future[int]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._scored = self._restarts = self._rejudged = 0
        self._told = PoolCounts()

    # --- the pool as others see it ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Create every actor and begin to start it; `started` waits for them."""
        for number in range(self._settings.workers):
            self._actors[number] = self._create(number, False)
            self._spawn(self._keep(number))

    async def started(self) -> None:
        """Returns when every actor has been started once. `fail` is called for one that cannot be."""
        for first in self._first_starts:
            await first.wait()

    async def verify(self, answers: Sequence[Answer]) -> Verified:
        """A verdict for each answer of a group.

        Waits while the queue is full, and until all are there: however many actors are lost meanwhile, each answer gets
        one verdict. Raises what ends the run.
        """
        batch = _Batch(answers, _now())
        task = self._spawn(self._verify(batch))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            batch.abandoned = True
            if batch in self._turns:  # else an actor works on it, and will be free again when it is done
                task.cancel()
            raise

    def counts(self) -> PoolCounts:
        """What happened since the last call."""
        held_back = self._dispatch.ever_held_back
        now = PoolCounts(self._restarts, self._rejudged, held_back, self._dispatch.waiting)
        before, self._told = self._told, now
        return PoolCounts(
            now.restarts - before.restarts,
            now.rejudged - before.rejudged,
            now.held_back - before.held_back,
            now.waiting,
        )

    async def close(self) -> list[Actor[VerifierActor]]:
        """Verify and restart nothing more; the actors that are left, for the caller to close and kill."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return list(self._actors.values())

    def _spawn(self, work: Coroutine[object, object, R]) -> asyncio.Task[R]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits has it; asyncio need not report it as lost where nobody does

    # --- batches ------------------------------------------------------------------------------------------------------

    async def _verify(self, batch: _Batch) -> Verified:
        case, scored = Case(len(batch.answers), self._settings.deadline_s), 0
        enter: Callable[[_Batch], None] = self._dispatch.submit
        while not case.alone:
            actor = await self._turn(batch, enter)
            asked = _now()
            try:
                outcome = await self._ask(actor, batch.answers)
            finally:
                self._release(batch)
            if not isinstance(outcome, Loss):
                return batch.verified(outcome.verdicts, asked + outcome.seconds)
            case.lost(outcome)
            scored, enter = self._scored, self._dispatch.again
            self._rejudged += 0 if case.alone else len(batch.answers)
        await self._verify_alone(batch, case)
        verdicts = case.verdicts(witness=self._scored > scored)
        self._failed(collected(self.name, [verdicts[number] for number in case.given_up]))
        return batch.verified([verdicts[number] for number in range(len(batch.answers))], _now())

    async def _verify_alone(self, batch: _Batch, case: Case) -> None:
        """One answer after the other, on a fresh actor that serves nothing else until they are done or it is lost."""
        while case.next is not None:
            actor = await self._turn(batch, self._dispatch.alone)
            try:
                while (number := case.next) is not None:
                    self._rejudged += 1
                    outcome = await self._ask(actor, [batch.answers[number]])
                    if isinstance(outcome, Loss):
                        case.lost(outcome)
                        break
                    case.verified(outcome.verdicts[0])
            finally:
                self._release(batch)

    async def _ask(self, actor: int, answers: Sequence[Answer]) -> Verification | Loss:
        """What the actor answers within the deadline, or how it was lost."""
        outcome = await self._outcome(
            actor, self._actors[actor].call(VerifierActor.verify, answers), self._settings.deadline_s
        )
        if not isinstance(outcome, Loss):
            self._scored += sum(verdict.status is Status.SCORED for verdict in outcome.verdicts)
            self._failed(outcome.failures)
        return outcome

    async def _outcome(self, actor: int, reference: Ref[R], deadline_s: float) -> R | Loss:
        """What the actor answers within the deadline, or how it was lost."""
        call, lost = _future(reference), self._lost[actor]
        try:
            either: set[asyncio.Future[Any]] = {call, lost}
            await asyncio.wait(either, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
            if call.done() and call.exception() is None:
                self._health[actor].verified()
                return call.result()
            if lost.done():
                return lost.result()
            if not call.done():
                self._kill_and_restart(actor, Loss.LATE)
                return Loss.LATE
            error = call.exception()
            assert error is not None
            if not isinstance(error, _DEATHS):
                raise ActorFailure(f"verifier {self.name} {actor}", error) from error
            self._kill_and_restart(actor, Loss.DIED)
            return Loss.DIED
        finally:
            call.cancel()

    async def _turn(self, batch: _Batch, enter: Callable[[_Batch], None]) -> int:
        """The actor that takes the batch, once one does; say `_release` when it is done. `enter` is how it queues."""
        if batch.abandoned:
            raise asyncio.CancelledError
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._turns[batch] = turn
        enter(batch)
        self._pump()
        try:
            actor = await turn
            batch.begun = _now() if batch.begun is None else batch.begun
            return actor
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
                self._kill_and_restart(step.actor, Loss.KILLED)
            elif not (turn := self._turns[step.batch]).done():
                turn.set_result(step.actor)

    # --- actors -------------------------------------------------------------------------------------------------------

    def _kill_and_restart(self, actor: int, why: Loss) -> None:
        """The keeper will kill it and start it again."""
        self._dispatch.down(actor)
        if not self._to_be_killed[actor].done():
            self._to_be_killed[actor].set_result(why)

    async def _keep(self, number: int) -> None:
        """Start the actor, watch it, and start it again when it is lost."""
        try:
            while await self._start(number):
                why, words = await self._watch(number)
                self._clear_up(number, why, words)
                await asyncio.sleep(self._health[number].back_off_s)
                self._health[number].restarting()
                self._actors[number] = self._create(number, True)
        except Exception as error:  # noqa: BLE001 - without its keeper an actor is lost for good
            self._fail(ActorFailure(f"verifier {self.name} {number}", error))

    async def _start(self, number: int) -> bool:
        """Start the actor, again and again if need be; False if that has ended the run."""
        health, deadline_s = self._health[number], self._settings.start_deadline_s
        while True:
            try:
                notes = await _within(deadline_s, self._actors[number].call(VerifierActor.start), "start")
                break
            except UserError as error:
                self._fail(unwrapped(error))
                return False
            except Exception as error:  # noqa: BLE001 - whatever it is, a few more attempts and it ends the run
                self._actors[number].kill()
                health.start_failed()
                if health.given_up:
                    self._fail(ActorFailure(f"verifier {self.name} {number}", error))
                    return False
                self._restarts += 1
                what = f"verifier {self.name} {number} did not start ({shortly(error)}): it is restarted."
                self._note(what + noted(error))
                await asyncio.sleep(health.back_off_s)
                health.restarting()
                self._actors[number] = self._create(number, True)
        health.started()
        self.notes += [note for note in notes or () if note not in self.notes]
        loop = asyncio.get_running_loop()
        self._to_be_killed[number], self._lost[number] = loop.create_future(), loop.create_future()
        self._dispatch.up(number)
        self._first_starts[number].set()
        self._pump()
        return True

    async def _watch(self, number: int) -> tuple[Loss, str]:
        """Returns when the actor has died, does not answer or has to be killed: how it was lost, and in words."""
        alive = _future(self._actors[number].call(VerifierActor.alive))
        checks = asyncio.create_task(self._check(number))
        killing = self._to_be_killed[number]
        try:
            ends: set[asyncio.Future[Any]] = {alive, checks, killing}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if killing.done() and killing.result() is not Loss.DIED:
                late = f"missed its deadline ({self._settings.deadline_s:g} s a group)"
                return killing.result(), late if killing.result() is Loss.LATE else ""
            if alive.done() and not isinstance(error := alive.exception(), ActorDiedError | None):
                return Loss.DIED, f"died ({shortly(error)})"
            if alive.done() or killing.done():
                return Loss.DIED, "died"
            return Loss.LATE, "did not answer its health checks"
        finally:
            for waiting in (alive, checks):
                waiting.cancel()

    async def _check(self, number: int) -> None:
        """Ask regularly whether the actor's event loop runs; returns when it counts as dead."""
        health, actor = self._health[number], self._actors[number]
        while health.state is not State.DEAD:
            await asyncio.sleep(self._checks.period_s)
            try:
                await _within(self._checks.deadline_s, actor.call(VerifierActor.ping), "answer")
                health.answered()
                self._dispatch.resume(number)
            except Exception:  # noqa: BLE001 - no answer is no answer
                health.missed()
                self._dispatch.pause(number)
            self._pump()

    def _clear_up(self, number: int, why: Loss, words: str) -> None:
        """Kill what is left of the actor; what it worked on is told."""
        self._dispatch.down(number)
        self._lost[number].set_result(Loss.KILLED if self._to_be_killed[number].done() and why is Loss.LATE else why)
        self._actors[number].kill()
        self._health[number].died(by_itself=why is Loss.DIED)
        if words:  # else it was well, and made room for a fresh one
            self._restarts += 1
            self._note(f"verifier {self.name} {number} {words}; it is restarted, and what it had is verified again.")


def _now() -> float:
    """Seconds of the event loop's clock."""
    return asyncio.get_running_loop().time()


def _future(ref: Ref[R]) -> asyncio.Future[R]:
    return asyncio.ensure_future(cast(Awaitable[R], ref))


async def _within(deadline_s: float, call: Ref[R], what: str) -> R:
    try:
        async with asyncio.timeout(deadline_s) as limit:
            return await call
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"it did not {what} within {deadline_s:g} s") from None
        raise
