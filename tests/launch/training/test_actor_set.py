"""How the context of a run's actors ends, with stand-ins for the actors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from stand_ins import local

from reprise.actors.errors import ActorFailure
from reprise.core.errors import RunError, UserError
from reprise.launch.placement.nodes import Node, Placement, Plan
from reprise.launch.training import actor_set
from reprise.launch.training.actor_set import ActorSet

NAMES = ("engine 0", "learner 0")
PLAN = Plan((Node(2, 0, 1),), (Placement("engine", 0), Placement("learner", 0)))


class StandIn:
    """An actor that starts when it may, and lives until `dies` has an error."""

    def __init__(self, name: str, events: list[str]) -> None:
        loop = asyncio.get_running_loop()
        self.starts, self.dies = loop.create_future(), loop.create_future()
        self.starts.set_result(None)
        self._name, self._events = name, events

    async def alive(self) -> None:
        await self.dies

    async def close(self) -> None:
        self._events.append(f"{self._name} closes")


class Actors(ActorSet):
    def __init__(self, events: list[str]) -> None:
        super().__init__(PLAN, Path("logs"), "run", 1.0, events.append)
        self._events = events

    def _begin(self) -> None:
        self.stand_ins = {name: StandIn(name, self._events) for name in NAMES}
        self._actors = {name: local(actor) for name, actor in self.stand_ins.items()}
        self._started = {name: actor.starts for name, actor in self.stand_ins.items()}

    def __getitem__(self, name: str) -> StandIn:
        return self.stand_ins[name]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened, in order."""
    happened: list[str] = []

    async def explain(failure: ActorFailure, log: Path, *_: Any) -> None:
        happened.append(f"{failure.actor} is explained by {log}")

    class Reserved:
        plan = PLAN

        def release(self) -> None:
            happened.append("releases")

    async def reserve(plan: Plan, *_: Any, **__: Any) -> Reserved:
        return Reserved()

    monkeypatch.setattr(actor_set, "explain", explain)
    monkeypatch.setattr(actor_set, "reserve", reserve)
    monkeypatch.setattr(ray, "kill", lambda actor: happened.append("kill"))
    return happened


def ends(events: list[str], body: Callable[[Actors], Awaitable[None]]) -> BaseException | None:
    """What the context raises when `body` is run in it; what is due at an early end is noted."""

    async def early() -> None:
        events.append("saves")
        await asyncio.sleep(0)

    async def go() -> None:
        async with Actors(events) as actors:
            actors.at_early_end = early
            await asyncio.sleep(0)
            await body(actors)

    try:
        asyncio.run(go())
    except BaseException as error:  # noqa: BLE001 - looked at by the test
        return error
    return None


CLOSED = ["engine 0 closes", "learner 0 closes", "kill", "kill", "releases"]


def test_a_run_that_reaches_its_end_saves_nothing_more(events: list[str]) -> None:
    async def body(actors: Actors) -> None:
        pass

    assert ends(events, body) is None
    assert events == CLOSED


def test_when_an_engine_dies_the_run_is_saved_closed_and_explained_by_its_log(events: list[str]) -> None:
    async def body(actors: Actors) -> None:
        actors["engine 0"].dies.set_exception(RuntimeError("the engine's core process has died"))
        await asyncio.Event().wait()

    error = ends(events, body)
    assert isinstance(error, ActorFailure)
    assert error.actor == "engine 0"
    assert events == ["saves", *CLOSED, "engine 0 is explained by logs/engine-0.log"]


def test_when_a_learner_dies_nobody_is_left_to_save(events: list[str]) -> None:
    async def body(actors: Actors) -> None:
        actors["learner 0"].dies.set_exception(RuntimeError("killed"))
        await asyncio.Event().wait()

    assert isinstance(ends(events, body), ActorFailure)
    assert "saves" not in events


def test_what_follows_from_a_death_does_not_hide_it(events: list[str]) -> None:
    async def body(actors: Actors) -> None:
        asyncio.get_running_loop().call_later(0.05, actors["engine 0"].dies.set_exception, RuntimeError("gone"))
        raise RunError("publishing version 3 failed: engine 0 gave no answer")

    assert "engine 0 has failed: RuntimeError: gone" in str(ends(events, body))


def test_an_error_that_names_a_living_actor_names_its_log(events: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_set, "_NOTICE_S", 0.01)

    async def body(actors: Actors) -> None:
        raise RunError("publishing version 3 failed: engine 0: no such layer")

    assert str(ends(events, body)).endswith("engine 0: no such layer\nlog of engine 0: logs/engine-0.log")


def test_a_stopped_run_is_saved_and_closed(events: list[str]) -> None:
    async def body(actors: Actors) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()

    assert isinstance(ends(events, body), asyncio.CancelledError)
    assert events == ["saves", *CLOSED]


def test_a_second_stop_ends_the_saving_and_closes_all_the_same(events: list[str]) -> None:
    async def body(actors: Actors) -> None:
        task = asyncio.current_task()
        assert task is not None

        async def early() -> None:
            events.append("saves")
            task.cancel()
            await asyncio.Event().wait()

        actors.at_early_end = early
        task.cancel()
        await asyncio.Event().wait()

    assert isinstance(ends(events, body), asyncio.CancelledError)
    assert events == ["saves", *CLOSED]


def test_a_run_whose_actors_cannot_be_created_keeps_nothing(events: list[str]) -> None:
    class Failing(Actors):
        def _begin(self) -> None:
            raise UserError("no such class")

    async def go() -> None:
        async with Failing(events):
            pass

    with pytest.raises(UserError):
        asyncio.run(go())
    assert events == ["releases"]


def test_what_is_reserved_is_given_back_though_closing_is_cut_short(
    events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_short(actors: Actors) -> None:
        raise asyncio.CancelledError

    async def body(actors: Actors) -> None:
        pass

    monkeypatch.setattr(Actors, "_close", cut_short)
    assert isinstance(ends(events, body), asyncio.CancelledError)
    assert events == ["releases"]


def test_an_actor_that_is_still_starting_is_killed_and_not_asked_to_close(events: list[str]) -> None:
    class Starting(Actors):
        def _begin(self) -> None:
            super()._begin()
            self._started["engine 0"] = asyncio.get_running_loop().create_future()

    async def go() -> None:
        async with Starting(events):
            await asyncio.sleep(0)
            raise UserError("a prompt is too long")

    with pytest.raises(UserError):
        asyncio.run(go())
    assert events == ["learner 0 closes", "kill", "kill", "releases"]


@pytest.mark.parametrize("error", [ActorFailure("learner 1", RuntimeError("no such layer")), UserError("no such file")])
def test_a_rank_that_cannot_start_is_raised_as_what_it_is_for_all_ranks(events: list[str], error: Exception) -> None:
    class Failing(Actors):
        def _begin(self) -> None:
            super()._begin()
            self._started["learner 0"] = asyncio.get_running_loop().create_future()
            self._started["learner 0"].set_exception(error)

    async def go() -> None:
        async with Failing(events):
            await asyncio.Event().wait()

    with pytest.raises(type(error)) as raised:
        asyncio.run(go())
    assert raised.value is error


def test_a_deadline_that_passed_is_explained_in_a_sentence(events: list[str]) -> None:
    async def body(actors: Actors) -> None:
        await actors._within(asyncio.Event().wait(), "engines", "x.start_deadline_s", 0.01)

    assert str(ends(events, body)) == (
        "engines did not start within x.start_deadline_s = 0.01 s; is the cluster busy? "
        "--set x.start_deadline_s=… raises it; what they said: logs"
    )
