"""The loop of `reprise verify` with hosts that have no process: order, losses, deadlines."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from reprise.core.errors import RunError, UserError
from reprise.core.types import Task, Verdict
from reprise.launch.verify import loop
from reprise.launch.verify.host import Events, Host, Started, Verified
from reprise.launch.verify.loop import Ready, verify_all
from reprise.launch.verify.window import Batch, Window
from reprise.rewards.base import Answer
from reprise.rewards.settings import VerifierSettings


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_LOOK_EVERY_S", 0.001)


class FakeHost:
    """Scores each answer with its length, unless its text is `hang` or `die`. Each clock reading takes a second."""

    def __init__(self, events: Events, slots: int = 1) -> None:
        self.slots, self._events, self.given, self.end = slots, events, [], ""
        self.killed = self.closed = False
        events.put(Started(self))

    def give(self, slot: int, batch: Batch) -> None:
        texts = [answer.text for answer in batch.answers]
        self.given.append(texts)
        if "die" in texts:
            self.end = "its process was ended by signal 11"
        elif "hang" not in texts:
            self._events.put(Verified(self, slot, [Verdict.scored(len(text)) for text in texts]))

    def cause_of_death(self) -> str | None:
        return self.end or None

    def kill(self) -> None:
        self.killed = True

    def close(self) -> None:
        self.closed = True

    def ended(self, timeout_s: float) -> bool:
        return True


def verified(
    texts: list[str],
    make: Callable[[str, Events], Host] = lambda name, events: FakeHost(events),
    window: int = 100,
    verifiers: str = "a",
    **chosen: object,
) -> list[Verdict]:
    """The verdicts, in the order in which they were written, each with its own answer."""
    tasks = [Task(str(i), "?", "d", verifier) for i, verifier in zip(range(len(texts)), itertools.cycle(verifiers))]
    written: list[tuple[Answer, Verdict]] = []

    def write(ready: Ready) -> None:
        written.extend(ready)

    settings = {name: VerifierSettings.model_validate({"use": "x", "deadline_s": 20.0, **chosen}) for name in verifiers}
    answers = (Answer(task, text) for task, text in zip(tasks, texts))
    ticks = itertools.count()
    verify_all(Window(answers, window, batch_size=3), settings, make, write, clock=lambda: float(next(ticks)))
    assert [(answer.task.id, answer.text) for answer, _ in written] == [(str(i), text) for i, text in enumerate(texts)]
    return [verdict for _, verdict in written]


@pytest.mark.parametrize("window", [1, 2, 5, 100])
@pytest.mark.parametrize("verifiers", ["a", "abc"])
def test_every_answer_gets_its_own_verdict_in_order(window: int, verifiers: str) -> None:
    texts = ["x" * n for n in range(50)]
    assert [verdict.score for verdict in verified(texts, window=window, verifiers=verifiers)] == list(range(50))


def test_no_more_answers_are_read_than_the_window_holds() -> None:
    reads: list[int] = []
    answers = (reads.append(i) or Answer(Task(str(i), "?", "d", "a"), "x") for i in range(100))  # type: ignore[func-returns-value]
    window = Window(answers, size=10, batch_size=4)
    window.fill()
    first, second = window.next_batch("a"), window.next_batch("a")
    assert first is not None
    assert second is not None
    window.verified(second, [Verdict.scored(1)] * 4)
    assert (window.ready(), len(reads)) == ([], 10)
    window.verified(first, [Verdict.scored(1)] * 4)
    assert len(window.ready()) == 8
    window.fill()
    assert len(reads) == 18


def hosts_of(texts: list[str], **chosen: int) -> tuple[list[FakeHost], list[Verdict]]:
    hosts: list[FakeHost] = []

    def make(name: str, events: Events) -> FakeHost:
        hosts.append(FakeHost(events, slots=chosen.get("concurrency", 1)))
        return hosts[-1]

    return hosts, verified(texts, make, **chosen)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_answer_that_hangs_twice_the_second_time_alone_scores_0_and_no_other_does(concurrency: int) -> None:
    hosts, verdicts = hosts_of(["x", "hang", "xyz", "ab", "abcd"], concurrency=concurrency)
    assert [verdict.score for verdict in verdicts] == [1, 0, 3, 2, 4]
    assert verdicts[1].reason == "timeout"
    assert [host.killed for host in hosts] == [True, True, False]
    assert ["hang"] in hosts[1].given


def test_a_verifier_that_hangs_on_everything_is_not_the_answers_fault() -> None:
    _, verdicts = hosts_of(["hang", "hang"])
    assert [str(verdict.status) for verdict in verdicts] == ["infra_error"] * 2


def test_an_answer_that_kills_its_verifier_again_and_again_is_an_infra_error_and_no_zero() -> None:
    _, verdicts = hosts_of(["x", "die", "xyz"])
    assert [verdict.score for verdict in verdicts] == [1, None, 3]
    assert str(verdicts[1].status) == "infra_error"


def test_hosts_are_closed_at_the_end() -> None:
    hosts, _ = hosts_of(["x"])
    assert [host.closed for host in hosts] == [True]


@pytest.mark.parametrize(("user", "error"), [(True, UserError), (False, RunError)])
def test_a_verifier_that_cannot_start_ends_the_run(user: bool, error: type[Exception]) -> None:
    hosts: list[FakeHost] = []

    def make(name: str, events: Events) -> FakeHost:
        hosts.append(FakeHost(Events()))
        events.put(Started(hosts[-1], error="no such model", user=user))
        return hosts[-1]

    with pytest.raises(error, match="verifier 'a' cannot start: no such model"):
        verified(["x"], make)
    assert all(host.closed for host in hosts)


def test_a_start_that_never_ends_meets_its_deadline() -> None:
    with pytest.raises(RunError, match=r"cannot start: it did not within 5 s \(start_deadline_s\)"):
        verified(["x"], lambda name, events: FakeHost(Events()), start_deadline_s=5.0)


def test_a_process_that_dies_while_it_starts_ends_the_run() -> None:
    def make(name: str, events: Events) -> FakeHost:
        host = FakeHost(Events())
        host.end = "its process ended with exit code 1"
        return host

    with pytest.raises(RunError, match="cannot start: its process ended with exit code 1"):
        verified(["x"], make)
