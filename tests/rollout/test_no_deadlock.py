"""Every interleaving of sampler, admission and buffer in small runs: the learner never waits for nothing.

The search drives the real classes. In any state each of these may come next: a group in flight is stored (the buffer's
answer is there at once, or later), rejected or lost; a late answer arrives; the learner asks for its batch after a
pause of any length (an evaluation, say), takes it, and publishes after any time. States that differ only by names and
by a shift of all versions count as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

import pytest
from small_groups import group, settings

from reprise.buffer.trajectory_buffer import Admitted, TrajectoryBuffer
from reprise.core.types import Task
from reprise.rollout.admission import Admission
from reprise.rollout.engine import SampleRequest
from reprise.rollout.lead import Lead
from reprise.rollout.open_groups import OpenGroups

TASK = Task("t", "?", "d", "exact")
ENDS = ("stored", "late", "rejected", "lost")

T = TypeVar("T")
Named = tuple[str, int]  # a group's id and the version it started at


class Tasks:
    """Always the same task."""

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        return TASK


class ForgetsStored(OpenGroups):
    """Fills no slot that a stored group leaves: the mistake that the search is to find."""

    def stored(self, group_id: str) -> list[SampleRequest]:
        self._is_ready(group_id)
        return []


class Fixed(Lead):
    def taken(self, waited: bool, left: int) -> None:
        pass


@cache
def given_away(fresh: int, starts: tuple[int, ...]) -> tuple[int, ...]:
    """Which of the fresh groups that arrived with these start versions the buffer puts into the next batch."""
    buffer = TrajectoryBuffer(settings(max_uses=1, batch_groups=fresh, fresh_fraction=1.0), seed=0)
    for arrival, start in enumerate(starts):
        assert buffer.add(group(str(arrival), start=start)) == Admitted()
    batch = buffer.take(max(starts), fresh)
    assert batch is not None
    return tuple(int(group.id) for group in batch.groups)


def twin_of(thing: T, collections: tuple[str, ...]) -> T:
    """A copy with these collections of its own."""
    twin = object.__new__(type(thing))
    vars(twin).update(vars(thing))
    for name in collections:
        setattr(twin, name, getattr(thing, name).copy())
    return twin


@dataclass
class State:
    """The run at one moment.

    learner   "trains" (and then publishes), "pauses", or "asks" for its batch
    waited    whether it asked in vain
    sampling  groups in flight of which the buffer knows nothing
    buffered  fresh groups in the buffer, in order of arrival
    late      groups in the buffer, or given away, whose answer is on its way
    """

    open: OpenGroups
    admission: Admission
    learner: str = "pauses"
    version: int = 0
    waited: bool = False
    sampling: list[Named] = field(default_factory=list)
    buffered: list[Named] = field(default_factory=list)
    late: set[str] = field(default_factory=set)

    def copy(self) -> State:
        twin = twin_of(self, ("sampling", "buffered", "late"))
        twin.open = twin_of(self.open, ("_in_flight", "_unfinished"))
        twin.open._lead = twin_of(self.open._lead, ())
        twin.admission = twin_of(self.admission, ("_in_flight", "_ready", "_in_flight_due", "_ready_due"))
        twin.open._admission = twin.admission
        return twin

    def key(self) -> tuple[object, ...]:
        now = self.admission.next_take
        sampling = tuple(sorted(start - now for _, start in self.sampling))
        earliest_first = sorted(self.buffered, key=lambda group: group[1])  # arrival matters among equals only
        buffered = tuple((start - now, name in self.late) for name, start in earliest_first)
        gone = len(self.late - {name for name, _ in self.buffered})
        return self.learner, now - self.version, self.waited, self.open._lead.groups, sampling, buffered, gone

    def start(self, requests: list[SampleRequest]) -> None:
        self.sampling += [(request.group_id, request.start_version) for request in requests]


def successors(state: State, ends: tuple[str, ...]) -> Iterator[State]:
    """What may come next; `ends` are the ways in which a group in flight may end."""
    distinct = {start: (name, start) for name, start in state.sampling}  # groups of one version are interchangeable
    for named in distinct.values():
        name, _ = named
        for end in ends:
            if end == "late" and state.late:
                continue  # one answer on its way at once
            after = state.copy()
            after.sampling.remove(named)
            if end in ("stored", "late"):
                after.buffered.append(named)
            if end == "late":
                after.late.add(name)
            else:
                after.start(getattr(after.open, end)(name))
            yield after
    for name in state.late:
        after = state.copy()
        after.late.remove(name)
        after.start(after.open.stored(name))
        yield after
    after = state.copy()
    if state.learner == "trains":
        after.learner, after.version = "pauses", state.version + 1
        after.start(after.open.published(after.version))
        yield after
    elif state.learner == "pauses":
        after.learner, after.waited = "asks", not state.admission.may_take(state.version)
        yield after
    elif state.admission.may_take(state.version):
        fresh = state.admission.fresh_in_next_batch
        chosen = [state.buffered[i] for i in given_away(fresh, tuple(start for _, start in state.buffered))]
        assert all(state.version - start <= state.admission.max_staleness for _, start in chosen)
        after.learner = "trains"
        after.buffered = [group for group in state.buffered if group not in chosen]
        after.start(after.open.taken(state.version, [name for name, _ in chosen], state.waited))
        yield after


def search(first: State, ends: tuple[str, ...] = ENDS) -> str:
    """ "ok", or what is wrong with a state that can be reached."""
    first.start(first.open.published(0))
    seen, frontier = {first.key()}, [first]
    while frontier:
        after = list(successors(frontier.pop(), ends))
        if not after:
            return "the learner waits, nothing is in flight and nothing may start"
        for state in after:
            if (key := state.key()) not in seen:
                seen.add(key)
                frontier.append(state)
    return "ok"


def beginning(staleness: int, fresh: int, concurrent: int, kind: type[OpenGroups] = OpenGroups) -> State:
    admission = Admission(staleness, fresh, concurrent)
    return State(kind(admission, Tasks(), group_size=2), admission)


def concurrencies(staleness: int, fresh: int) -> range:
    """From one group at a time to one more than the staleness rule lets be open."""
    return range(1, (staleness + 1) * fresh + 2)


@pytest.mark.parametrize(("staleness", "fresh"), [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 1)])
def test_in_no_reachable_state_does_the_learner_wait_in_vain(staleness: int, fresh: int) -> None:
    found = {c: search(beginning(staleness, fresh, c)) for c in concurrencies(staleness, fresh)}
    assert found == dict.fromkeys(found, "ok")


@pytest.mark.parametrize("lead", ["least", "most"])
@pytest.mark.parametrize("fresh", [2, 3])
def test_nor_in_larger_runs(fresh: int, lead: str) -> None:
    """With a lead that stays at its least or most, no late answers and no lost group: all that would take a minute."""
    for concurrent in concurrencies(2, fresh):
        first = beginning(2, fresh, concurrent)
        first.open._lead = Fixed(fresh, first.admission.most_open)
        first.open._lead.groups = {"least": fresh, "most": first.admission.most_open}[lead]
        assert search(first, ("stored", "rejected")) == "ok"


@pytest.mark.parametrize(("staleness", "fresh"), [(0, 3), (1, 2), (1, 3)])
def test_the_search_finds_that_a_stored_group_s_slot_is_never_filled(staleness: int, fresh: int) -> None:
    """With fewer slots than a batch has fresh groups, and no rejection in between, nothing starts any more."""
    for concurrent in concurrencies(staleness, fresh):
        found = search(beginning(staleness, fresh, concurrent, ForgetsStored))
        assert (found != "ok") == (concurrent < fresh)
