"""Keeps one host of a pool: starts it, watches it, and starts it again when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from reprise.core.errors import UserError
from reprise.rewards.base import Answer
from reprise.rewards.pool.case import Loss
from reprise.rewards.pool.dispatch import Dispatch
from reprise.rewards.pool.health import Health, State
from reprise.rewards.pool.host import Host, HostDied, shortly
from reprise.rewards.scoring import Verification
from reprise.rewards.settings import VerifierSettings


@dataclass(frozen=True, slots=True)
class Checks:
    """Health checks: seconds between two, and seconds an answer may take (many, because machines may be busy)."""

    period_s: float = 10.0
    deadline_s: float = 30.0


@dataclass(eq=False)
class Keeper:
    """One host through all its starts, by its number in `dispatch`, which learns when it may have work.

    what     its name in messages, such as `verifier math 0`
    create   makes the host; the flag says whether there was one before
    changed  called when `dispatch` may have something to do
    note     called with a line whenever the host is lost and restarted
    notes    its verifier's, once started
    started  set for good with the first start
    """

    what: str
    number: int
    settings: VerifierSettings
    create: Callable[[int, bool], Host]
    dispatch: Dispatch
    changed: Callable[[], None]
    note: Callable[[str], None]
    health: Health
    checks: Checks
    notes: Sequence[str] = ()
    started: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.host = self.create(self.number, False)
        self._killing: asyncio.Future[tuple[Loss, str]]  # set when the host has to be killed: why, and in words
        self._lost: asyncio.Future[Loss]  # set when it is gone, for what it was working on

    async def keep(self) -> None:
        """Keep the host up until this is cancelled. Raises what its start failed with when that is final."""
        await self._start()
        while True:
            why, words = await self._watch()
            self._clear_up(why, words)
            await self._back_off()
            await self._start()

    async def verify(self, answers: Sequence[Answer]) -> Verification | Loss:
        """What the host answers within the deadline, or how it was lost. Raises what is no loss."""
        call, lost = asyncio.ensure_future(self.host.verify(answers)), self._lost
        try:
            either: set[asyncio.Future[Any]] = {call, lost}
            await asyncio.wait(either, timeout=self.settings.deadline_s, return_when=asyncio.FIRST_COMPLETED)
            error = call.exception() if call.done() else None
            if call.done() and error is None:
                self.health.verified()
                return call.result()
            if lost.done():
                return lost.result()
            if error is None:
                return self.kill(Loss.LATE, f"missed its deadline ({self.settings.deadline_s:g} s a group)")
            if isinstance(error, HostDied):
                return self.kill(Loss.DIED, _died(str(error)))
            raise error
        finally:
            call.cancel()

    def kill(self, why: Loss, words: str = "") -> Loss:
        """Have the host killed and started again. `words`: what happened to it; none if it was well."""
        self.dispatch.down(self.number)
        if not self._killing.done():
            self._killing.set_result((why, words))
        return why

    async def _start(self) -> None:
        """Start the host, again and again if need be."""
        while True:
            limit = asyncio.timeout(self.settings.start_deadline_s)
            try:
                async with limit:
                    self.notes = await self.host.start()
                break
            except Exception as raised:  # noqa: BLE001 - whatever it is, a few more attempts and it is final
                late = TimeoutError(f"it did not start within {self.settings.start_deadline_s:g} s (start_deadline_s)")
                error = late if limit.expired() else raised
                self.host.kill()
                self.health.start_failed()
                if self.health.given_up or isinstance(error, UserError):
                    raise error from None
                traceback = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
                self.note(f"{self.what} did not start ({shortly(error)}): it is restarted.{traceback}")
                await self._back_off()
        self.health.started()
        loop = asyncio.get_running_loop()
        self._killing, self._lost = loop.create_future(), loop.create_future()
        self.dispatch.up(self.number)
        self.started.set()
        self.changed()

    async def _watch(self) -> tuple[Loss, str]:
        """Returns when the host has ended, does not answer or has to be killed: how it was lost, and in words."""
        ended, checks = asyncio.ensure_future(self.host.ended()), asyncio.ensure_future(self._check())
        try:
            ends: set[asyncio.Future[Any]] = {ended, checks, self._killing}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._killing.done():
                return self._killing.result()
            if ended.done():
                return Loss.DIED, _died(ended.result())
            return Loss.LATE, "did not answer its health checks"
        finally:
            ended.cancel()
            checks.cancel()

    async def _check(self) -> None:
        """Ask regularly whether the host answers; returns when it counts as dead."""
        while self.health.state is not State.DEAD:
            await asyncio.sleep(self.checks.period_s)
            try:
                await asyncio.wait_for(self.host.alive(), self.checks.deadline_s)
                self.health.answered()
                self.dispatch.resume(self.number)
            except Exception:  # noqa: BLE001 - no answer is no answer
                self.health.missed()
                self.dispatch.pause(self.number)
            self.changed()

    def _clear_up(self, why: Loss, words: str) -> None:
        """Kill what is left of the host, and let what it worked on know how it was lost."""
        self.dispatch.down(self.number)
        # Of a late batch's neighbours the pool knows only that their host was killed.
        self._lost.set_result(Loss.KILLED if self._killing.done() and why is Loss.LATE else why)
        self.host.kill()
        self.health.died(by_itself=why is Loss.DIED)
        if words:  # else it was well, and made room for a fresh one
            self.note(f"{self.what} {words}; it is restarted, and what it had is verified again.")

    async def _back_off(self) -> None:
        await asyncio.sleep(self.health.back_off_s)
        self.health.restarting()
        self.host = self.create(self.number, True)


def _died(how: str) -> str:
    return f"died ({how})" if how else "died"
