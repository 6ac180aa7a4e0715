"""Who holds what a run needs of a cluster, in words. Pure: what Ray says is read in `reservation.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reprise.core.printable import printable
from reprise.launch.placement.memory import gib
from reprise.launch.placement.nodes import Actor, Node, labels

_LONGEST = 120  # of a job's command line
_MOST = 12  # lines


@dataclass(frozen=True, slots=True)
class Holder:
    """Resources of one node that a placement group has reserved, or an actor outside of all groups has.

    what      `placement group demo`, `actor Busy`
    node      Ray's id of the node
    amounts   by Ray's names, memory in bytes
    job       its job, in words
    actors    names of the actors in the group on that node
    """

    what: str
    node: str
    amounts: Mapping[str, float]
    job: str = ""
    actors: Sequence[str] = field(default_factory=tuple)


def held_by(wanted: Sequence[Actor], all_of: Sequence[Node], free: Sequence[Node], holders: Iterable[Holder]) -> str:
    """A line for each holder of what the actors ask for; what nobody is known to hold is that of running tasks.

    all_of, free   the same nodes, with all that they have and with what of it is free
    """
    asked = {name for actor in wanted for name in actor.amounts}
    left = {
        there.id: {name: there.amounts.get(name, 0.0) - now.amounts.get(name, 0.0) for name in asked}
        for there, now in zip(all_of, free, strict=True)
    }
    found = []
    for holder in holders:
        amounts = {name: amount for name, amount in holder.amounts.items() if name in asked and amount > 0}
        if amounts and holder.node in left:
            found.append((holder, amounts))
            for name, amount in amounts.items():
                left[holder.node][name] -= amount
    for node, rest in left.items():
        amounts = {name: amount for name, amount in rest.items() if amount > 1e-3}
        if amounts:
            found.append((Holder("tasks, or what has just ended", node, amounts), amounts))
    names = dict(zip((node.id for node in all_of), labels(all_of), strict=True))
    lines = [f"  on {names[holder.node]}: {_line(holder, amounts)}" for holder, amounts in found]
    more = [f"  and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
    return "\n".join([*lines[:_MOST], *more]) or "  nobody that Ray knows of"


def _line(holder: Holder, amounts: Mapping[str, float]) -> str:
    counts = Counter(map(printable, holder.actors))
    actors = ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())
    job = printable(" ".join(holder.job.split()))
    job = job if len(job) <= _LONGEST else f"{job[: _LONGEST - 1]}…"
    held = ", ".join(_amount(name, amount) for name, amount in sorted(amounts.items()))
    return f"{held} by {printable(holder.what)}" + (f" ({actors})" if actors else "") + (f" of {job}" if job else "")


def _amount(name: str, amount: float) -> str:
    if name == "memory":
        return f"{gib(amount)} of memory"
    return f"{round(amount, 4):g} {name}" + "s" * (name in ("CPU", "GPU") and amount != 1)
