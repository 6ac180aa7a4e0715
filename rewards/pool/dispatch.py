"""Which batch goes to which actor next: the least loaded one, within its concurrency, from a bounded queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Assigned:
    """This batch goes to this actor now."""

    batch: Hashable
    actor: int


@dataclass(frozen=True, slots=True)
class Recycle:
    """This idle actor is to be restarted: a batch waits for one that has verified nothing else."""

    actor: int


class Dispatch:
    """Batches in, assignments out.

    Batches wait together and go, first come, first served, to the actor with the fewest of them. A batch that was lost
    goes first. One that must be verified *alone* gets an actor for itself that has verified nothing since its start,
    until it is `done`; if there is none, the least loaded one is drained and restarted for it.

    Args:
        actors: how many there are; none is up yet.
        concurrency: batches that an actor verifies at a time.
        queue: batches that may wait for each actor; those beyond are held back (`held_back`), in order.
    """

    def __init__(self, actors: int, concurrency: int, queue: int) -> None:
        self._actors = actors
        self._concurrency = concurrency
        self._places = queue * actors
        self._waiting: deque[Hashable] = deque()
        self._lost: deque[Hashable] = deque()
        self._alone: deque[Hashable] = deque()
        self._on: dict[Hashable, int] = {}
        self._served = [0] * actors
        self._down = set(range(actors))
        self._paused: set[int] = set()
        self._leased: set[int] = set()
        self.ever_held_back = 0

    # --- batches ------------------------------------------------------------------------------------------------------

    def submit(self, batch: Hashable) -> None:
        """A new batch, at the end of the queue."""
        self.ever_held_back += len(self._waiting) >= self._places
        self._waiting.append(batch)

    def again(self, batch: Hashable) -> None:
        """A batch that was lost: before all new ones, even when the queue is full."""
        self._lost.append(batch)

    def alone(self, batch: Hashable) -> None:
        """A batch that needs a fresh actor for itself."""
        self._alone.append(batch)

    def done(self, batch: Hashable) -> None:
        """The batch is not on its actor any more (verified or lost), or not waiting any more. Safe to repeat."""
        for waiting in (self._waiting, self._lost, self._alone):
            if batch in waiting:
                waiting.remove(batch)
        actor = self._on.pop(batch, None)
        if actor is not None:
            self._leased.discard(actor)

    @property
    def held_back(self) -> int:
        """Batches that wait for a place in the queue."""
        return max(0, len(self._waiting) - self._places)

    @property
    def waiting(self) -> int:
        """Batches that wait for an actor, those held back included."""
        return len(self._waiting) + len(self._lost) + len(self._alone)

    # --- actors -------------------------------------------------------------------------------------------------------

    def up(self, actor: int) -> None:
        """The actor has been started."""
        self._down.discard(actor)
        self._paused.discard(actor)
        self._served[actor] = 0

    def pause(self, actor: int) -> None:
        """Give it nothing new for now; it keeps what it has."""
        self._paused.add(actor)

    def resume(self, actor: int) -> None:
        """Give it work again."""
        self._paused.discard(actor)

    def down(self, actor: int) -> None:
        """It is gone, until it is `up` again. Its batches stay on it until they are `done`."""
        self._down.add(actor)

    # --- decisions ----------------------------------------------------------------------------------------------------

    def next(self) -> Assigned | Recycle | None:
        """What is to be done now; ask again until there is nothing."""
        reserved: set[int] = set()
        if self._alone:
            fresh = [a for a in self._free() if self._load(a) == 0 and self._served[a] == 0]
            if fresh:
                self._leased.add(fresh[0])
                return self._assigned(self._alone.popleft(), fresh[0])
            missing = len(self._alone) - len(self._down)  # those that are down come up fresh
            by_load = sorted(self._free(), key=self._load)
            if missing > 0 and by_load and self._load(by_load[0]) == 0:
                self.down(by_load[0])
                return Recycle(by_load[0])
            reserved = set(by_load[: max(0, missing)])
        open_for_work = [a for a in self._free() if a not in reserved and self._load(a) < self._concurrency]
        queue = self._lost or self._waiting
        if not queue or not open_for_work:
            return None
        return self._assigned(queue.popleft(), min(open_for_work, key=self._load))

    def _free(self) -> list[int]:
        return [a for a in range(self._actors) if a not in self._down | self._paused | self._leased]

    def _load(self, actor: int) -> int:
        return sum(on == actor for on in self._on.values())

    def _assigned(self, batch: Hashable, actor: int) -> Assigned:
        self._on[batch] = actor
        self._served[actor] += 1
        return Assigned(batch, actor)
