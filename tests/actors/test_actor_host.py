"""A verifier actor as a host: what becomes of its errors. The actor is stood in for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError

from reprise.actors.errors import ActorFailure
from reprise.actors.remote import Actor
from reprise.actors.verifier import ActorHost, pool_of_actors
from reprise.core.errors import UserError
from reprise.rewards.pool.health import Patience
from reprise.rewards.pool.host import HostDied
from reprise.rewards.settings import VerifierSettings


class Handle:
    """The handle of an actor of which every call raises `error`."""

    def __init__(self, error: Exception) -> None:
        self.start = self.verify = self.alive = SimpleNamespace(remote=self._raise)
        self._error = error

    async def _raise(self, *arguments: Any) -> None:
        raise self._error


def raised(error: Exception, call: Callable[[ActorHost], Awaitable[object]]) -> BaseException:
    """What a host makes of the error of its actor."""

    async def run() -> BaseException | None:
        call_of_it = asyncio.ensure_future(call(ActorHost("verifier mine 0", Actor(Handle(error)))))
        await asyncio.wait([call_of_it])
        return call_of_it.exception()

    found = asyncio.run(run())
    assert isinstance(found, BaseException)
    return found


def through_ray(error: Exception) -> RayTaskError:
    return RayTaskError("verify", "a remote traceback", error).as_instanceof_cause()


def test_what_the_actor_itself_raises_ends_the_run_with_its_cause() -> None:
    error = raised(through_ray(ValueError("no verifier raises this far")), lambda host: host.verify([]))
    assert isinstance(error, ActorFailure)
    assert str(error) == "verifier mine 0 has failed: ValueError: no verifier raises this far"


@pytest.mark.parametrize(
    ("death", "how"), [(ActorDiedError(), ""), (ActorUnavailableError("gone", b"x" * 16), "Actor")]
)
def test_a_dead_actor_is_a_host_that_died(death: Exception, how: str) -> None:
    error = raised(death, lambda host: host.verify([]))
    assert isinstance(error, HostDied)
    assert str(error).startswith(how)
    assert bool(str(error)) == bool(how)

    async def ended() -> str:
        return await ActorHost("verifier mine 0", Actor(Handle(death))).ended()

    assert asyncio.run(ended()) == str(error)


def test_what_a_start_fails_with_comes_without_ray_s_wrapping() -> None:
    cause = RuntimeError("the service is down")
    assert raised(through_ray(cause), lambda host: host.start()) is cause


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("there is nobody"), "there is nobody"),
        (RuntimeError("down"), "verifier mine 0 has failed: RuntimeError: down"),
    ],
)
def test_an_actor_that_cannot_start_ends_the_run(error: Exception, message: str) -> None:
    failures: list[BaseException] = []

    class Held(Actor[Any]):
        def kill(self) -> None:
            pass

    async def run() -> None:
        settings = VerifierSettings(use="x")
        pool = pool_of_actors(
            "mine", settings, lambda *_: Held(Handle(error)), print, lambda _: None, failures.append, Patience(starts=1)
        )
        pool.start()
        await asyncio.sleep(0.05)
        await pool.close(0.0)

    asyncio.run(run())
    assert [str(failure) for failure in failures] == [message]
