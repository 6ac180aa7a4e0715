"""Every interleaving of sampler, admission and buffer in small runs: the learner never waits for nothing.

The search drives the real classes. In any state each of these may come next: a group in flight is stored (the buffer's
answer is there at once, or later: until then admission counts a group in flight that the buffer holds), rejected or
lost; a late answer arrives; the learner asks for its batch after a pause of any length (an evaluation, say), takes it,
and publishes after any time. States that differ only by names and by a shift of all versions count as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

import pytest
from small_groups import group, settings

from reprise.buffer.trajectory_buffer import Batch, TrajectoryBuffer
from reprise.core.types import Task
from reprise.rollout.admission import Admission
from reprise.rollout.episodes.base import SampleRequest
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
        self._admission.stored(group_id)
        return []


class Fixed(Lead):
    def taken(self, waited: bool, left: int) -> None:
        pass


@cache
def batch_of(starts: tuple[int, ...], asked_for: tuple[int, ...]) -> Batch:
    """What a buffer makes of these of its groups; start versions are counted from the batch's."""
    buffer = TrajectoryBuffer(settings(max_uses=1, batch_groups=len(asked_for), fresh_fraction=1.0), seed=0)
    for place, start in enumerate(starts):
        assert buffer.add(group(str(place), start=start)) is None
    return buffer.take(0, [str(place) for place in asked_for])


def twin_of(thing: T, collections: tuple[str, ...]) -> T:
    """A copy with these collections of its own."""
    twin = object.__new__(type(thing))
    vars(twin).update(vars(thing))
    for name in collections:
        setattr(twin, name, getattr(thing, name).copy())
    return twin


def any_of_each_version(groups: Iterable[Named]) -> list[Named]:
    """Groups of one version are interchangeable."""
    return list({start: (name, start) for name, start in groups}.values())


@dataclass
class State:
    """The run at one moment.

    learner   "trains" (and then publishes), "pauses", or "asks" for its batch
    waited    whether it asked in vain
    sampling  groups in flight of which the buffer knows nothing
    late      groups that the buffer holds and admission counts in flight: the answer is on its way
    stored    groups that the buffer holds and admission counts as ready
    """

    open: OpenGroups
    admission: Admission
    learner: str = "pauses"
    version: int = 0
    waited: bool = False
    sampling: list[Named] = field(default_factory=list)
    late: list[Named] = field(default_factory=list)
    stored: list[Named] = field(default_factory=list)

    def copy(self) -> State:
        twin = twin_of(self, ("sampling", "late", "stored"))
        twin.open = twin_of(self.open, ("_unfinished",))
        twin.open._lead = twin_of(self.open._lead, ())
        collections = ("_in_flight", "_ready", "_started", "_in_flight_due", "_ready_due")
        twin.admission = twin.open._admission = twin_of(self.admission, collections)
        return twin

    def key(self) -> tuple[object, ...]:
        now = self.admission.next_take
        starts = (tuple(sorted(start - now for _, start in g)) for g in (self.sampling, self.late, self.stored))
        return self.learner, now - self.version, self.waited, self.open._lead.groups, *starts

    def start(self, requests: list[SampleRequest]) -> None:
        self.sampling += [(request.group_id, request.start_version) for request in requests]

    def check(self) -> None:
        """Admission knows where every group is."""
        assert self.admission._in_flight == dict(self.sampling + self.late)
        assert self.admission._ready == dict(self.stored)

    def take(self) -> None:
        """The buffer gives away what admission asks it for, none of it too old."""
        held = sorted(self.late + self.stored, key=lambda group: group[1])
        names, starts = [name for name, _ in held], tuple(start - self.version for _, start in held)
        group_ids, requests = self.open.take(self.version, self.waited)
        batch = batch_of(starts, tuple(sorted(map(names.index, group_ids))))
        assert {names[int(group.id)] for group in batch.groups} == set(group_ids)
        assert len(batch.groups) == self.admission.fresh_per_batch
        assert max(batch.ages) <= self.admission.max_staleness
        self.learner = "trains"
        self.stored = [(name, start) for name, start in self.stored if name not in group_ids]
        self.start(requests)


def successors(state: State, ends: tuple[str, ...]) -> Iterator[State]:
    """What may come next; `ends` are the ways in which a group in flight may end."""
    for named in any_of_each_version(state.sampling):
        for end in ends:
            after = state.copy()
            after.sampling.remove(named)
            if end == "late":
                after.late.append(named)
            else:
                after.stored += [named] if end == "stored" else []
                after.start(getattr(after.open, end)(named[0]))
            yield after
    for named in any_of_each_version(state.late):
        after = state.copy()
        after.late.remove(named)
        after.stored.append(named)
        after.start(after.open.stored(named[0]))
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
        after.take()
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
            state.check()
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


@pytest.mark.parametrize("end", ["stored", "rejected"])
def test_when_no_task_can_be_drawn_the_cause_is_not_hidden_by_the_end_of_the_group(end: str) -> None:
    def tasks() -> Iterator[Task]:
        yield TASK
        raise OSError("the tasks' disk is gone")

    groups = OpenGroups(Admission(0, 1, 1), tasks(), group_size=2)
    [request] = groups.published(0)
    if end == "stored":
        groups.stored(request.group_id)
        with pytest.raises(OSError, match="disk is gone"):
            groups.take(0, waited=False), groups.published(1)
    else:
        with pytest.raises(OSError, match="disk is gone"):
            groups.rejected(request.group_id)
    groups.close()
    assert groups.lost(request.group_id) == []
