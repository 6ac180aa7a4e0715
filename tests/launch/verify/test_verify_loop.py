"""The loop of `reprise verify` over hosts that have no process, in a time of its own: order, losses, deadlines."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import virtual_time

from reprise.core.errors import RunError, UserError
from reprise.core.types import Task, Verdict
from reprise.launch.verify.loop import Ready, verify_all
from reprise.rewards.base import Answer
from reprise.rewards.pool.host import Host, HostDied
from reprise.rewards.scoring import Verification
from reprise.rewards.settings import VerifierSettings


class FakeHost:
    """Scores each answer with its length, unless its text is `hang` or `die`; a batch takes a second."""

    def __init__(self, start: Exception | None = None) -> None:
        self.given: list[list[str]] = []
        self.end = asyncio.Event()
        self.killed = self.closed = False
        self._start = start

    async def start(self) -> list[str]:
        if self._start is not None:
            raise self._start
        return ["is a fake"]

    async def verify(self, answers: Sequence[Answer]) -> Verification:
        texts = [answer.text for answer in answers]
        self.given.append(texts)
        await asyncio.sleep(1e9 if "hang" in texts else 1.0)
        if "die" in texts:
            self.end.set()
            raise HostDied("its process ended with signal SIGSEGV")
        return Verification([Verdict.scored(len(text)) for text in texts], 1.0, Counter())

    async def alive(self) -> None:
        pass

    async def ended(self) -> str:
        await self.end.wait()
        return "its process ended with signal SIGSEGV"

    async def close(self) -> None:
        self.closed = True

    def kill(self) -> None:
        self.killed |= not self.closed


def verified(
    texts: list[str],
    create: Callable[[str], Host] = lambda name: FakeHost(),
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
    notes = virtual_time.run(verify_all(answers, settings, create, write, window=window, batch_size=3))
    assert notes == [f"verifier {name}: is a fake" for name in verifiers]
    assert [(answer.task.id, answer.text) for answer, _ in written] == [(str(i), text) for i, text in enumerate(texts)]
    return [verdict for _, verdict in written]


@pytest.mark.parametrize("window", [1, 2, 5, 100])
@pytest.mark.parametrize("verifiers", ["a", "abc"])
def test_every_answer_gets_its_own_verdict_in_order(window: int, verifiers: str) -> None:
    texts = ["x" * n for n in range(50)]
    assert [verdict.score for verdict in verified(texts, window=window, verifiers=verifiers)] == list(range(50))


def test_no_more_answers_are_read_than_the_window_holds() -> None:
    reads, writes = 0, list[int]()
    given: list[asyncio.Event] = []

    def answers() -> Iterator[Answer]:
        nonlocal reads
        for i in range(100):
            reads += 1
            yield Answer(Task(str(i), "?", "d", "a"), "x")

    class Held(FakeHost):
        """Gives verdicts on a batch when it is let go."""

        async def verify(self, answers: Sequence[Answer]) -> Verification:
            given.append(asyncio.Event())
            await given[-1].wait()
            return await super().verify(answers)

    async def test() -> None:
        settings = {"a": VerifierSettings(use="x", concurrency=2, deadline_s=1e9)}
        verifying = asyncio.create_task(
            verify_all(
                answers(), settings, lambda name: Held(), lambda done: writes.append(len(done)), window=10, batch_size=4
            )
        )
        await asyncio.sleep(5)
        assert (len(given), writes, reads) == (2, [], 10)
        given[1].set()
        await asyncio.sleep(5)
        assert (len(given), writes, reads) == (3, [], 10)
        given[0].set()
        await asyncio.sleep(5)
        assert (writes, reads) == ([8], 18)
        verifying.cancel()
        await asyncio.gather(verifying, return_exceptions=True)

    virtual_time.run(test())


def hosts_of(texts: list[str], **chosen: Any) -> tuple[list[FakeHost], list[Verdict]]:
    hosts: list[FakeHost] = []

    def create(name: str) -> FakeHost:
        hosts.append(FakeHost())
        return hosts[-1]

    return hosts, verified(texts, create, **chosen)


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


@pytest.mark.parametrize(("error", "raised"), [(UserError, UserError), (RuntimeError, RunError)])
def test_a_verifier_that_cannot_start_ends_the_run(error: type[Exception], raised: type[Exception]) -> None:
    hosts: list[FakeHost] = []

    def create(name: str) -> FakeHost:
        hosts.append(FakeHost(error("no such model")))
        return hosts[-1]

    with pytest.raises(raised, match="verifier 'a' cannot start: no such model"):
        verified(["x"], create)
    assert [host.closed for host in hosts] == [True]


def test_a_start_that_never_ends_meets_its_deadline() -> None:
    class NeverStarts(FakeHost):
        async def start(self) -> list[str]:
            await asyncio.sleep(1e9)
            return []

    with pytest.raises(RunError, match=r"cannot start: it did not start within 5 s \(start_deadline_s\)"):
        verified(["x"], lambda name: NeverStarts(), start_deadline_s=5.0)


def test_a_process_that_dies_while_it_starts_ends_the_run() -> None:
    with pytest.raises(RunError, match="cannot start: its process ended with exit code 1"):
        verified(["x"], lambda name: FakeHost(HostDied("its process ended with exit code 1")))


def test_no_more_batches_are_given_out_than_are_verified_side_by_side() -> None:
    at_work, most = 0, 0

    class Counting(FakeHost):
        async def verify(self, answers: Sequence[Answer]) -> Verification:
            nonlocal at_work, most
            at_work += 1
            most = max(most, at_work)
            try:
                return await super().verify(answers)
            finally:
                at_work -= 1

    verified(["x"] * 50, lambda name: Counting(), concurrency=3)
    assert most == 3
