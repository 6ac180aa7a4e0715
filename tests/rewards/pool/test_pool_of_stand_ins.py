"""The pool's own doing, over hosts that are stood in for, in a time of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import virtual_time

from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.infra_errors import InfraError
from reprise.rewards.pool.health import Patience
from reprise.rewards.pool.host import HostDied
from reprise.rewards.pool.keeper import Checks
from reprise.rewards.pool.verifier_pool import Verified, VerifierPool
from reprise.rewards.scoring import Verification
from reprise.rewards.settings import VerifierSettings

RIGHT = Verdict.scored(1.0, "correct")
TASK = Task("t", "?", "d", "mine")


class StandIn:
    """Verifies texts, a millisecond each: `hang` never ends, `die` ends the host, `raise` raises, others are right."""

    def __init__(self, number: int, log: list[tuple[int, list[str]]], deaf: bool = False) -> None:
        self.dead: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False
        self.number, self._log, self._deaf = number, log, deaf

    async def start(self) -> list[str]:
        return ["stands in"]

    async def verify(self, answers: Sequence[Answer]) -> Verification:
        work = asyncio.ensure_future(self._verify(answers))
        ends: set[asyncio.Future[Any]] = {work, self.dead}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if self.dead.done():
            raise HostDied("a signal")
        return work.result()

    async def alive(self) -> None:
        if self._deaf:
            await asyncio.Event().wait()

    async def ended(self) -> str:
        await asyncio.wait({self.dead})
        return "a signal"

    async def close(self) -> None:
        self.closed = True

    def kill(self) -> None:
        self.die()

    def die(self) -> None:
        if not self.dead.done():
            self.dead.set_result(None)

    async def _verify(self, answers: Sequence[Answer]) -> Verification:
        begun = asyncio.get_running_loop().time()
        self._log.append((self.number, [answer.text for answer in answers]))
        verdicts = [await self._one(answer.text) for answer in answers]
        return Verification(verdicts, asyncio.get_running_loop().time() - begun, Counter())

    async def _one(self, text: str) -> Verdict:
        await asyncio.sleep(0.001)
        if text == "hang":
            await asyncio.Event().wait()
        if text == "die":
            self.die()
            await asyncio.Event().wait()
        if text == "raise":
            raise ValueError("no verifier raises this far")
        return RIGHT


class Bench:
    """A pool of stand-ins, what each of them was asked, and what the pool reported."""

    def __init__(self, workers: int = 1, concurrency: int = 1, deaf: bool = False, deadline_s: float = 0.1) -> None:
        self.log: list[tuple[int, list[str]]] = []
        self.made: list[StandIn] = []
        self.notes: list[str] = []
        self.failures: list[tuple[int, Exception]] = []
        self.infra_errors: list[InfraError] = []

        def create(number: int, again: bool) -> StandIn:
            assert again == any(host.number == number for host in self.made)
            self.made.append(StandIn(number, self.log, deaf and not again))
            return self.made[-1]

        def fail(number: int, error: Exception) -> None:
            self.failures.append((number, error))

        settings = VerifierSettings(use="x", workers=workers, concurrency=concurrency, deadline_s=deadline_s)
        self.pool = VerifierPool(
            "mine", settings, create, self.notes.append, self.infra_errors.extend, fail,
            Patience(back_off_s=0.01), Checks(0.01, 0.05),
        )  # fmt: skip

    async def verified(self, *texts: str) -> Verified:
        return await self.pool.verify([Answer(TASK, text, False) for text in texts])

    async def verify(self, *texts: str) -> list[tuple[float | None, str]]:
        return [(verdict.score, verdict.reason) for verdict in (await self.verified(*texts)).verdicts]


def with_bench(test: Callable[[Bench], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        bench = Bench(**settings)
        bench.pool.start()
        await bench.pool.started()
        await test(bench)
        await bench.pool.close(1.0)
        assert all(host.closed or host.dead.done() for host in bench.made)

    virtual_time.run(asyncio.wait_for(run(), 20))


CORRECT, TIMEOUT, INFRA = (1.0, "correct"), (0.0, "timeout"), (None, "infra")


def test_a_batch_that_was_on_a_dead_actor_is_verified_elsewhere() -> None:
    async def test(bench: Bench) -> None:
        waiting = asyncio.create_task(bench.verify("a", "b"))
        while not bench.log:
            await asyncio.sleep(0)
        bench.made[0].die()
        assert await waiting == [CORRECT, CORRECT]
        assert bench.log[-1] == (1, ["a", "b"])
        assert (bench.pool.counts().restarts, bench.pool.counts().restarts) == (1, 0)
        died = "verifier mine 0 died (a signal); it is restarted, and what it had is verified again."
        assert (bench.notes, bench.pool.notes) == ([died], ["stands in"])

    with_bench(test, workers=2)


def test_a_late_answer_is_verified_alone_on_a_fresh_actor_and_blamed_while_others_go_on() -> None:
    async def test(bench: Bench) -> None:
        first, second = await asyncio.gather(bench.verify("a", "hang", "b"), bench.verify("c", "d"))
        assert first == [CORRECT, TIMEOUT, CORRECT]
        assert second == [CORRECT, CORRECT]
        assert [texts for _, texts in bench.log if len(texts) == 1] == [["a"], ["hang"], ["b"]]
        counts = bench.pool.counts()
        assert (counts.restarts, counts.rejudged, counts.waiting) == (2, 3, 0)

    with_bench(test)


def test_batches_beside_a_late_one_on_the_same_actor_are_verified_again_and_blamed_for_nothing() -> None:
    async def test(bench: Bench) -> None:
        late = asyncio.create_task(bench.verify("hang", "a"))
        await asyncio.sleep(0.07)
        beside = asyncio.create_task(bench.verify("b", *["c"] * 50))  # still at work at the deadline of the other
        assert await late == [TIMEOUT, CORRECT]
        assert await beside == [CORRECT] * 51
        assert sum(texts[0] == "b" for _, texts in bench.log) == 2

    with_bench(test, concurrency=2)


def test_two_late_batches_of_one_actor_each_get_a_fresh_one() -> None:
    async def test(bench: Bench) -> None:
        verified = await asyncio.gather(bench.verify("hang", "a"), bench.verify("b", "hang"))
        assert verified == [[TIMEOUT, CORRECT], [CORRECT, TIMEOUT]]

    with_bench(test, concurrency=2)


def test_an_answer_that_kills_is_an_infra_error_in_the_end() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.verify("a", "die", "b") == [CORRECT, INFRA, CORRECT]
        assert len(bench.made) == 1 + 3
        [error] = bench.infra_errors
        assert error.what.startswith("verifier 'mine': the verifier's actor died 3 times")
        assert error.answers == 1

    with_bench(test)


def test_a_deaf_actor_is_replaced_before_any_deadline() -> None:
    async def test(bench: Bench) -> None:
        while len(bench.made) < 2:
            await asyncio.sleep(0.01)
        assert "did not answer its health checks" in bench.notes[0]
        assert await bench.verify("a") == [CORRECT]

    with_bench(test, deaf=True, deadline_s=60)


def test_what_a_host_raises_that_lives_reaches_the_caller() -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(ValueError, match="no verifier raises this far"):
            await bench.verify("raise")
        assert await bench.verify("a") == [CORRECT]

    with_bench(test)


def test_time_in_the_queue_and_time_after_it_are_told_apart() -> None:
    async def test(bench: Bench) -> None:
        first, second = await asyncio.gather(bench.verified(*["a"] * 10), bench.verified(*["b"] * 20))
        assert (first.queue_seconds, first.seconds) == (pytest.approx(0), pytest.approx(0.01))
        assert (second.queue_seconds, second.seconds) == (pytest.approx(0.01), pytest.approx(0.02))

    with_bench(test)


def test_time_lost_with_an_actor_counts_as_verifying() -> None:
    async def test(bench: Bench) -> None:
        waiting = asyncio.create_task(bench.verified(*["a"] * 10))
        await asyncio.sleep(0.005)
        bench.made[0].die()  # and is restarted at once
        verified = await waiting
        assert (verified.queue_seconds, verified.seconds) == (pytest.approx(0), pytest.approx(0.005 + 0.01))

    with_bench(test)


def test_whoever_gives_up_waiting_frees_its_place_and_its_actor() -> None:
    async def test(bench: Bench) -> None:
        waiting = [asyncio.create_task(bench.verify(*["a"] * 10)) for _ in range(4)]
        await asyncio.sleep(0.005)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert bench.pool.counts().waiting == 0
        assert await bench.verify("b") == [CORRECT]
        assert [texts[0] for _, texts in bench.log] == ["a", "b"]

    with_bench(test)


def test_whoever_is_killed_and_whenever_every_answer_gets_its_verdict() -> None:
    async def test(bench: Bench) -> None:
        waiting = [asyncio.create_task(bench.verify(*"abcde")) for _ in range(40)]
        for round_ in range(12):
            await asyncio.sleep(0.011)
            bench.made[-1 - round_ % 2].die()
        verified = await asyncio.gather(*waiting)
        assert all(len(verdicts) == 5 and set(verdicts) <= {CORRECT, INFRA} for verdicts in verified)
        assert bench.pool.counts().waiting == 0
        assert bench.failures == []

    with_bench(test, workers=3, concurrency=2)
