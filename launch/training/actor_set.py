"""Actors as an asynchronous context: created in what is reserved for them, watched while they work, gone at the end."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from reprise.actors.errors import ActorFailure, unwrapped
from reprise.actors.output import keeping_output, log_file
from reprise.actors.remote import Actor
from reprise.core.errors import RunError, UserError
from reprise.launch.placement.nodes import Placement, Plan, labels
from reprise.launch.placement.reservation import reserve
from reprise.launch.reporting.actor_logs import explain, processes_killed, shown

A = TypeVar("A")
P = ParamSpec("P")

CLOSE_DEADLINE_S = 15.0
_NOTICE_S = 2.5  # in which a death is noticed: engines are asked for their health every second


class ActorSet:
    """The actors of one run. A subclass creates them in `_begin`, and says there how each is started.

    Entering reserves what `plan` needs, for as long as the context lasts; if others hold it, `note` is called with who
    does, and `deadline_s` (`cluster.start_deadline_s`) is how long to wait for them. `name` is the run's.

    When a watched actor dies, the body of the context is cancelled and the context raises `ActorFailure`, with what the
    actor's log says of the cause. Leaving closes all actors and kills what does not close in time.
    """

    def __init__(self, plan: Plan, logs: Path, name: str, deadline_s: float, note: Callable[[str], None]) -> None:
        self._plan = plan
        self._logs = logs
        self._reserving = partial(reserve, name=name, deadline_s=deadline_s, note=note)
        self._actors: dict[str, Actor[Any]] = {}
        self._started: dict[str, asyncio.Future[Any]] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None
        self.at_early_end: Callable[[], Awaitable[None]] | None = None  # awaited before the actors are closed

    def _begin(self) -> None:
        """Create the actors, and begin to start them: an entry of `_started` for each of `_actors`."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._body = asyncio.current_task()
        self._killed_before = processes_killed()
        self._reserved = await self._reserving(self._plan)
        self._plan = self._reserved.plan
        try:
            self._begin()
        except BaseException:
            self._reserved.release()
            raise
        self._watchers = [asyncio.create_task(self._watch(name, actor)) for name, actor in self._actors.items()]
        return self

    def _create(self, placed: Placement, cls: Callable[P, A], *args: P.args, **kwargs: P.kwargs) -> Actor[A]:
        actor = self._remote(placed, False, cls, *args, **kwargs)
        self._actors[placed.name] = actor
        return actor

    def _remote(
        self, placed: Placement, elsewhere: bool, cls: Callable[P, A], *args: P.args, **kwargs: P.kwargs
    ) -> Actor[A]:
        """A new actor on its planned node or, if it may be `elsewhere` and that node is gone, on any that has room.

        The first of its name has it for others to see, in a namespace of its own.
        """
        options = {
            "name": None if elsewhere else placed.name,
            "namespace": self._reserved.namespace,
            "num_cpus": placed.cpus,
            "num_gpus": placed.gpus,
            "resources": dict(placed.resources),
            "scheduling_strategy": self._reserved.strategy(placed, elsewhere),
            "runtime_env": {"env_vars": environment(placed)},
            "max_concurrency": 1000,
        }
        logged: Any = keeping_output(cast(type, cls), log_file(self._logs, placed.name))
        return Actor(ray.remote(logged).options(**options).remote(*args, **kwargs))

    async def _within(self, work: Awaitable[object], what: str, key: str, deadline_s: float) -> None:
        try:
            async with asyncio.timeout(deadline_s):
                await work
        except TimeoutError:
            raise RunError(
                f"{what} did not start within {key} = {deadline_s:g} s; is the cluster busy? --set {key}=… raises it; "
                f"what they said: {shown(self._logs)}"
            ) from None

    def nodes(self) -> dict[str, list[str]]:
        """Names of the actors on each node, by its host and address."""
        return {
            label: [p.name for p in self._plan.on(i) if p.role != "driver"]
            for i, label in enumerate(labels(self._plan.nodes))
        }

    def fail(self, error: BaseException) -> None:
        """End the body of the context with `error`; the first one counts."""
        if self._failure is None:
            self._failure = unwrapped(error)
            if self._body is not None:
                self._body.cancel()

    async def _watch(self, name: str, actor: Actor[Any]) -> None:
        """Both calls end the run if they raise; `alive` returns in no other way."""
        try:
            await asyncio.shield(self._started[name])
            await actor.handle.alive.remote()
        except (UserError, ActorFailure) as error:  # a rank's failure to start is that of all ranks
            self.fail(error)
        except Exception as error:  # noqa: BLE001 - whatever an actor dies of ends the run
            self.fail(ActorFailure(name, error))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        body, self._body = self._body, None  # `fail` ends nothing any more
        if isinstance(error, RayError | RunError | TimeoutError):  # perhaps because an actor died: its watcher tells
            await asyncio.wait(self._watchers, timeout=_NOTICE_S, return_when=asyncio.FIRST_COMPLETED)
        pending = [*self._watchers, *self._started.values()]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        try:
            if error is not None and self.at_early_end is not None and not self._learner_failed():
                await self.at_early_end()
        finally:
            try:
                await self._close()
            finally:
                self._reserved.release()
        if self._failure is not None and isinstance(error, Exception | asyncio.CancelledError):
            if body is not None and isinstance(error, asyncio.CancelledError):
                body.uncancel()
            await self._explain(self._failure)
            raise self._failure from None
        if isinstance(error, ActorFailure):
            await self._explain(error)
        elif isinstance(error, RunError) and (named := self._named_in(str(error))):
            raise RunError(f"{error}\nlog of {named}: {shown(log_file(self._logs, named))}") from None
        if isinstance(error, TimeoutError) and str(error):
            raise RunError(str(error)) from None  # which deadline passed is what users need to know, not where
        if isinstance(error, RayActorError | RayTaskError):
            raise unwrapped(error) from error

    def _learner_failed(self) -> bool:
        return isinstance(self._failure, ActorFailure) and self._failure.actor.startswith("learner")

    def _named_in(self, text: str) -> str | None:
        return next((name for name in self._actors if re.search(rf"\b{re.escape(name)}\b", text)), None)

    async def _explain(self, failure: BaseException) -> None:
        """Put what the failed actor's log says into its failure."""
        placed = {p.name: p for p in self._plan.placements}
        if isinstance(failure, ActorFailure) and (place := placed.get(failure.actor)) is not None:
            node = self._plan.nodes[place.node]
            await explain(failure, log_file(self._logs, place.name), node.id, node.host, self._killed_before)

    async def _close(self) -> None:
        """Ask every actor to close that has started; whatever is left after the deadline is killed."""
        actors = list(self._actors.values())
        busy = [self._actors[name] for name, start in self._started.items() if start.cancelled() or start.exception()]
        closing = [asyncio.ensure_future(a.handle.close.remote()) for a in actors if not any(a is b for b in busy)]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_DEADLINE_S)
        for call in closing:
            if call.done() and not call.cancelled():
                call.exception()  # a dead actor cannot close: retrieved, so that asyncio does not report it as lost
        for actor in actors:
            actor.kill()


def environment(placed: Placement) -> dict[str, str]:
    """Environment variables of an actor's process: threads as many as its CPUs, no network, quiet libraries."""
    threads = str(max(1, int(placed.cpus)))
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
    common = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **quiet}
    if placed.role == "engine":
        return common | {
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "INFO"),  # to the engine's log, not the screen
            # Binding by vLLM pins threads to cores it believes to own; here engines share cores with the learner.
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        }
    if placed.role == "learner":
        return common | {"DS_ACCELERATOR": "cuda" if placed.gpus else "cpu"}
    return common
