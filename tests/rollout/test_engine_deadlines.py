"""What the real `VllmEngine` makes of slow, stuck and failing requests; vLLM itself is stood in for, and so is time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import virtual_time
from stand_in_llm import Played, StandInLlm, engine_on
from stand_ins import StandInFleet

from reprise.core.types import FinishReason, Task
from reprise.launch.evaluation.evaluate import evaluate
from reprise.launch.reporting.evaluated import Evaluated
from reprise.rollout.episodes.base import SampleRequest

pytestmark = [pytest.mark.slow, pytest.mark.engines]  # they import vLLM

TASKS = [Task(str(n), "?", "sums", "exact") for n in range(6000)]


async def ready(played: Played) -> Played:
    await played.engine.finish_weights(0)
    return played


def request(number: int = 0) -> SampleRequest:
    return SampleRequest(Task(str(number), "?", "sums", "exact"), f"{number}#1", 0, 2)


def evaluated_after_queueing(
    monkeypatch: pytest.MonkeyPatch, policy: Path, tasks: int, slots: int, at_once: int
) -> Evaluated:
    """A sequence takes 0.05 s, a group may take 2 s, and all of them together take 5."""
    llm = StandInLlm(slots, seconds=0.05)

    async def run() -> Evaluated:
        played = await ready(engine_on(monkeypatch, policy, llm, group_deadline_s=2))
        codec = played.episode.codec
        monkeypatch.setattr(codec, "prompt_ids", lambda task: np.ones(1, np.int32))  # 6,000 take a second
        monkeypatch.setattr(codec, "text", lambda prompt, response: "")
        fleet = StandInFleet(played.engine, played.episode)
        return await evaluate(fleet, {"sums": TASKS[:tasks]}, samples=1, at_once=at_once, version=0)

    result = virtual_time.run(run())
    assert llm.most_running == slots
    return result


def test_6000_tasks_are_verified_though_each_may_take_only_2_seconds(
    motif2_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = evaluated_after_queueing(monkeypatch, motif2_policy, tasks=6000, slots=64, at_once=128)
    assert result.results.domains["sums"].tasks == 6000


def test_what_the_engine_is_given_at_once_is_not_overdue_for_having_queued(
    motif2_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = evaluated_after_queueing(monkeypatch, motif2_policy, tasks=200, slots=2, at_once=200)
    assert result.results.domains["sums"].tasks == 200


def test_a_group_that_takes_too_long_from_its_first_token_ends_and_is_aborted(
    motif2_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = StandInLlm(slots=2, seconds=100)

    async def run() -> float:
        played = await ready(engine_on(monkeypatch, motif2_policy, llm, group_deadline_s=20))
        with pytest.raises(TimeoutError, match=r"request-1 did not finish within 20 s of its first token"):
            await played.sample(request())
        await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert virtual_time.run(run()) == pytest.approx(30, abs=2)  # the first token comes after 10 s
    assert llm.aborted == 1


def test_a_request_that_never_starts_ends_too(motif2_policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        played = await ready(engine_on(monkeypatch, motif2_policy, StandInLlm(slots=0, seconds=1), group_deadline_s=20))
        with pytest.raises(TimeoutError, match="request-1 did not begin, and the engine began and ended no other"):
            await played.sample(request())

    virtual_time.run(run())


def test_a_pause_for_new_weights_counts_for_nobody(motif2_policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> float:
        played = await ready(
            engine_on(monkeypatch, motif2_policy, StandInLlm(slots=2, seconds=15), group_deadline_s=20)
        )
        groups = [asyncio.ensure_future(played.sample(request(n))) for n in range(2)]  # one runs, one waits
        await asyncio.sleep(5)
        await played.engine.begin_weights()
        await asyncio.sleep(1000)
        await played.engine.finish_weights(1)
        await asyncio.gather(*groups)
        return asyncio.get_running_loop().time()

    assert virtual_time.run(run()) > 1000


@pytest.mark.parametrize("reason", ["abort", "error", "repetition", None])
def test_a_response_that_the_engine_broke_off_is_sampled_again_and_counted(
    motif2_policy: Path, monkeypatch: pytest.MonkeyPatch, reason: Any
) -> None:
    llm = StandInLlm(slots=2, seconds=1)
    llm.reasons = ["stop", reason, "length", "stop"]

    async def run() -> None:
        played = await ready(engine_on(monkeypatch, motif2_policy, llm))
        group, responses = await played.sample(request())
        assert [t.finish_reason for t in group.trajectories] == [FinishReason.LENGTH, FinishReason.STOP]
        assert responses.truncated == (True, False)
        assert [played.engine.stats().sampled_again, played.engine.stats().sampled_again] == [1, 0]

    virtual_time.run(run())


def test_an_engine_that_breaks_off_every_time_ends_the_run_and_says_how(
    motif2_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = StandInLlm(slots=2, seconds=1)
    llm.reasons = ["stop", "error"] * 3

    async def run() -> None:
        played = await ready(engine_on(monkeypatch, motif2_policy, llm))
        with pytest.raises(RuntimeError, match=r"ended responses of group 0#1 with error instead .*, 3 times in a row"):
            await played.sample(request())

    virtual_time.run(run())


def test_a_groups_noise_does_not_depend_on_when_or_where_it_is_sampled(
    motif2_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seeds(order: Sequence[int]) -> dict[int, int]:
        llm = StandInLlm(slots=2, seconds=1)

        async def run() -> None:
            played = await ready(engine_on(monkeypatch, motif2_policy, llm))
            for number in order:
                await played.sample(request(number))

        virtual_time.run(run())
        return dict(zip(order, llm.seeds, strict=True))

    assert seeds([0, 1, 2]) == seeds([2, 0, 1])
    assert len(set(seeds([0, 1, 2]).values())) == 3


@pytest.mark.parametrize("batched", [None, 8, 4096])
def test_on_cpu_no_prompt_is_computed_in_parts(
    motif2_policy: Path, monkeypatch: pytest.MonkeyPatch, batched: int | None
) -> None:
    """VLLM 0.32 dies there of a seeded request that is: `RuntimeError: CPU Generator does not use offset`."""
    llm = StandInLlm(slots=2, seconds=1)

    async def run() -> None:
        engine_on(monkeypatch, motif2_policy, llm, max_num_batched_tokens=batched)

    virtual_time.run(run())
    assert llm.arguments.enable_chunked_prefill is False
    assert llm.arguments.max_num_batched_tokens == {None: None, 8: 64, 4096: 4096}[batched]
