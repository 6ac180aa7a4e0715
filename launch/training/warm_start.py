"""Feeding the warm start: traces are made, tokenised and handed to the learner part by part, one part ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from reprise.actors.learner_group import LearnerGroup
from reprise.core.errors import UserError
from reprise.core.plugins import resolve
from reprise.core.types import Int32
from reprise.learner.settings import WarmStartSettings
from reprise.rollout.chat import ChatCodec

_STEPS_A_PART = 25


async def warm_start(
    settings: WarmStartSettings,
    seed: int,
    learner: LearnerGroup,
    codec: ChatCodec,
    on_progress: Callable[[int, str], None],
) -> None:
    """All supervised steps. `on_progress(steps done, text)` after every part."""
    traces = _tokenised(settings, seed, codec)
    done = 0
    part = _take(traces, settings, done)
    while part:
        done += len(part) // settings.batch_size
        running = asyncio.create_task(learner.warm_start(settings, part, last=done == settings.steps))
        # The next part is made while the learner works on this one.
        part = await asyncio.to_thread(_take, traces, settings, done)
        metrics = await running
        on_progress(done, f"loss {metrics.get('loss/sft', float('nan')):.3f}")


def _tokenised(settings: WarmStartSettings, seed: int, codec: ChatCodec) -> Iterator[tuple[Int32, Int32]]:
    """(prompt_ids, response_ids) of every trace, in the generator's order."""
    generator: Any = resolve(settings.traces, "warm_start.traces")
    for trace in generator(seed=seed, count=settings.steps * settings.batch_size, **settings.args):
        try:
            response = codec.response_ids(trace.response)
        except UserError as error:
            raise UserError(f"warm_start.traces: {settings.traces}, task {trace.task.id!r}: {error}") from error
        yield codec.prompt_ids(trace.task), response


def _take(traces: Iterator[tuple[Int32, Int32]], settings: WarmStartSettings, done: int) -> list[tuple[Int32, Int32]]:
    steps = min(_STEPS_A_PART, settings.steps - done)
    part = list(islice(traces, steps * settings.batch_size))
    if len(part) < steps * settings.batch_size:
        raise UserError(
            f"warm_start.traces: {settings.traces} ended after {done * settings.batch_size + len(part)} traces; "
            f"steps {settings.steps} x batch_size {settings.batch_size} need {settings.steps * settings.batch_size}"
        )
    return part
