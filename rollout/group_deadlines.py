"""When is a group overdue? Decided without vLLM and without a clock."""

from __future__ import annotations


class GroupDeadlines:
    """Every group ends, and none for having queued. Pure: its caller reports what happens, in seconds of any one clock.

    A group has `limit_s` from its first token. One that still waits for it is overdue when no group at all has begun or
    ended for `limit_s`: an engine serves in order, and whoever holds the places began before and is done, or overdue,
    by then. So a wait is bounded by the groups ahead, and an engine that stands still is noticed after `limit_s`.
    Pauses count for nobody.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit = limit_s
        self._since: dict[str, float] = {}  # first token, or submission until then
        self._waiting: set[str] = set()
        self._moved = 0.0  # when a group last began or ended
        self._paused_at: float | None = None
        self._paused = 0.0

    def submit(self, group: str, now: float) -> None:
        """The group was handed to the engine."""
        self._since[group] = self._running(now)
        self._waiting.add(group)

    def begin(self, group: str, now: float) -> None:
        """The group has tokens; may be said again."""
        if group in self._waiting:
            self._waiting.remove(group)
            self._since[group] = self._moved = self._running(now)

    def end(self, group: str, now: float) -> None:
        """The group is finished or given up."""
        del self._since[group]
        self._waiting.discard(group)
        self._moved = self._running(now)

    def pause(self, now: float) -> None:
        """The engine stands still from now on, on request."""
        if self._paused_at is None:
            self._paused_at = now

    def resume(self, now: float) -> None:
        """The engine goes on."""
        if self._paused_at is not None:
            self._paused += now - self._paused_at
            self._paused_at = None

    def overdue(self, group: str, now: float) -> str:
        """Why the group has to be given up; empty if it has not."""
        waiting = group in self._waiting
        since = max(self._since[group], self._moved) if waiting else self._since[group]
        if self._running(now) - since < self._limit:
            return ""
        if waiting:
            return f"did not begin, and the engine began and ended no other group for {self._limit:g} s"
        return f"did not finish within {self._limit:g} s of its first token"

    def _running(self, now: float) -> float:
        """Seconds up to `now` without those of pauses."""
        return (now if self._paused_at is None else self._paused_at) - self._paused
