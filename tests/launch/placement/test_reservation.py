"""Reserving a plan: where it goes if others were there first, how long it waits and what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from reprise.core.errors import RunError
from reprise.launch.placement import reservation
from reprise.launch.placement.held import Holder
from reprise.launch.placement.nodes import Actor, Node, Plan
from reprise.launch.placement.plan import place
from reprise.launch.placement.reservation import reserve

GIB = 2**30
WANTED = [Actor("driver", 0), Actor("learner", 0, 1, 0, GIB), Actor("engine", 0, 1, 0, GIB)]
OTHER = Holder("placement group reprise other", "a", {"CPU": 2}, "job 02: python other.py", ("engine 0",))
ALL = [Node(2, 0, 8 * GIB, "here", id="a"), Node(2, 0, 8 * GIB, "there", id="b")]


def with_cpus(*free: float) -> list[Node]:
    return [replace(node, cpus=cpus) for node, cpus in zip(ALL, free, strict=True)]


class Ray:
    """A cluster whose free nodes are those of the next look, and that grants what it is asked for if `grants`."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, looks: Sequence[list[Node]], grants: Sequence[bool] = ()
    ) -> None:
        looked, granted = list(looks), list(grants)
        self.events: list[str] = []
        events = self.events

        class Group(reservation.Reservation):
            def __init__(self, plan: Plan, name: str) -> None:
                self.plan = plan
                events.append(f"{name} asks for {[p.node for p in plan.placements]}")

            async def granted(self, deadline_s: float) -> bool:
                return granted.pop(0) if granted else True

            def release(self) -> None:
                events.append("released")

        def nodes(free: bool = False) -> list[Node]:
            return (looked.pop(0) if len(looked) > 1 else looked[0]) if free else ALL

        monkeypatch.setattr(reservation, "Reservation", Group)
        monkeypatch.setattr(reservation, "ray_nodes", nodes)
        monkeypatch.setattr(reservation, "holders", lambda: [OTHER])
        monkeypatch.setattr(reservation, "_LOOK_S", 0.01)

    def reserve(self, deadline_s: float = 5.0, together: str = "") -> Plan:
        made = place(WANTED, ALL, together)
        assert made is not None
        return asyncio.run(reserve(made, "mine", deadline_s, self.events.append)).plan


def test_a_free_cluster_gives_what_was_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(monkeypatch, [ALL])
    assert ray.reserve() == place(WANTED, ALL)
    assert ray.events == ["mine asks for [0, 0, 1]"]


def test_what_others_hold_on_the_planned_node_is_taken_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(monkeypatch, [with_cpus(0, 2)])
    ray.reserve(together="weights.transport ipc")
    assert ray.events == ["mine asks for [0, 1, 1]"]


def test_it_waits_and_says_for_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(monkeypatch, [with_cpus(0, 1), with_cpus(0, 1), ALL])
    ray.reserve(deadline_s=5)
    said, asked = ray.events
    assert said == (
        "waiting at most cluster.start_deadline_s = 5 s for a place: the run needs 1 learner x 1 CPU + 1 engine x "
        "1 CPU = 2 CPUs, the 2 nodes have 1 CPU free; held are\n"
        "  on here: 2 CPUs by placement group reprise other (engine 0) of job 02: python other.py\n"
        "  on there: 1 CPU by tasks, or what has just ended"
    )
    assert asked == "mine asks for [0, 0, 1]"


def test_one_host_that_is_taken_is_waited_for_though_the_sum_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(monkeypatch, [with_cpus(1, 1), ALL])
    ray.reserve(together="weights.transport ipc")
    assert "weights.transport ipc keeps learner rank 0 and all engines on one host, which needs" in ray.events[0]
    assert "the largest host has 1 CPU free; held are" in ray.events[0]


def test_at_the_deadline_it_ends_with_who_holds_it_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(monkeypatch, [with_cpus(0, 0)])
    with pytest.raises(RunError) as ended:
        ray.reserve(deadline_s=0.05)
    said = str(ended.value)
    assert said.startswith("no place for this run within cluster.start_deadline_s = 0.05 s: ")
    assert "2 CPUs by placement group reprise other (engine 0) of job 02: python other.py" in said
    assert said.endswith("set cluster.start_deadline_s to as long as this run may wait")


def test_what_another_was_granted_a_moment_before_is_given_up_and_looked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = Ray(monkeypatch, [ALL], grants=[False, True])
    ray.reserve()
    asked = "mine asks for [0, 0, 1]"
    assert [event for event in ray.events if "waiting" not in event] == [asked, "released", asked]


def test_a_run_that_is_stopped_while_it_waits_for_the_grant_leaves_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(monkeypatch, [ALL])

    async def stopped(self: object, deadline_s: float) -> bool:
        raise asyncio.CancelledError

    monkeypatch.setattr(reservation.Reservation, "granted", stopped)
    with pytest.raises(asyncio.CancelledError):
        ray.reserve()
    assert ray.events[-1] == "released"
