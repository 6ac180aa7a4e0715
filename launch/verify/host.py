"""A verifier in a process of its own, as the loop sees it: slots for a batch each, and an end that one can force."""

from __future__ import annotations

import json
import multiprocessing
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, Protocol

from reprise.core.types import Verdict
from reprise.launch.verify.window import Batch
from reprise.launch.verify.worker import answers_to_json, serve, verdicts_from_json
from reprise.rewards.infra_errors import InfraError
from reprise.rewards.settings import VerifierSettings


@dataclass(frozen=True, slots=True)
class Started:
    """The verifier has started, with `notes`; or it cannot: `error` says why, `user` that the user can fix it."""

    host: Host
    notes: Sequence[str] = ()
    error: str = ""
    user: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """The verdicts of the batch in this slot, in its order, and what kept answers of it from being verified."""

    host: Host
    slot: int
    verdicts: list[Verdict]
    failures: Sequence[InfraError] = ()


Events = SimpleQueue[Started | Verified]


class Host(Protocol):
    """One verifier, started as soon as it is made. It reports to a queue of events."""

    slots: int

    def give(self, slot: int, batch: Batch) -> None:
        """Verify these in an empty slot."""

    def cause_of_death(self) -> str | None:
        """How it ended by itself, in words; None while it lives."""

    def kill(self) -> None:
        """End it at once; none of its events counts any more."""

    def close(self) -> None:
        """Let it end; `kill` it if it has not after a while."""

    def ended(self, timeout_s: float) -> bool:
        """Whether it has ended after `close`, within the time."""


class ProcessHost:
    """A host that is a process. A thread for each slot carries its messages; none ever waits for a slot to be free.

    Args:
        name: the verifier's, in `rewards.verifiers`.
        chosen: its settings; `concurrency` gives the number of slots.
        retries: how often an answer is verified again after an infra error.
        events: where it reports.
    """

    def __init__(self, name: str, chosen: VerifierSettings, retries: int, events: Events) -> None:
        self.slots = chosen.concurrency
        self._events = events
        spawn = multiprocessing.get_context("spawn")
        pairs = [spawn.Pipe() for _ in range(self.slots)]
        theirs = [their for _, their in pairs]
        self._process = spawn.Process(
            target=serve, args=(name, chosen.model_dump_json(), retries, theirs), name=f"verifier {name}"
        )
        self._process.start()
        for their in theirs:
            their.close()
        self._work: list[SimpleQueue[Batch | None]] = [SimpleQueue() for _ in pairs]
        for slot, (ours, _) in enumerate(pairs):
            threading.Thread(target=self._carry, args=(slot, ours), daemon=True).start()

    def give(self, slot: int, batch: Batch) -> None:
        self._work[slot].put(batch)

    def cause_of_death(self) -> str | None:
        code = self._process.exitcode
        if code is None:
            return None
        return f"its process was ended by signal {-code}" if code < 0 else f"its process ended with exit code {code}"

    def kill(self) -> None:
        self._process.kill()
        self.close()

    def close(self) -> None:
        for work in self._work:
            work.put(None)

    def ended(self, timeout_s: float) -> bool:
        self._process.join(timeout_s)
        return self._process.exitcode is not None

    def _carry(self, slot: int, connection: Connection) -> None:
        try:
            if slot == 0:
                started: Any = json.loads(connection.recv_bytes())
                self._events.put(Started(self, **started))
            while (batch := self._work[slot].get()) is not None:
                connection.send_bytes(answers_to_json(batch.answers))
                self._events.put(Verified(self, slot, *verdicts_from_json(connection.recv_bytes())))
        except (EOFError, OSError):
            return  # the process has ended, as its exit code shows
        finally:
            connection.close()
