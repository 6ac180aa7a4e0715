"""The resource plan: which actor gets which CPUs, GPUs and memory on which node. A pure function of recipe and nodes.

Everything that a run starts is planned before anything is started, and what cannot fit is refused with the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from math import ceil
from typing import TypeVar

from reprise.core.errors import UserError
from reprise.launch.placement.demand import actors, together
from reprise.launch.placement.memory import PolicySize
from reprise.launch.placement.nodes import Actor, Node, Placement, Plan
from reprise.launch.placement.refusal import refusal
from reprise.launch.recipe.schema import Recipe
from reprise.launch.recipe.sft_schema import SftRecipe

_A = TypeVar("_A", bound=Actor)
# Float sums of CPU fractions such as 0.1 must still fit.
_SLACK = 1e-9


def plan(recipe: Recipe | SftRecipe, nodes: Sequence[Node], size: PolicySize | None = None) -> Plan:
    """Place every actor of a run; the driver runs on `nodes[0]`. Without `size` the policy's weights are not counted.

    Learner ranks are kept together, engines and verifiers spread, so that every node takes part where it can. Weights
    that travel through shared memory, or over a shared GPU, keep learner rank 0 and all engines on one host.
    Raises `UserError` with the arithmetic if it does not fit.
    """
    wanted = actors(recipe, size)
    made = place(wanted, nodes, together(recipe))
    if made is None:
        raise UserError(refusal(recipe, wanted, nodes, size))
    return made


def place(wanted: Sequence[Actor], nodes: Sequence[Node], together: str = "") -> Plan | None:
    """A place for each actor, those that `is_bound` on one host if a setting keeps them `together`; None if there is
    none."""
    hosts: Sequence[str | None] = list(dict.fromkeys(node.host for node in nodes)) if together else [None]
    for host in hosts:
        # Ranks that share rows exchange every layer's attention: they come first, so that they find a node together.
        for preference, learner_first in ((_spread, True), (_spread, False), (_pack, False)):
            placed = _place(wanted, nodes, host, preference, learner_first)
            if placed is not None:
                order = {actor.name: i for i, actor in enumerate(wanted)}
                return Plan(tuple(nodes), tuple(sorted(placed, key=lambda p: order[p.name])), together)
    return None


def bundles(made: Plan) -> list[list[Placement]]:
    """The actors of each part that is to be reserved as a whole: those of a node, and those that share one of its GPUs.

    Of several GPUs with fractions free, actors that come one by one may be left with pieces that are each too small.
    """
    found: list[list[Placement]] = []
    for number in range(len(made.nodes)):
        here = made.on(number)
        found += [[p for p in here if not _shares(p)], *_shared_gpus(here)]
    return [part for part in found if any(p.amounts for p in part)]


def split_rows(made: Plan, degree: int) -> list[str]:
    """What to say of sequence-parallel ranks that share rows across hosts, whose links are slower."""
    ranks = made.of("learner")
    groups = [ranks[i : i + degree] for i in range(0, len(ranks), degree)]
    split = [group for group in groups if len({made.nodes[p.node].host for p in group}) > 1]
    return [
        f"learner {group[0].index} to {group[-1].index} share rows (learner.sequence_parallel {degree}) and are on "
        f"{len({made.nodes[p.node].host for p in group})} hosts: every layer's attention crosses the network."
        for group in split
    ]


# --- placing ----------------------------------------------------------------------------------------------------------

_Preference = Callable[[Actor, int, Sequence[Placement]], tuple[int, ...]]  # of an actor, a node and who is there


def _spread(actor: Actor, node: int, there: Sequence[Placement]) -> tuple[int, ...]:
    """Learner ranks to their fellows, the buffer to learner rank 0, others to the node with the fewest actors."""
    together = actor.role in ("learner", "buffer")
    return (-sum(p.role == "learner" for p in there) if together else 0, len(there), node)


def _pack(actor: Actor, node: int, there: Sequence[Placement]) -> tuple[int, ...]:
    """First fit: wastes the least when room is short."""
    return (node,)


def _place(
    wanted: Sequence[Actor], nodes: Sequence[Node], host: str | None, preference: _Preference, learner_first: bool
) -> list[Placement] | None:
    """The bound first, then the largest, each on the most preferred node with room; None if one finds none."""

    def order(actor: Actor) -> tuple[object, ...]:
        first = actor.role == "learner" and learner_first
        return (actor.name not in bound, not first, -actor.gpus, not actor.resources, -actor.cpus)

    names = sorted({name for actor in wanted for name in actor.resources})
    free = [_amounts(node, names) for node in nodes]
    on: list[list[Placement]] = [[] for _ in nodes]
    bound = {actor.name for actor in wanted if host is not None and actor.is_bound}
    for actor in sorted(wanted, key=order):
        room = [i for i, node in enumerate(nodes) if actor.name not in bound or node.host == host]
        if actor.role == "driver":
            room = [0]
        demand = _amounts(actor, names)
        room = [i for i in room if all(d <= f + _SLACK for d, f in zip(demand, free[i], strict=True))]
        if _shares(actor):
            room = [i for i in room if _gpus([actor, *on[i]]) <= ceil(nodes[i].gpus)]
        if not room:
            return None
        chosen = min(room, key=lambda i: preference(actor, i, on[i]))
        free[chosen] = [f - d for f, d in zip(free[chosen], demand, strict=True)]
        on[chosen].append(Placement(**{f.name: getattr(actor, f.name) for f in fields(Actor)}, node=chosen))
    return [placed for there in on for placed in there]


def _shares(actor: Actor) -> bool:
    """Whether it asks for a part of a GPU."""
    return actor.gpus % 1 > 0


def _shared_gpus(actors: Iterable[_A]) -> list[list[_A]]:
    """The actors of each GPU of which they ask for parts: the largest first, on the first GPU that has room."""
    gpus: list[list[_A]] = []
    for actor in sorted(filter(_shares, actors), key=lambda actor: -actor.gpus):
        for gpu in gpus:
            if sum(other.gpus for other in gpu) + actor.gpus <= 1 + _SLACK:
                gpu.append(actor)
                break
        else:
            gpus.append([actor])
    return gpus


def _gpus(actors: Sequence[Actor]) -> float:
    """How many GPUs they are on, shared or not."""
    return sum(actor.gpus for actor in actors if not _shares(actor)) + len(_shared_gpus(actors))


def _amounts(what: Actor | Node, names: Sequence[str]) -> list[float]:
    return [what.cpus, what.gpus, what.memory, *(what.resources.get(name, 0.0) for name in names)]
