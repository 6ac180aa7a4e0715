"""Reservations on a real Ray of two nodes: what they keep from others, and what becomes of them when a node dies."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from waiting import eventually

from reprise.core.errors import RunError
from reprise.launch.placement.nodes import Actor, Plan
from reprise.launch.placement.plan import place
from reprise.launch.placement.reservation import Reservation, ray_nodes, reserve

pytestmark = [pytest.mark.engines, pytest.mark.slow, pytest.mark.timeout(240)]

GIB = 2**30
HERE = Path(__file__).parent
# The stand-in for another run: it reserves as runs do, has its actors in it, and lives until its input ends.
OTHER = """
import asyncio, sys, ray
from reprise.launch.placement.nodes import Actor
from reprise.launch.placement.plan import place
from reprise.launch.placement.reservation import ray_nodes, reserve

class Engine:
    def node(self): return ray.get_runtime_context().get_node_id()

ray.init(address=sys.argv[1], log_to_driver=False)
wanted = [Actor("driver", 0), Actor("learner", 0, 1, 0, 2**28), Actor("engine", 0, 1, 0, 2**28)]
reserved = asyncio.run(reserve(place(wanted, ray_nodes()), "other", 60, print))
actors = [
    ray.remote(Engine).options(num_cpus=p.cpus, name=p.name, namespace=reserved.namespace,
                               scheduling_strategy=reserved.strategy(p, False)).remote()
    for p in reserved.plan.placements[1:]
]
nodes = ray.get([actor.node.remote() for actor in actors])
assert nodes == [reserved.plan.nodes[p.node].id for p in reserved.plan.placements[1:]]
print("reserved", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """This process has joined a Ray of two nodes with a CPU each."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 2, "include_dashboard": False})
    try:
        made.add_node(num_cpus=1)
        ray.init(address=made.address, log_to_driver=False, logging_level=logging.ERROR)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def other(cluster: Cluster) -> Iterator[subprocess.Popen[str]]:
    """Another run, which holds both CPUs."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, cluster.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert "reserved" in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


def planned(*actors: Actor) -> Plan:
    made = place([Actor("driver", 0), *actors], ray_nodes())
    assert made is not None
    return made


def node_of(reserved: Reservation, number: int, elsewhere: bool = False) -> tuple[Any, str]:
    """A new actor for the placement with this number, and where it is."""

    class Echo:  # here, so that Ray's workers need not import this file
        def node(self) -> str:
            return str(ray.get_runtime_context().get_node_id())

    placed = reserved.plan.placements[number]
    options = {
        "num_cpus": placed.cpus,
        "num_gpus": placed.gpus,
        "scheduling_strategy": reserved.strategy(placed, elsewhere),
    }
    actor: Any = ray.remote(Echo).options(**options).remote()
    return actor, ray.get(actor.node.remote(), timeout=60)


def free_cpus() -> float:
    return sum(node.cpus for node in ray_nodes(free=True))


def test_a_run_that_waits_names_the_other_and_its_actors_and_ends_at_its_deadline(
    other: subprocess.Popen[str],
) -> None:
    notes: list[str] = []
    mine = planned(Actor("learner", 0, cpus=1, memory=GIB / 4))
    with pytest.raises(RunError) as ended:
        asyncio.run(reserve(mine, "mine", 2.0, notes.append))
    for said in (*notes, str(ended.value)):
        assert "= 2 s" in said
        assert "learner 0 needs 1 CPU, the largest node has 0 CPUs free" in said
        lines = [line for line in said.splitlines() if "placement group reprise other" in line]
        assert len(lines) == 2
        assert all("1 CPU, 0.25 GiB of memory by" in line for line in lines)
        assert {name for line in lines for name in ("learner 0", "engine 0") if f"({name})" in line} == {
            "learner 0",
            "engine 0",
        }
        assert all(f", process {other.pid} on" in line for line in lines)
    assert len(notes) == 1

    async def gone_after_a_while() -> Reservation:
        waiting = asyncio.create_task(reserve(mine, "mine", 60.0, notes.append))
        await asyncio.sleep(1.5)
        other.kill()
        return await waiting

    reserved = asyncio.run(gone_after_a_while())  # Ray removes the group of a driver that was killed
    assert node_of(reserved, 1)[1] == reserved.plan.nodes[reserved.plan.placements[1].node].id
    reserved.release()
    assert eventually(lambda: free_cpus() == 2)


@pytest.mark.full  # what becomes of an actor is seen without Ray in test_reservation.py
def test_a_lost_node_takes_what_was_on_it_and_leaves_the_rest(cluster: Cluster) -> None:
    reserved = asyncio.run(
        reserve(planned(Actor("learner", 0, cpus=1), Actor("verifier", 0, cpus=1)), "mine", 60.0, print)
    )
    assert free_cpus() == 0
    here, there = reserved.plan.nodes
    first, node = node_of(reserved, 1)
    assert node == here.id
    _, node = node_of(reserved, 2, elsewhere=True)
    assert node == there.id

    cluster.remove_node(cluster.list_all_nodes()[1], allow_graceful=False)
    assert eventually(lambda: len(ray_nodes()) == 1, 60)
    ray.kill(first)
    again, node = node_of(reserved, 1)
    assert node == here.id
    ray.kill(again)
    reserved.release()
    assert eventually(lambda: free_cpus() == 1)
    assert node_of(reserved, 2, elsewhere=True)[1] == here.id


@pytest.mark.full  # bundles are seen without Ray in test_plan.py
def test_each_of_two_gpus_is_shared_by_those_that_were_planned_on_it(cluster: Cluster) -> None:
    wanted = [Actor("verifier", i, gpus=part) for i, part in enumerate((0.4, 0.5, 0.6, 0.5))]
    reserved = asyncio.run(reserve(planned(*wanted), "mine", 60.0, print))
    actors = [node_of(reserved, 1 + i) for i in range(4)]  # all at once
    assert [node for _, node in actors] == [reserved.plan.nodes[0].id] * 4
