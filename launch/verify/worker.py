"""The process of one verifier: whatever happens in it, it can be killed without loss.

Answers come and a verification goes back, both pickled. Each socket is served by a thread, so that a verifier with
`concurrency` above 1 verifies as many batches at a time.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import threading
import traceback
from collections.abc import Sequence
from dataclasses import replace

from reprise.core.errors import UserError
from reprise.core.printable import middle_cut, printable_lines
from reprise.core.processes import die_with
from reprise.core.types import Verdict
from reprise.rewards.scoring import Scorer, started
from reprise.rewards.settings import VerifierSettings

LENGTH_BYTES = 8  # of what goes back, before it
_MESSAGE_CHARS = 4000


def serve(name: str, chosen: str, retries: int, parent: int, fds: Sequence[int]) -> None:
    """Verify what comes over the sockets `fds` until the parent closes them. `chosen` is `VerifierSettings` as JSON.

    The first message out, on the first socket, is the verifier's notes once it has started, or the error if it cannot.
    """
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the parent, which then closes the sockets
    sockets = [socket.socket(fileno=fd) for fd in fds]
    for each in sockets:
        each.set_inheritable(False)
    try:
        scorer, notes = started(name, VerifierSettings.model_validate_json(chosen), retries)
    except UserError as error:
        return _send(sockets[0], UserError(middle_cut(str(error), _MESSAGE_CHARS)))
    except Exception as error:  # noqa: BLE001  the parent decides what a verifier that cannot start means
        told = [middle_cut(f"{type(error).__name__}: {error}", _MESSAGE_CHARS), *getattr(error, "__notes__", ())]
        return _send(sockets[0], RuntimeError("\n".join(told)))
    try:
        _send(sockets[0], notes)
        threads = [threading.Thread(target=_serve, args=(scorer, each)) for each in sockets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        scorer.close()


def _serve(scorer: Scorer, connection: socket.socket) -> None:
    try:
        answers = connection.makefile("rb")
        while True:
            done = scorer.verify(pickle.load(answers))  # noqa: S301 - of our own parent
            _send(connection, replace(done, verdicts=[_plain(verdict) for verdict in done.verdicts]))
    except (EOFError, OSError):
        return  # the parent has what it wanted, or is gone
    except BaseException:  # noqa: BLE001  a verifier's SystemExit would end this thread alone, and nobody would know
        traceback.print_exc()
        os._exit(1)


def _send(connection: socket.socket, message: object) -> None:
    data = pickle.dumps(message)
    connection.sendall(len(data).to_bytes(LENGTH_BYTES) + data)


def _plain(verdict: Verdict) -> Verdict:
    """Of nothing but Python's own types, whatever the verifier made it of."""
    detail = {str(key): json_or_repr(value) for key, value in verdict.detail.items()}
    return Verdict(verdict.status, None if verdict.score is None else float(verdict.score), detail)


def json_or_repr(value: object) -> object:
    """A JSON value as it is, anything else (also NaN, which is none) as its `repr`."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return printable_lines(repr(value), 1000)
