"""Who holds what a run waits for, in words."""

from __future__ import annotations

from reprise.launch.placement.held import Holder, held_by
from reprise.launch.placement.memory import GIB
from reprise.launch.placement.nodes import Actor, Node

WANTED = [Actor("driver", 0), Actor("learner", 0, cpus=1, memory=GIB), Actor("engine", 0, cpus=1, memory=GIB)]


def node(cpus: float, memory: float, name: str = "a", **resources: float) -> Node:
    return Node(cpus, 0, memory, f"host-{name}", resources, f"10.0.0.{name}", name)


def test_a_group_is_named_with_its_actors_on_the_node_and_its_job() -> None:
    group = Holder(
        "placement group reprise maths", "a", {"CPU": 2, "memory": 4 * GIB}, "job 02", ("learner 0", "engine 0")
    )
    said = held_by(WANTED, [node(2, 8 * GIB)], [node(0, 4 * GIB)], [group])
    who = "placement group reprise maths (learner 0, engine 0) of job 02"
    assert said == f"  on host-a (10.0.0.a): 2 CPUs, 4 GiB of memory by {who}"


def test_equal_actors_are_counted() -> None:
    group = Holder("placement group g", "a", {"CPU": 1}, actors=["Worker", "Worker", "Head"])
    assert held_by(WANTED, [node(1, 0)], [node(0, 0)], [group]).endswith(
        "1 CPU by placement group g (2 x Worker, Head)"
    )


def test_what_the_run_does_not_ask_for_is_left_out() -> None:
    holders = [
        Holder("actor Judge", "a", {"seat": 1}),
        Holder("actor Idle", "a", {}),
        Holder("actor Busy", "a", {"CPU": 1}),
    ]
    said = held_by(WANTED, [node(1, 0, seat=1)], [node(0, 0, seat=0)], holders)
    assert said == "  on host-a (10.0.0.a): 1 CPU by actor Busy"


def test_what_no_group_and_no_actor_holds_is_that_of_tasks() -> None:
    said = held_by(WANTED, [node(4, 0)], [node(1, 0)], [Holder("actor Busy", "a", {"CPU": 1})])
    assert said.splitlines()[1] == "  on host-a (10.0.0.a): 2 CPUs by tasks, or what has just ended"


def test_a_group_that_waits_itself_holds_nothing() -> None:
    assert held_by(WANTED, [node(1, 0)], [node(1, 0)], [Holder("placement group late", "", {"CPU": 1})]) == (
        "  nobody that Ray knows of"
    )


def test_names_of_others_are_printed_as_one_short_line_each() -> None:
    job = "job 02: python -c \x1b[31m" + "x" * 500
    holders = [Holder(f"actor {i}\n", "a", {"CPU": 0.5}, job) for i in range(20)]
    lines = held_by(WANTED, [node(10, 0)], [node(0, 0)], holders).splitlines()
    assert len(lines) == 13
    assert lines[-1] == "  and 8 more"
    assert "\x1b" not in lines[0]
    assert max(map(len, lines)) < 220
