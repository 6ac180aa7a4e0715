"""A run's share of a cluster: a Ray placement group that has on every node of the plan what its actors need there.

The plan chooses the nodes, and each has its bundle, bound to it by its id: what must share a host does, without
`STRICT_PACK`. Ray grants all bundles or none, so two runs that start at once cannot each hold half of what they need.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray
from ray._private import state as ray_state
from ray.core.generated import gcs_pb2
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from reprise.core.errors import RunError
from reprise.launch.placement.held import Holder, held_by
from reprise.launch.placement.nodes import Node, Placement, Plan
from reprise.launch.placement.plan import bundles, place
from reprise.launch.placement.refusal import shortage

_TABLES: Any = gcs_pb2  # made when Ray is built: without types
_RAYS_OWN = ("CPU", "GPU", "memory", "object_store_memory")
_OF_A_GROUP = re.compile(r"_group_(\d+_)?[0-9a-f]{36}$")  # what a group has reserved is a resource of the node too
_NUMBERS = itertools.count(1)
_LOOK_S = 1.0
_GRANT_S = 10.0  # for what is free; somebody else may have been faster


def ray_nodes(free: bool = False) -> list[Node]:
    """The nodes of the cluster, this process's first, with all that they have or what of it is `free` now."""
    here = ray.get_runtime_context().get_node_id()
    available = ray_state.available_resources_per_node() if free else {}
    nodes = []
    for node in sorted((n for n in ray.nodes() if n["Alive"]), key=lambda n: n["NodeID"] != here):
        identity = node["NodeID"]
        there = {n: a for n, a in node["Resources"].items() if not _OF_A_GROUP.search(n)}
        if free:
            there = {n: available.get(identity, {}).get(n, 0.0) for n in there}
        custom = {n: a for n, a in there.items() if n not in _RAYS_OWN and not n.startswith("node:")}
        cpus, gpus, memory = (there.get(n, 0.0) for n in ("CPU", "GPU", "memory"))
        nodes.append(
            Node(cpus, gpus, memory, node["NodeManagerHostname"], custom, node["NodeManagerAddress"], identity)
        )
    return nodes


