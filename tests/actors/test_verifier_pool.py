"""Pools of real verifier actors that are killed, hang and die: every answer gets its one verdict, nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from reprise.actors.remote import Actor
from reprise.actors.verifier import VerifierActor, pool_of_actors
from reprise.core.errors import UserError
from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.infra_errors import InfraError, InfraErrors
from reprise.rewards.pool.health import Patience
from reprise.rewards.pool.keeper import Checks
from reprise.rewards.settings import RewardSettings, VerifierSettings

pytestmark = [pytest.mark.slow, pytest.mark.engines, pytest.mark.timeout(180)]

HERE = Path(__file__).parent
TRYING = "trying_verifiers:Trying"
PATIENCE = Patience(starts=2, back_off_s=0.1)
CHECKS = Checks(period_s=0.3, deadline_s=1.5)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # Inherited, and not in a `runtime_env`, for which Ray would start processes of its own.
        path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        patch.setenv("PYTHONPATH", path)
        ray.init(address="local", include_dashboard=False, num_cpus=2, log_to_driver=False, logging_level=logging.ERROR)
        yield
        ray.shutdown()


class Pool:
    """A pool with what it has reported, and the handles of its actors ever made."""

    def __init__(self, settings: VerifierSettings) -> None:
        rewards = RewardSettings(verifiers={"mine": settings}, retries=0)
        self.notes: list[str] = []
        self.failures: list[BaseException] = []
        self.infra_errors: list[InfraError] = []
        self.handles: list[Any] = []

        def create(number: int, again: bool) -> Actor[VerifierActor]:
            options = {"num_cpus": 0, "max_concurrency": 1000}
            self.handles.append(ray.remote(VerifierActor).options(**options).remote(rewards, "mine"))
            return Actor(self.handles[-1])

        report = (self.notes.append, self.infra_errors.extend, self.failures.append)
        self.pool = pool_of_actors("mine", settings, create, *report, PATIENCE, CHECKS)

    async def verify(self, texts: Sequence[str], answer: str = "1") -> Sequence[Verdict]:
        """The verdicts on the answers of a group."""
        task = Task("t", "?", "d", "mine", answer=answer)
        return (await self.pool.verify([Answer(task, text, False) for text in texts])).verdicts


@contextlib.asynccontextmanager
async def running(use: str = TRYING, **settings: Any) -> AsyncIterator[Pool]:
    made = Pool(VerifierSettings(use=use, **settings))
    made.pool.start()
    try:
        async with asyncio.timeout(60):
            await made.pool.started()
        yield made
        assert made.failures == []
    finally:
        await made.pool.close(0.0)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 150))


def actors() -> list[psutil.Process]:
    """The verifier actors of this process's Ray that live now."""
    family = psutil.Process().children(recursive=True)
    return [p for p in family if p.is_running() and "ray::VerifierActor" in " ".join(p.cmdline())]


def summed_up(verdicts: Sequence[Verdict]) -> list[tuple[float | None, str]]:
    return [(verdict.score, verdict.reason) for verdict in verdicts]


def test_killing_an_actor_loses_no_item_and_leaves_no_process() -> None:
    async def test() -> None:
        async with running("math", args={"processes": 1, "cpu_s": 1.0}, workers=2) as made:
            # Each batch keeps a live worker of the maths verifier busy: sympy never finishes with the first answer.
            groups = [["e^{e^{e^{e^{e}}}}", f"{n}^{{1/2}}", rf"\sqrt{{{n}}}"] for n in (2, 3, 5, 7)]
            boxed = [[rf"\boxed{{{text}}}" for text in group] for group in groups]
            verifying = [made.verify(texts, answer=group[-1]) for texts, group in zip(boxed, groups, strict=True)]
            waiting = [asyncio.create_task(one) for one in verifying]
            await asyncio.sleep(0.7)
            victim = actors()[0]
            children = victim.children(recursive=True)
            assert any("reprise.rewards.workers.process" in " ".join(child.cmdline()) for child in children)
            os.kill(victim.pid, signal.SIGKILL)
            for verdicts in await asyncio.gather(*waiting):
                assert summed_up(verdicts) == [(0.0, "timeout"), (1.0, "correct"), (1.0, "correct")]
            _, alive = psutil.wait_procs([victim, *children], timeout=5)
            assert alive == []
            counts = made.pool.counts()
            assert (counts.restarts, counts.waiting) == (1, 0)
            assert counts.rejudged == 3  # of the one batch that it was working on
            [note] = made.notes
            assert "died" in note
            assert "restarted" in note
            await made.pool.started()
            assert summed_up(await made.verify([r"\boxed{1}"])) == [(1.0, "correct")]

    run(test)


