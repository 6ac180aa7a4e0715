"""Which groups are open and which start next: every decision of the sampler, without Ray, clock or I/O."""

from __future__ import annotations

from collections.abc import Iterator

from reprise.core.types import Task
from reprise.rollout.admission import Admission
from reprise.rollout.episodes.base import SampleRequest
from reprise.rollout.lead import Lead


class OpenGroups:
    """The groups between their start and the batch that trains on them.

    Whatever happened, the answer is the same: the groups to start now. A slot that a group leaves is filled at once,
    whichever way the group ended.

    Args:
        admission: the staleness rule.
        tasks: training tasks, in order; there is always another.
        group_size: responses a task.
        started: groups started before a resumption. Ids are numbered on from there, so that none is ever used twice.
    """

    def __init__(self, admission: Admission, tasks: Iterator[Task], group_size: int, started: int = 0) -> None:
        self.started = started
        self._admission = admission
        self._lead = Lead(admission.fresh_per_batch, admission.most_open)
        self._tasks = tasks
        self._group_size = group_size
        self._version: int | None = None
        self._unfinished: dict[str, str] = {}  # group -> task, until a batch holds it or the buffer rejects it

    def published(self, version: int) -> list[SampleRequest]:
        """Every engine holds `version`."""
        self._version = version
        return self._next()

    def stored(self, group_id: str) -> list[SampleRequest]:
        """The buffer holds the group."""
        self._admission.stored(group_id)
        return self._next()

    def rejected(self, group_id: str) -> list[SampleRequest]:
        """The buffer says that the group teaches nothing."""
        del self._unfinished[group_id]
        self._admission.closed(group_id)
        return self._next()

    def lost(self, group_id: str) -> list[SampleRequest]:
        """The group was cancelled, or failed with its engine or verifier. Its task stays unfinished."""
        if self._admission.is_in_flight(group_id):  # else it was stored or rejected, and what followed failed
            self._admission.closed(group_id)
        return self._next()

    def take(self, version: int, waited: bool) -> tuple[list[str], list[SampleRequest]]:
        """The fresh groups of the batch of `version`, for which the learner `waited` or not; and what starts now."""
        group_ids = self._admission.take(version)
        for group_id in group_ids:
            del self._unfinished[group_id]
        self._lead.taken(waited, self._admission.ready)
        return group_ids, self._next()

    def close(self) -> None:
        """Start no more groups."""
        self._version = None

    def unfinished(self) -> list[str]:
        """Ids of the tasks whose groups were started and neither trained on nor rejected, in order of start."""
        return list(self._unfinished.values())

    def _next(self) -> list[SampleRequest]:
        requests = []
        while self._version is not None and self._may_start(self._version):
            task = next(self._tasks)
            self.started += 1
            request = SampleRequest(task, f"{task.id}#{self.started}", self._version, self._group_size)
            self._admission.start(request.group_id, self._version)
            self._unfinished[request.group_id] = task.id
            requests.append(request)
        return requests

    def _may_start(self, version: int) -> bool:
        opened = self._admission.in_flight + self._admission.ready
        return opened < self._lead.groups and self._admission.may_start(version)