class Reservation:
    """What a run has reserved for the actors of `plan`, until `release`."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan = plan
        self.namespace = f"reprise-{uuid.uuid4().hex}"  # of its actors' names: others have actors of the same names
        parts = bundles(plan)
        self._bundle = {placed.name: index for index, part in enumerate(parts) for placed in part}
        self._group: PlacementGroup | None = None
        if parts:
            number = next(_NUMBERS)  # a name is taken until Ray has removed its group
            self._group = placement_group(
                [_summed(part) for part in parts],
                name=f"reprise {name}" + f" #{number}" * (number > 1),
                bundle_label_selector=[{"ray.io/node-id": plan.nodes[part[0].node].id} for part in parts],
            )

    async def granted(self, deadline_s: float) -> bool:
        """Whether Ray grants all of it in time."""
        if self._group is None:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._group.ready()
                return True
        return False

    def release(self) -> None:
        """Give everything back; actors that are still there are killed."""
        group, self._group = self._group, None
        if group is not None and ray.is_initialized():
            remove_placement_group(group)

    def strategy(
        self, placed: Placement, elsewhere: bool
    ) -> PlacementGroupSchedulingStrategy | NodeAffinitySchedulingStrategy:
        """Where an actor of the plan goes: into what is reserved on its node or, if it may be `elsewhere` and that node
        is gone, to any that has room."""
        node = self.plan.nodes[placed.node].id
        gone = elsewhere and all(n["NodeID"] != node for n in ray.nodes() if n["Alive"])
        if gone or self._group is None or placed.name not in self._bundle:
            return NodeAffinitySchedulingStrategy(node, soft=elsewhere)
        return PlacementGroupSchedulingStrategy(self._group, self._bundle[placed.name])


async def reserve(plan: Plan, name: str, deadline_s: float, note: Callable[[str], None]) -> Reservation:
    """Reserve what the plan needs, on other nodes where its own are taken, and wait for what others hold.

    plan        for the nodes with all that they have
    name        of the run, for others who wait for what it holds
    deadline_s  `cluster.start_deadline_s`
    note        called once, before waiting, with what is missing and who holds it

    Raises `RunError`, which says the same, at the deadline.
    """
    until = time.monotonic() + deadline_s
    waiting = False
    while True:
        free = ray_nodes(free=True)
        made = place(plan.placements, free, plan.together)
        if made is not None:
            reservation = Reservation(made, name)
            try:
                if await reservation.granted(min(_GRANT_S, max(_LOOK_S, until - time.monotonic()))):
                    return reservation
            except BaseException:
                reservation.release()
                raise
            reservation.release()
        why = _why_not(plan, free, made is not None)
        if time.monotonic() >= until:
            raise RunError(
                f"no place for this run within cluster.start_deadline_s = {deadline_s:g} s: {why}\n"
                "wait for them or end them, or set cluster.start_deadline_s to as long as this run may wait"
            )
        if not waiting:
            note(f"waiting at most cluster.start_deadline_s = {deadline_s:g} s for a place: {why}")
            waiting = True
        await asyncio.sleep(_LOOK_S)


def _why_not(plan: Plan, free: list[Node], refused: bool) -> str:
    """What is missing, then a line for each that holds some of it."""
    short = (
        "Ray did not grant what was free a moment ago" if refused else shortage(plan.placements, free, plan.together)
    )
    there = {node.id: node for node in ray_nodes()}
    known = [node for node in free if node.id in there]
    return f"{short}; held are\n" + held_by(plan.placements, [there[n.id] for n in known], known, holders())


def holders() -> list[Holder]:
    """Placement groups and actors that hold resources, of all jobs of the cluster, as Ray's GCS knows them."""
    gcs = ray_state.state._connect_and_get_accessor()
    jobs = {
        job["JobID"]: f"job {job['JobID']}, process {job['DriverPid']} on {job['DriverIPAddress']}: {job['Entrypoint']}"
        for job in ray_state.jobs()
    }
    actors = [_TABLES.ActorTableData.FromString(each) for each in gcs.get_actor_table(None, "ALIVE")]
    found = []
    for each in gcs.get_placement_group_table():
        group = _TABLES.PlacementGroupTableData.FromString(each)
        if group.state == _TABLES.PlacementGroupTableData.REMOVED:
            continue
        by_node: dict[str, dict[str, float]] = {}
        for bundle in group.bundles:
            amounts = by_node.setdefault(bundle.node_id.hex(), {})
            for name, amount in bundle.unit_resources.items():
                amounts[name] = amounts.get(name, 0.0) + amount
        for node, amounts in by_node.items():
            inside = [
                actor.name or actor.class_name
                for actor in actors
                if actor.placement_group_id == group.placement_group_id and actor.address.node_id.hex() == node
            ]
            job = group.creator_job_id.hex()
            found.append(Holder(f"placement group {group.name}", node, amounts, jobs.get(job, f"job {job}"), inside))
    for actor in actors:
        if not actor.placement_group_id:
            job = actor.job_id.hex()
            what = f"actor {actor.name or actor.class_name}"
            node = actor.address.node_id.hex()
            found.append(Holder(what, node, dict(actor.required_resources), jobs.get(job, f"job {job}")))
    return found


def _summed(part: list[Placement]) -> dict[str, float]:
    """What the actors ask for together, as Ray counts: memory in bytes, others in steps of 1e-4."""
    names = dict.fromkeys(name for placed in part for name in placed.amounts)
    amounts = {name: sum(placed.amounts.get(name, 0.0) for placed in part) for name in names}
    return {name: int(amount) if name == "memory" else round(amount, 4) for name, amount in amounts.items()}
