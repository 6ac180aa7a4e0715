"""Actors as an asynchronous context: created where a plan says, watched while they work, and gone at the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, Self

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.errors import ActorFailure, unwrapped
from buffer.errors import UserError
from launch.nodes import Node, Placement, Plan, local_nodes

_CLOSE_DEADLINE_S = 15.0
_RAYS_OWN = ("CPU", "GPU", "memory", "object_store_memory")


def on_a_cluster() -> bool:
    """Whether RAY_ADDRESS names a cluster to run on; Ray sets it for a submitted job."""
    return "RAY_ADDRESS" in os.environ


def join_ray() -> None:
    """Join the cluster that RAY_ADDRESS names, or start Ray on this machine alone."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if on_a_cluster():
        ray.init(**quiet)
    else:
        ray.init(address="local", include_dashboard=False, **quiet)


def ray_nodes() -> tuple[list[Node], list[str]]:
    """The nodes of the cluster, this process's first, and their Ray ids; call after `join_ray`."""
    here = ray.get_runtime_context().get_node_id()
    alive = sorted((n for n in ray.nodes() if n["Alive"]), key=lambda n: n["NodeID"] != here)
    nodes = []
    for node in alive:
        resources = node["Resources"]
        memory = local_nodes()[0].memory if node["NodeID"] == here else resources.get("memory", 0.0)
        host = node["NodeManagerHostname"]
        custom = {n: a for n, a in resources.items() if n not in _RAYS_OWN and not n.startswith("node:")}
        nodes.append(Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0), memory, host, custom))
    return nodes, [node["NodeID"] for node in alive]


class ActorSet:
    """The actors of one run. A subclass creates them in `_begin`, and says there how each is started.

    When a watched actor dies, the body of the context is cancelled and the context raises `ActorFailure`. Leaving
    closes all actors and kills what does not close in time.
    """

    def __init__(self, plan: Plan, node_ids: list[str]) -> None:
        self._plan = plan
        self._node_ids = node_ids
        self._actors: dict[str, Any] = {}
        self._started: dict[str, asyncio.Future[Any]] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None

    def _begin(self) -> None:
        """Create the actors, and begin to start them: an entry of `_started` for each of `_actors`."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._body = asyncio.current_task()
        self._begin()
        self._watchers = [asyncio.create_task(self._watch(name, actor)) for name, actor in self._actors.items()]
        return self

    def _create(self, placed: Placement, cls: type, *arguments: Any) -> Any:
        self._actors[placed.name] = self._remote(placed, cls, *arguments)
        return self._actors[placed.name]

    def _remote(self, placed: Placement, cls: type, *arguments: Any, elsewhere: bool = False) -> Any:
        """A new actor on its planned node or, if it may be `elsewhere` and that node is gone, on any that has room."""
        options = {
            "num_cpus": placed.cpus,
            "num_gpus": placed.gpus,
            "resources": dict(placed.resources),
            "scheduling_strategy": NodeAffinitySchedulingStrategy(self._node_ids[placed.node], soft=elsewhere),
            "runtime_env": {"env_vars": environment(placed)},
            "max_concurrency": 1000,
        }
        return ray.remote(cls).options(**options).remote(*arguments)

    async def _within(self, work: Awaitable[Any], what: str, deadline_s: float) -> None:
        try:
            async with asyncio.timeout(deadline_s):
                await work
        except TimeoutError:
            raise TimeoutError(f"{what} did not start within {deadline_s:g} s; is the cluster busy?") from None

    def nodes(self) -> dict[str, list[str]]:
        """Names of the actors on each Ray node, by the node's id."""
        return {
            node_id: [p.name for p in self._plan.on(i) if p.role != "driver"]
            for i, node_id in enumerate(self._node_ids)
        }

    def fail(self, error: BaseException) -> None:
        """End the body of the context with `error`; the first one counts."""
        if self._failure is None:
            self._failure = unwrapped(error)
            if self._body is not None:
                self._body.cancel()

    async def _watch(self, name: str, actor: Any) -> None:
        """Both calls end the run if they raise; `alive` returns in no other way."""
        try:
            await asyncio.shield(self._started[name])
            await actor.alive.remote()
        except UserError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001 - whatever an actor dies of ends the run
            self.fail(ActorFailure(name, error))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pending = [*self._watchers, *self._started.values()]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await self._close()
        if self._failure is not None and isinstance(error, asyncio.CancelledError):
            if self._body is not None:
                self._body.uncancel()
            raise self._failure from None
        if isinstance(error, RayActorError | RayTaskError):
            raise unwrapped(error) from error

    async def _all_actors(self) -> list[Any]:
        """Whatever has to be closed."""
        return list(self._actors.values())

    async def _close(self) -> None:
        """Ask every actor to close; whatever is left after the deadline is killed."""
        actors = await self._all_actors()
        closing = [asyncio.ensure_future(actor.close.remote()) for actor in actors]
        await asyncio.wait(closing, timeout=_CLOSE_DEADLINE_S)
        for call in closing:
            if call.done() and not call.cancelled():
                call.exception()  # a dead actor cannot close: retrieved, so that asyncio does not report it as lost
        for actor in actors:
            ray.kill(actor)


def environment(placed: Placement) -> dict[str, str]:
    """Environment variables of an actor's process: threads as many as its CPUs, no network, quiet libraries."""
    threads = str(max(1, int(placed.cpus)))
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
    common = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **quiet}
    if placed.role == "engine":
        return common | {
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": "WARNING",
            # Binding by vLLM pins threads to cores it believes to own; here engines share cores with the learner.
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        }
    if placed.role == "learner":
        return common | {"DS_ACCELERATOR": "cuda" if placed.gpus else "cpu"}
    return common