def test_only_the_answer_that_hangs_alone_too_scores_0() -> None:
    async def test() -> None:
        async with running(workers=2, deadline_s=1.5) as made:
            hung, fine = await asyncio.gather(made.verify(["right", "hang", "wrong"]), made.verify(["right", "wrong"]))
            assert summed_up(hung) == [(1.0, "correct"), (0.0, "timeout"), (0.0, "wrong")]
            assert summed_up(fine) == [(1.0, "correct"), (0.0, "wrong")]
            assert "missed its deadline (1.5 s a group)" in made.notes[0]
            assert made.pool.counts().restarts == 2

    run(test)


@pytest.mark.full  # with stand-ins: rewards/pool/test_case.py
def test_a_verifier_that_hangs_on_everything_gives_infra_errors_and_no_zeros() -> None:
    async def test() -> None:
        async with running(deadline_s=1.0) as made:
            verdicts = await made.verify(["hang", "hang"])
            assert [verdict.status for verdict in verdicts] == [Status.INFRA_ERROR] * 2

    run(test)


def test_an_answer_that_keeps_the_interpreter_to_itself_is_found_by_the_health_check() -> None:
    async def test() -> None:
        async with running() as made:  # with a deadline of minutes
            verdicts = await made.verify(["hold", "right"])
            assert summed_up(verdicts) == [(0.0, "timeout"), (1.0, "correct")]
            assert "did not answer its health checks" in made.notes[0]

    run(test)


def test_an_answer_that_its_actor_always_dies_of_is_an_infra_error_and_the_others_are_verified() -> None:
    async def test() -> None:
        async with running(workers=2) as made:
            verdicts = await made.verify(["right", "die", "exit", "wrong"])
            assert summed_up(verdicts) == [(1.0, "correct"), (None, "infra"), (None, "infra"), (0.0, "wrong")]
            assert "died 3 times" in verdicts[1].explanation
            assert "SystemExit" in verdicts[2].explanation
            failures = InfraErrors()
            failures.add(made.infra_errors)
            [raised] = [failure for failure in failures if "SystemExit" in failure.kind]
            assert "trying_verifiers.py" in raised.traceback
            assert "raise SystemExit" in raised.traceback
            assert raised.answers == 1

    run(test)


def test_as_many_batches_are_verified_side_by_side_as_the_recipe_says() -> None:
    async def test() -> None:
        async with running(args={"barrier": 3}, concurrency=3) as made:
            verified = await asyncio.gather(*(made.verify(["right"]) for _ in range(6)))
            assert [summed_up(verdicts) for verdicts in verified] == [[(1.0, "correct")]] * 6

    run(test)


@pytest.mark.full  # with stand-ins: rewards/pool/test_dispatch.py
def test_batches_beyond_the_queue_are_held_back_and_verified_in_the_end() -> None:
    async def test() -> None:
        async with running(queue=2) as made:
            waiting = [asyncio.create_task(made.verify(["slow", "right"])) for _ in range(6)]
            await asyncio.sleep(0.1)
            counts = made.pool.counts()
            assert (counts.held_back, counts.waiting) == (3, 5)
            for verdicts in await asyncio.gather(*waiting):
                assert summed_up(verdicts) == [(0.0, "wrong"), (1.0, "correct")]

    run(test)


@pytest.mark.full  # with stand-ins: rewards/pool/test_dispatch.py
def test_who_gives_up_waiting_leaves_the_pool_as_it_was() -> None:
    async def test() -> None:
        async with running() as made:
            waiting = [asyncio.create_task(made.verify(["slow"])) for _ in range(4)]
            await asyncio.sleep(0.1)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert made.pool.counts().waiting == 0
            assert summed_up(await made.verify(["right"])) == [(1.0, "correct")]

    run(test)


@pytest.mark.parametrize(
    ("use", "kind", "message", "starts"),
    [
        ("NeverStarts", RuntimeError, "verifier mine 0 has failed: RuntimeError: the service is down", 2),
        ("Misconfigured", UserError, "rewards.verifiers.mine.args.url: there is nobody", 1),
    ],
)
def test_an_actor_that_cannot_start_ends_the_run_with_its_cause(
    use: str, kind: type[BaseException], message: str, starts: int
) -> None:
    async def test() -> None:
        made = Pool(VerifierSettings(use=f"trying_verifiers:{use}"))
        made.pool.start()
        while not made.failures:
            await asyncio.sleep(0.05)
        [failure] = made.failures
        assert isinstance(failure, kind)
        assert str(failure) == message
        assert len(made.handles) == starts
        assert len(made.notes) == starts - 1
        assert all('raise RuntimeError("the service is down")' in note for note in made.notes), "with its traceback"
        await made.pool.close(0.0)

    run(test)
