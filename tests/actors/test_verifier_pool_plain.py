"""The pool's own doing, without Ray: actors are stood in for, and time is short."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from reprise.actors.errors import ActorFailure
from reprise.actors.verifier import Told
from reprise.actors.verifier_pool import Checks, VerifierPool
from reprise.core.types import Verdict
from reprise.rewards.infra_errors import InfraError
from reprise.rewards.pool.health import Patience
from reprise.rewards.settings import VerifierSettings

RIGHT = Verdict.scored(1.0, "correct")


class Method:
    def __init__(self, actor: Actor, work: Callable[..., Awaitable[Any]]) -> None:
        self._actor, self._work, self._returns = actor, work, 1

    def options(self, num_returns: int) -> Method:
        self._returns = num_returns
        return self

    def remote(self, *arguments: Any) -> Any:
        answer = asyncio.ensure_future(self._answer(*arguments))
        if self._returns == 1:
            return answer
        return tuple(asyncio.ensure_future(self._part(answer, i)) for i in range(self._returns))

    async def _answer(self, *arguments: Any) -> Any:
        work = asyncio.ensure_future(self._work(*arguments))
        await asyncio.wait({work, self._actor.dead}, return_when=asyncio.FIRST_COMPLETED)
        if self._actor.dead.done():
            raise ActorDiedError()
        return await work

    @staticmethod
    async def _part(answer: asyncio.Future[Any], index: int) -> Any:
        return (await answer)[index]


class Actor:
    """Judges texts: `hang` never ends, `die` ends the actor, `raise` raises, others are right. Episodes are texts."""

    def __init__(self, number: int, log: list[tuple[int, Any]], deaf: bool = False) -> None:
        self.dead: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._number, self._log, self._deaf = number, log, deaf
        for name in ("start", "alive", "ping", "judge", "judge_one"):
            setattr(self, name, Method(self, getattr(self, f"_{name}")))

    def die(self) -> None:
        if not self.dead.done():
            self.dead.set_result(None)

    async def _start(self) -> None:
        pass

    async def _alive(self) -> None:
        await asyncio.Event().wait()

    async def _ping(self) -> None:
        if self._deaf:
            await asyncio.Event().wait()

    async def _judge(
        self, texts: list[str], known: Mapping[int, Verdict], queue: float, spent: float
    ) -> tuple[list[Verdict], Told]:
        self._log.append((self._number, texts))
        verdicts = [known.get(i) or await self._one(text) for i, text in enumerate(texts)]
        return verdicts, Told(sum(v.score is not None for i, v in enumerate(verdicts) if i not in known))

    async def _judge_one(self, texts: list[str], number: int) -> tuple[Verdict, tuple[InfraError, ...]]:
        self._log.append((self._number, texts[number]))
        return await self._one(texts[number]), ()

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
    """A pool of stand-ins, what it judged, and what it told."""

    def __init__(self, workers: int = 1, concurrency: int = 1, deaf: bool = False, deadline_s: float = 0.1) -> None:
        self.log: list[tuple[int, Any]] = []
        self.made: list[Actor] = []
        self.notes: list[str] = []
        self.failures: list[BaseException] = []
        self.told: list[InfraError] = []

        def create(number: int, again: bool) -> Actor:
            assert again == any(actor._number == number for actor in self.made)
            self.made.append(Actor(number, self.log, deaf and not again))
            return self.made[-1]

        settings = VerifierSettings(use="x", workers=workers, concurrency=concurrency, deadline_s=deadline_s)
        self.pool = VerifierPool(
            "mine", settings, create, self.notes.append, self.told.extend, self.failures.append,
            Patience(back_off_s=0.01), Checks(0.01, 0.05), kill=Actor.die,
        )  # fmt: skip

    async def judged(self, *texts: str) -> list[tuple[float | None, str]]:
        verdicts = await (await self.pool.judged(list(texts), len(texts), 1))
        return [(verdict.score, verdict.reason) for verdict in verdicts]


def with_bench(test: Callable[[Bench], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        bench = Bench(**settings)
        bench.pool.start()
        await bench.pool.started()
        await test(bench)
        await bench.pool.close()

    asyncio.run(asyncio.wait_for(run(), 20))


CORRECT, TIMEOUT, INFRA = (1.0, "correct"), (0.0, "timeout"), (None, "infra")


def test_a_batch_that_was_on_a_dead_actor_is_judged_elsewhere() -> None:
    async def test(bench: Bench) -> None:
        waiting = asyncio.create_task(bench.judged("a", "b"))
        await asyncio.sleep(0)
        bench.made[0].die()
        assert await waiting == [CORRECT, CORRECT]
        assert bench.log[-1] == (1, ["a", "b"])
        assert (bench.pool.counts().restarts, bench.pool.counts().restarts) == (1, 0)

    with_bench(test, workers=2)


def test_a_late_answer_is_judged_alone_on_a_fresh_actor_and_blamed_while_others_go_on() -> None:
    async def test(bench: Bench) -> None:
        first, second = await asyncio.gather(bench.judged("a", "hang", "b"), bench.judged("c"))
        assert first == [CORRECT, TIMEOUT, CORRECT]
        assert second == [CORRECT]
        alone = [entry for entry in bench.log if isinstance(entry[1], str)]
        assert [text for _, text in alone] == ["a", "hang", "b"]
        counts = bench.pool.counts()
        assert (counts.restarts, counts.rejudged, counts.waiting) == (2, 3, 0)

    with_bench(test)


def test_batches_beside_a_late_one_on_the_same_actor_are_judged_again_and_blamed_for_nothing() -> None:
    async def test(bench: Bench) -> None:
        late = asyncio.create_task(bench.judged("hang", "a"))
        await asyncio.sleep(0.07)
        beside = asyncio.create_task(bench.judged("b", *["c"] * 50))  # still at work at the deadline of the other
        assert await late == [TIMEOUT, CORRECT]
        assert await beside == [CORRECT] * 51
        assert sum(texts[0] == "b" for _, texts in bench.log) == 2

    with_bench(test, concurrency=2)


def test_two_late_batches_of_one_actor_each_get_a_fresh_one() -> None:
    async def test(bench: Bench) -> None:
        judged = await asyncio.gather(bench.judged("hang", "a"), bench.judged("b", "hang"))
        assert judged == [[TIMEOUT, CORRECT], [CORRECT, TIMEOUT]]

    with_bench(test, concurrency=2)


def test_an_answer_that_kills_is_an_infra_error_in_the_end() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.judged("a", "die", "b") == [CORRECT, INFRA, CORRECT]
        assert len(bench.made) == 1 + 3
        [told] = bench.told
        assert (told.what.startswith("verifier 'mine': the verifier's actor died 3 times"), told.answers) == (True, 1)

    with_bench(test)


def test_a_deaf_actor_is_replaced_before_any_deadline() -> None:
    async def test(bench: Bench) -> None:
        while len(bench.made) < 2:
            await asyncio.sleep(0.01)
        assert "did not answer its health checks" in bench.notes[0]
        assert await bench.judged("a") == [CORRECT]

    with_bench(test, deaf=True, deadline_s=60)


def test_what_the_actor_itself_raises_ends_the_run_with_its_cause() -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(ActorFailure, match="verifier mine 0 has failed: ValueError: no verifier raises this far"):
            await bench.judged("raise")
        assert await bench.judged("a") == [CORRECT]

    with_bench(test)


def test_whoever_is_killed_and_whenever_every_answer_gets_its_verdict() -> None:
    async def test(bench: Bench) -> None:
        waiting = [asyncio.create_task(bench.judged(*"abcde")) for _ in range(40)]
        for round_ in range(12):
            await asyncio.sleep(0.011)
            bench.made[-1 - round_ % 2].die()
        judged = await asyncio.gather(*waiting)
        assert all(len(verdicts) == 5 and set(verdicts) <= {CORRECT, INFRA} for verdicts in judged)
        assert bench.pool.counts().waiting == 0
        assert bench.failures == []

    with_bench(test, workers=3, concurrency=2)
