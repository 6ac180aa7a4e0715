"""The verifier actor: one verifier of the recipe, as a host of the pool that queues for it, watches and restarts it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ray.exceptions import (
    ActorDiedError,
    ActorUnschedulableError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    TaskUnschedulableError,
    WorkerCrashedError,
)

from reprise.actors.errors import ActorFailure, unwrapped
from reprise.actors.remote import Actor
from reprise.actors.threaded import ThreadedActor
from reprise.core.errors import UserError
from reprise.rewards.base import Answer
from reprise.rewards.infra_errors import InfraError
from reprise.rewards.pool.health import Patience
from reprise.rewards.pool.host import HostDied, shortly
from reprise.rewards.pool.keeper import Checks
from reprise.rewards.pool.verifier_pool import VerifierPool
from reprise.rewards.scoring import Scorer, Verification, started
from reprise.rewards.settings import RewardSettings, VerifierSettings

# What says that a call has failed because its actor is gone, not because of what it was asked.
_DEATHS = (
    RayActorError,
    ActorUnschedulableError,
    TaskUnschedulableError,
    NodeDiedError,
    OutOfMemoryError,
    WorkerCrashedError,
)


class VerifierActor(ThreadedActor):
    """Verifies answers whose tasks name `rewards.verifiers.<name>`, as many batches at a time as its `concurrency`.

    Deadlines are the pool's: a thread that hangs cannot be ended, but an actor can.
    """

    def __init__(self, settings: RewardSettings, name: str) -> None:
        super().__init__(settings.verifiers[name].concurrency)
        self._arguments = name, settings.verifiers[name], settings.retries, settings.unparseable
        self._scorer: Scorer | None = None

    async def start(self) -> list[str]:
        """Build the verifier and acquire what it needs (worker processes, for one), which may take long.

        Returns what users must know of how it verifies here (`Verifier.notes`).
        """
        self._scorer, notes = await self._run(lambda: started(*self._arguments))
        return notes

    async def ping(self) -> None:
        """Answers at once while the event loop runs."""

    async def verify(self, answers: Sequence[Answer]) -> Verification:
        """One verdict for each answer, in their order, and what kept others from being verified."""
        assert self._scorer is not None
        return await self._run(partial(self._scorer.verify, answers))

    async def close(self) -> None:
        """Release what the verifier holds."""
        if self._scorer is not None:
            await self._run(self._scorer.close)


class ActorHost:
    """A host that is a Ray actor. `name` is its name in errors, such as `verifier math 0`."""

    def __init__(self, name: str, actor: Actor[VerifierActor]) -> None:
        self._name, self._actor = name, actor

    async def start(self) -> Sequence[str]:
        try:
            return await self._actor.call(VerifierActor.start)
        except Exception as error:  # noqa: BLE001 - whatever it is, the pool decides
            raise unwrapped(error) from None

    async def verify(self, answers: Sequence[Answer]) -> Verification:
        try:
            return await self._actor.call(VerifierActor.verify, answers)
        except _DEATHS as error:
            raise HostDied(_how(error)) from error
        except Exception as error:
            raise ActorFailure(self._name, error) from error

    async def alive(self) -> None:
        await self._actor.call(VerifierActor.ping)

    async def ended(self) -> str:
        try:
            await self._actor.call(VerifierActor.alive)
        except Exception as error:  # noqa: BLE001 - it returns in no other way
            return _how(error)
        return ""

    async def close(self) -> None:
        await self._actor.call(VerifierActor.close)

    def kill(self) -> None:
        self._actor.kill()


def pool_of_actors(
    name: str,
    settings: VerifierSettings,
    create: Callable[[int, bool], Actor[VerifierActor]],
    note: Callable[[str], None],
    failed: Callable[[Sequence[InfraError]], None],
    fail: Callable[[BaseException], None],
    patience: Patience | None = None,
    checks: Checks | None = None,
) -> VerifierPool:
    """The pool of `rewards.verifiers.<name>`; arguments are those of `VerifierPool`.

    create  makes the actor with this number; the flag says whether there was one before
    fail    called with what ends the run: an actor that cannot be restarted, or starts with a UserError
    """

    def host(number: int, again: bool) -> ActorHost:
        return ActorHost(f"verifier {name} {number}", create(number, again))

    def end(number: int, error: Exception) -> None:
        fail(error if isinstance(error, UserError) else ActorFailure(f"verifier {name} {number}", error))

    return VerifierPool(name, settings, host, note, failed, end, patience, checks)


def _how(death: Exception) -> str:
    return "" if isinstance(death, ActorDiedError) else shortly(unwrapped(death))
