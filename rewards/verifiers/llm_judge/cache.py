"""What the judge has said before: in memory, and in an SQLite file if asked for."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from reprise.core.errors import UserError

Reply = tuple[int, str]  # score as the judge gave it, reason

_BUSY_S = 5.0


def key_of(request: Mapping[str, object]) -> str:
    """A digest of everything that was asked, model and rubric included."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


class ReplyCache:
    """Safe for several threads, and its file for several processes of one machine (SQLite's locks fail on NFS).

    A cache that fails is a cache that misses: judging goes on without the file.

    Args:
        size: replies kept in memory, the latest used ones.
        path: the file, made when it is first needed; None: memory alone.
    """

    def __init__(self, size: int, path: Path | None) -> None:
        self._size, self._path = size, path
        self._memory: OrderedDict[str, Reply] = OrderedDict()
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file. UserError if it cannot be used."""
        if self._path is None or self._database is not None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self._path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
            database.execute("pragma synchronous = off")  # what a power cut takes is asked again
            database.execute("create table if not exists replies (key text primary key, score integer, reason text)")
        except (sqlite3.Error, OSError) as error:
            raise UserError(f"cache_file {self._path}: {error}; name a file of this cache, or a new one") from None
        self._database = database

    def get(self, key: str) -> Reply | None:
        with self._lock:
            reply = self._memory.get(key)
            if reply is None and self._database is not None:
                try:
                    row = self._database.execute("select score, reason from replies where key = ?", (key,)).fetchone()
                    reply = (int(row[0]), str(row[1])) if row else None
                except (sqlite3.Error, ValueError, TypeError):
                    return None
            if reply is not None:
                self._remember(key, reply)
            return reply

    def put(self, replies: Mapping[str, Reply]) -> None:
        with self._lock:
            for key, reply in replies.items():
                self._remember(key, reply)
            if self._database is None or not replies:
                return
            rows = [
                (key, score, reason.encode("utf-8", "replace").decode()) for key, (score, reason) in replies.items()
            ]
            with suppress(sqlite3.Error):
                self._database.execute("begin immediate")
                try:
                    self._database.executemany("insert or ignore into replies values (?, ?, ?)", rows)
                    self._database.execute("commit")
                except sqlite3.Error:
                    self._database.execute("rollback")

    def close(self) -> None:
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _remember(self, key: str, reply: Reply) -> None:
        self._memory[key] = reply
        self._memory.move_to_end(key)
        while len(self._memory) > self._size:
            self._memory.popitem(last=False)
