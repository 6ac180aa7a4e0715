"""The loop of `reprise verify`: hands answers to verifiers, returns verdicts in the answers' order, never waits without
a deadline.

A verifier that dies or is late with a batch is restarted. `rewards.pool.case.Case` decides, as in training, about its
answers: they are verified again, at last one by one, and blamed only for their own faults.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty

from reprise.core.errors import RunError, UserError
from reprise.core.types import Status, Verdict
from reprise.launch.verify.host import Events, Host, Started, Verified
from reprise.launch.verify.window import Batch, Window
from reprise.rewards.base import Answer
from reprise.rewards.infra_errors import InfraError, collected
from reprise.rewards.pool.case import Case, Loss
from reprise.rewards.settings import VerifierSettings

# Seconds that verifiers may take to close before they are killed: at the end, and after an interrupt.
_CLOSE_S, _BREAK_OFF_S = 10.0, 2.0
_LOOK_EVERY_S = 0.25

Ready = Sequence[tuple[Answer, Verdict]]


@dataclass(slots=True, eq=False)
class _Work:
    """A batch and what has become of it. `scored`: how many answers the verifier had scored when it was lost first."""

    batch: Batch
    case: Case
    scored: int | None = None

    @property
    def todo(self) -> Batch:
        """What is to be verified next of it: all, or one."""
        return self.batch if not self.case.alone or self.case.next is None else self.batch.only(self.case.next)


class Desk:
    """One verifier: its host, what it works on, and what waits to be verified again."""

    def __init__(
        self,
        name: str,
        chosen: VerifierSettings,
        make: Callable[[], Host],
        failed: Callable[[Sequence[InfraError]], None],
        clock: Callable[[], float],
    ) -> None:
        self.name, self._chosen, self._make, self._failed, self._clock = name, chosen, make, failed, clock
        self._given: dict[int, tuple[_Work, float]] = {}  # by slot, with the deadline
        self._again: deque[_Work] = deque()
        self._scored = 0
        self._start_due: float | None = None
        self._start()

    def give(self, window: Window) -> None:
        """Fill the slots, with what was lost before what is new. While answers are verified alone, nothing else is."""
        if self._start_due is not None:
            return
        for slot in range(self.host.slots):
            if slot in self._given:
                continue
            if any(work.case.alone for work, _ in self._given.values()):
                return
            if self._again:
                if self._again[0].case.alone and self._given:
                    return
                work = self._again.popleft()
            elif batch := window.next_batch(self.name):
                work = _Work(batch, Case(len(batch.answers), self._chosen.deadline_s))
            else:
                return
            self._given[slot] = work, self._clock() + self._chosen.deadline_s
            self.host.give(slot, work.todo)

    def started(self, event: Started) -> None:
        """UserError or RunError if the verifier cannot start."""
        if event.error:
            error = UserError if event.user else RunError
            raise error(f"verifier {self.name!r} cannot start: {event.error}")
        self._start_due = None

    def verified(self, event: Verified, window: Window) -> None:
        """The batch in a slot, or the one answer of it that was to be verified, has its verdicts."""
        work, _ = self._given.pop(event.slot)
        self._scored += sum(verdict.status is Status.SCORED for verdict in event.verdicts)
        self._failed(event.failures)
        if not work.case.alone:
            window.verified(work.batch, event.verdicts)
            return
        work.case.verified(event.verdicts[0])
        self._go_on(work, window)

    def look(self, window: Window) -> None:
        """Deal with a host that has died or is late. RunError if it cannot even start."""
        cause = self.host.cause_of_death()
        late = [slot for slot, (_, due) in self._given.items() if self._clock() >= due]
        if self._start_due is not None:
            if cause is None and self._clock() < self._start_due:
                return
            self.host.kill()
            within = f"it did not within {self._chosen.start_deadline_s:g} s (start_deadline_s)"
            raise RunError(f"verifier {self.name!r} cannot start: {cause or within}")
        if cause is None and not late:
            return
        self.host.kill()
        lost = sorted(self._given.items())
        self._given.clear()
        self._start()
        for slot, (work, _) in reversed(lost):
            work.scored = self._scored if work.scored is None else work.scored
            work.case.lost(Loss.DIED if cause is not None else Loss.LATE if slot in late else Loss.KILLED)
            self._go_on(work, window)

    def _go_on(self, work: _Work, window: Window) -> None:
        if work.case.alone and work.case.next is None:
            found = work.case.verdicts(witness=self._scored > (work.scored or 0))
            self._failed(collected(self.name, [found[number] for number in work.case.given_up]))
            window.verified(work.batch, [found[number] for number in range(len(found))])
        else:
            self._again.appendleft(work)

    def _start(self) -> None:
        self.host = self._make()
        self._start_due = self._clock() + self._chosen.start_deadline_s


def verify_all(
    window: Window,
    chosen: Mapping[str, VerifierSettings],
    make: Callable[[str, Events], Host],
    write: Callable[[Ready], None],
    note: Callable[[str], None] = lambda text: None,
    failed: Callable[[Sequence[InfraError]], None] = lambda failures: None,
    idle: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Verify all that the window reads.

    chosen  the verifiers that will be needed; they start side by side
    make    a new host of a verifier
    write   is given verdicts in the order of the answers
    note    is called with each note of a verifier that has started, once
    failed  is called with what kept answers from being verified
    idle    is called a few times a second

    UserError or RunError if a verifier cannot start. Hosts are closed, whatever happens.
    """
    events: Events = Events()
    desks: dict[str, Desk] = {}
    noted: set[str] = set()

    def note_once(text: str) -> None:
        if text not in noted:
            noted.add(text)
            note(text)

    grace_s = _BREAK_OFF_S
    try:
        for name, settings in chosen.items():
            start: Callable[[], Host] = partial(make, name, events)
            desks[name] = Desk(name, settings, start, failed, clock)
        window.fill()
        while not window.finished:
            for desk in desks.values():
                desk.give(window)
            _receive(events, desks, window, note_once)
            for desk in desks.values():
                desk.look(window)
            if ready := window.ready():
                write(ready)
                window.fill()
            idle()
        grace_s = _CLOSE_S
    finally:
        _close([desk.host for desk in desks.values()], clock() + grace_s, clock)


def _receive(events: Events, desks: Mapping[str, Desk], window: Window, note: Callable[[str], None]) -> None:
    """Wait a moment for something to happen, then deal with all that has."""
    timeout = _LOOK_EVERY_S
    while True:
        try:
            event = events.get(timeout=timeout)
        except Empty:
            return
        timeout = 0.0
        # Events of a host that was replaced do not count: its answers are being verified again.
        for desk in desks.values():
            if desk.host is event.host:
                if isinstance(event, Verified):
                    desk.verified(event, window)
                else:
                    desk.started(event)
                    for text in event.notes:
                        note(f"verifier {desk.name}: {text}")


def _close(hosts: Sequence[Host], end: float, clock: Callable[[], float]) -> None:
    for host in hosts:
        host.close()
    for host in hosts:
        if not host.ended(max(0.0, end - clock())):
            host.kill()
            host.ended(1.0)
