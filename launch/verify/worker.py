"""The process of one verifier: whatever happens in it, it can be killed without loss.

Answers come and verdicts go as JSON. Each connection is served by a thread, so that a verifier with `concurrency` above
1 verifies as many batches at a time.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from reprise.core.errors import UserError
from reprise.core.printable import printable_lines
from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.infra_errors import InfraError, traceback_of
from reprise.rewards.registry import build_verifier
from reprise.rewards.scoring import Scorer, Verification
from reprise.rewards.settings import VerifierSettings

_PR_SET_PDEATHSIG = 1


def serve(name: str, chosen: str, retries: int, connections: Sequence[Connection]) -> None:
    """Verify what comes over `connections` until the other side closes them. `chosen` is `VerifierSettings` as JSON.

    The first message out, on the first connection, is an object: the verifier's `notes` once it has started, else its
    `error` and whether it is the `user`'s.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the connections
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(2, 1)  # what a verifier prints must not get between the table's lines
    try:
        verifier = build_verifier(name, VerifierSettings.model_validate_json(chosen))
        scorer = Scorer({name: verifier}, retries)
        scorer.start()
        notes = [str(note) for note in getattr(verifier, "notes", list)()]
    except Exception as error:  # noqa: BLE001  the parent decides what a verifier that cannot start means
        user = isinstance(error, UserError)
        text = str(error) if user else f"{type(error).__name__}: {error}\n{traceback_of(error)}"
        _send(connections[0], {"error": text, "user": user})
        return
    try:
        _send(connections[0], {"notes": notes})
        threads = [threading.Thread(target=_serve, args=(scorer, connection)) for connection in connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        scorer.close()


def answers_to_json(answers: Sequence[Answer]) -> bytes:
    records = [{"task": asdict(a.task), "text": a.text, "truncated": a.truncated} for a in answers]
    return json.dumps(records).encode()


def verdicts_from_json(data: bytes) -> tuple[list[Verdict], list[InfraError]]:
    """The verdicts of a batch, and what kept answers of it from being verified."""
    message = json.loads(data)
    verdicts = [Verdict(Status(status), score, detail) for status, score, detail in message["verdicts"]]
    return verdicts, [InfraError(**error) for error in message["failures"]]


def _serve(scorer: Scorer, connection: Connection) -> None:
    try:
        while True:
            records = json.loads(connection.recv_bytes())
            answers = [Answer(Task(**record["task"]), record["text"], record["truncated"]) for record in records]
            _send(connection, _plain(scorer.verify(answers)))
    except (EOFError, OSError):
        return  # the parent has what it wanted, or is gone
    except BaseException:  # noqa: BLE001  a verifier's SystemExit would end this thread alone, and nobody would know
        traceback.print_exc()
        os._exit(1)


def _send(connection: Connection, message: Any) -> None:
    connection.send_bytes(json.dumps(message).encode())


def _plain(verification: Verification) -> dict[str, Any]:
    return {
        "verdicts": [_plain_verdict(verdict) for verdict in verification.verdicts],
        "failures": [asdict(failure) for failure in verification.failures],
    }


def _plain_verdict(verdict: Verdict) -> tuple[str, float | None, Mapping[str, Any]]:
    score = None if verdict.score is None else float(verdict.score)
    return str(verdict.status), score, {str(key): json_or_repr(value) for key, value in verdict.detail.items()}


def json_or_repr(value: Any) -> Any:
    """A JSON value as it is, anything else (also NaN, which is none) as its `repr`."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return printable_lines(repr(value), 1000)
