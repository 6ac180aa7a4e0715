"""How early groups start: no earlier than the learner needs them."""

from __future__ import annotations


class Lead:
    """How many groups may be open at once. Pure.

    The staleness rule lets `most` be open. Where engines outrun the learner, that many would always be, and every group
    would wait in the buffer until it is as stale as it may be. So as long as the learner never waits, the lead shrinks
    at each batch by a sixteenth of the groups that are finished and left over. When the learner does wait, for whatever
    reason, the lead is `most` again: a cushion that stragglers cannot use up at once. In simulated runs this costs less
    than 0.5% of throughput; docs/architecture.md has the figures.

    Args:
        least: fresh groups in a batch. With fewer open than that, the learner could wait without end.
        most: what the staleness rule allows.
    """

    def __init__(self, least: int, most: int) -> None:
        self.groups = self.most = most
        self._least = least

    def taken(self, waited: bool, left: int) -> None:
        """A batch was taken; `waited`: the learner had to wait for it, `left`: finished groups that it left over."""
        if waited:
            self.groups = self.most
        elif left:
            self.groups = max(self._least, self.groups - max(1, left // 16))
