"""The file of verdicts: one JSON line an answer, in the answers' order, so that its length shows the progress.

A line is whole or it does not count: whatever follows the last newline is what a killed run left of its last write.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from reprise.core.errors import RunError, UserError
from reprise.core.files import replacing
from reprise.core.types import Status, Verdict
from reprise.launch.verify.worker import json_or_repr

_BEGINNING = b'{"id": '


class Recorded(NamedTuple):
    """What a line of the file says."""

    id: str
    status: Status
    score: float | None
    reason: str

    @classmethod
    def of(cls, task_id: str, verdict: Verdict) -> Self:
        return cls(task_id, verdict.status, verdict.score, verdict.reason or str(verdict.status))


def to_line(task_id: str, verdict: Verdict) -> bytes:
    """The line of one verdict, newline included. Detail that is no JSON is written as its `repr`."""
    record = {
        "id": task_id,
        "status": str(verdict.status),
        "score": verdict.score,
        "detail": {
            **{str(key): json_or_repr(value) for key, value in verdict.detail.items()},
            "reason": verdict.reason or str(verdict.status),
        },
    }
    return json.dumps(record, allow_nan=False).encode() + b"\n"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What keeps verdicts from being written (a full disk, a quota, a lost mount) as a `RunError`."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror or error}; the verdicts so far are kept, and the same "
            "command continues"
        ) from error


class VerdictFile:
    """Appends verdicts; at most one process at a time. Opening it removes a torn last line and nothing else. `RunError`
    if it cannot be written.

    recorded  the verdicts that were there when it was opened
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise UserError(f"--output {path} cannot be written: {error.strerror}") from None
        try:
            self._lock()
            self._file.seek(0)
            self.recorded, whole = _read(path, self._file)
            self._file.truncate(whole)
        except BaseException:
            self._file.close()
            raise

    def append(self, lines: Iterable[bytes]) -> None:
        """Write whole lines and hand them to the system before returning."""
        data = b"".join(lines)
        with writing(self.path):
            while data:
                data = data[self._file.write(data) :]

    def replace(self, lines: Mapping[int, bytes]) -> None:
        """Other lines for some verdicts, by place: all of them or, if this process is killed meanwhile, none."""
        self._file.seek(0)
        kept = self._file.read().splitlines(keepends=True)
        with writing(self.path), replacing(self.path) as new:
            new.writelines(lines.get(place, line) for place, line in enumerate(kept))

    def close(self) -> None:
        if not self._file.closed:
            with self._file, writing(self.path):
                os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"--output {self.path} is being written by another `reprise verify`") from None


def recorded(path: Path) -> list[Recorded]:
    """The whole lines of a file of verdicts, which is only looked at; none if it does not exist."""
    if not path.exists():
        return []
    try:
        with path.open("rb") as lines:
            return _read(path, lines)[0]
    except OSError as error:
        raise UserError(f"--output {path} cannot be read: {error.strerror}") from None


def check_order(path: Path, verdicts: Sequence[Recorded], ids: Sequence[str]) -> None:
    """Refuse a file of verdicts that are not those of the first answers."""
    for number, (verdict, task_id) in enumerate(zip(verdicts, ids), 1):
        if verdict.id != task_id:
            raise UserError(
                f"{path}:{number}: this verdict is about task {verdict.id!r}, but answer {number} is to task "
                f"{task_id!r}: these verdicts belong to other answers; name another --output, or delete this one"
            )
    if len(verdicts) > len(ids):
        raise UserError(
            f"{path} has {len(verdicts)} verdicts for {len(ids)} answers: these verdicts belong to other answers; "
            "name another --output, or delete this one"
        )


def _read(path: Path, lines: Iterable[bytes]) -> tuple[list[Recorded], int]:
    """The verdicts, and the length in bytes of their lines. UserError for a file of anything else."""
    verdicts: list[Recorded] = []
    whole = 0
    for number, line in enumerate(lines, 1):
        if line.endswith(b"\n"):
            verdicts.append(_parse(line, f"{path}:{number}"))
            whole += len(line)
        elif not (line.startswith(_BEGINNING) or _BEGINNING.startswith(line)):
            raise UserError(f"{path}:{number}: not a verdict; {_OTHER_FILE}")
    return verdicts, whole


def _parse(line: bytes, where: str) -> Recorded:
    try:
        record = json.loads(line)
        status = Status(record["status"])
        score = None if record["score"] is None else float(record["score"])
        return Recorded(str(record["id"]), status, score, str(record["detail"]["reason"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{where}: not a verdict; {_OTHER_FILE}") from None


_OTHER_FILE = "--output continues the verdicts of an earlier run, and this file holds something else; name another"
