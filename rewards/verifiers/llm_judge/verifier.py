"""The verifier `llm_judge`."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import httpx
from pydantic import ConfigDict, Field, validate_call

from reprise.core.errors import UserError
from reprise.core.types import Task, Verdict
from reprise.rewards.base import Answer, Reason, Verifier
from reprise.rewards.parsing import Extraction, find_answer, has_visible
from reprise.rewards.verifiers.llm_judge.cache import Reply, ReplyCache, key_of
from reprise.rewards.verifiers.llm_judge.client import Client, Patience, Refused, Unavailable, Unreadable
from reprise.rewards.verifiers.llm_judge.loop import LoopThread
from reprise.rewards.verifiers.llm_judge.prompt import INSTRUCTIONS, Rubric, read_reply, response_schema

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]

# Stands in for an answer that the endpoint refuses, to see whether it would take another.
_HARMLESS = "I do not know."
_SLACK_S = 5.0


class LlmJudgeVerifier(Verifier):
    """Scores (n - low) / (high - low) for the whole number n that the judge gives.

    base_url, model  an OpenAI-compatible endpoint, such as http://judge:8000/v1, and the model it serves
    rubric           what to judge by: text with {prompt}, {reference} (task.answer) and {answer} in it
    low, high        the scale: whole numbers, at most 100 apart
    api_key_file     a file that holds the key alone; read when the verifier starts, where it starts
    extract, tag     which part of the response is judged (see `find_answer`): by default all after the reasoning
    max_chars        a longer answer is not shown to the judge and scores 0 (output_limit)
    concurrency      requests at a time
    timeout_s        seconds for one request
    deadline_s       seconds for one answer: at most `attempts` requests and the waits between them (`back_off_s`,
                     doubling, or what Retry-After says)
    max_tokens       of the judge's reply; its reason has at most `reason_chars` characters
    specials         texts to which the judge's chat template gives a meaning, beyond the usual (`prompt.neutralise`)
    request          more fields of the request, such as {chat_template_kwargs: {enable_thinking: false}}; null takes
                     one out. The temperature is 0, unless you set it here
    cache_size       replies kept in memory; cache_file: and, on disk, for other runs and processes of this machine

    No answer found is unparseable (no_answer). An endpoint that is not reached is an infra error, and so is one whose
    reply is not the JSON asked for, or that refuses the request (HTTP 400, 413, 422) or fails at it (500). But where it
    then takes a harmless answer to the same task, and not this one once more, this one scores 0 (output_limit for a
    refusal, else unreadable): what the judge will not read must not be a way out. An answer costs at most
    2 x `attempts` + 1 requests.
    """

    @validate_call(config=ConfigDict(strict=True))
    def __init__(
        self,
        base_url: str,
        model: Annotated[str, Field(min_length=1)],
        rubric: str,
        low: int = 0,
        high: int = 10,
        api_key_file: str | None = None,
        extract: Extraction = "text",
        tag: str = "answer",
        max_chars: Count = 20_000,
        concurrency: Count = 8,
        timeout_s: Seconds = 60.0,
        deadline_s: Seconds = 180.0,
        attempts: Count = 4,
        back_off_s: Seconds = 1.0,
        max_tokens: Count = 512,
        reason_chars: Count = 500,
        specials: list[str] | None = None,
        request: dict[str, object] | None = None,
        cache_size: Annotated[int, Field(ge=0)] = 10_000,
        cache_file: str | None = None,
    ) -> None:
        if not low < high <= low + 100:
            raise ValueError(f"low, high: high must be above low, by at most 100, not {low} and {high}")
        if deadline_s < timeout_s:
            raise ValueError(f"deadline_s must be at least timeout_s ({timeout_s:g}), not {deadline_s:g}")
        self._base_url, self._model, self._low, self._high = _checked_url(base_url), model, low, high
        self._rubric = Rubric(rubric, specials or ())
        self._api_key_file, self._concurrency = api_key_file, concurrency
        self._extract, self._tag, self._max_chars = extract, tag, max_chars
        self._patience = Patience(timeout_s, deadline_s, attempts, back_off_s)
        fields = {
            "model": model,
            "temperature": 0,
            "seed": 0,
            "max_tokens": max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "grade", "strict": True, "schema": response_schema(low, high, reason_chars)},
            },
            **(request or {}),
        }
        self._read = partial(read_reply, low=low, high=high)
        self._fields = {name: value for name, value in fields.items() if value is not None}
        self._cache = ReplyCache(cache_size, Path(cache_file) if cache_file else None)
        self._running: tuple[LoopThread, Client] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Raises UserError (key or cache file, or a model that is not served there) or RuntimeError (not reachable)."""
        loop, client = self._run()
        try:
            served = loop.run(client.models(), self._patience.deadline_s + _SLACK_S)
        except (Unavailable, TimeoutError) as error:
            raise RuntimeError(f"the judge cannot be reached: {error}") from None
        if served is not None and self._model not in served:
            raise UserError(
                f"model {self._model!r} is not served at {self._base_url}, which serves {', '.join(served)}"
            )

    def may_be_tried(self) -> bool:
        return False  # its endpoint may be up only when the run is, and may cost money

    def close(self) -> None:
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            loop, client = running
            with suppress(TimeoutError):  # connections of a judge that hangs end with the loop
                loop.run(client.close(), _SLACK_S)
            loop.close()
        self._cache.close()

    def check_task(self, task: Task) -> None:
        self._rubric.check_task(task)

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        verdicts: list[Verdict | None] = []
        to_ask: dict[str, Mapping[str, object]] = {}  # by key, so that equal answers to a task are asked about once
        keys: list[str] = []
        probes: dict[str, Mapping[str, object]] = {}
        for answer in answers:
            found = find_answer(answer.text, answer.truncated, self._extract, self._tag)
            verdicts.append(self._without_judge(found))
            if verdicts[-1] is not None or found is None:
                keys.append("")
                continue
            request = self._request(answer.task, found)
            keys.append(key := key_of(request))
            to_ask[key], probes[key] = request, self._request(answer.task, _HARMLESS)
        said = self._ask_all(to_ask, probes) if to_ask else {}
        return [verdict or said[key] for verdict, key in zip(verdicts, keys, strict=True)]

    def _without_judge(self, found: str | None) -> Verdict | None:
        if found is None or not has_visible(found):
            return Verdict.unparseable(Reason.NO_ANSWER)
        if len(found) > self._max_chars:
            return Verdict.scored(0.0, Reason.OUTPUT_LIMIT, f"{len(found)} characters")
        return None

    def _request(self, task: Task, answer: str) -> dict[str, object]:
        rubric = self._rubric.render(task, answer)
        content = INSTRUCTIONS.format(rubric=rubric, low=self._low, high=self._high)
        return {**self._fields, "messages": [{"role": "user", "content": content}]}

    def _ask_all(
        self, requests: Mapping[str, Mapping[str, object]], probes: Mapping[str, Mapping[str, object]]
    ) -> dict[str, Verdict]:
        loop, client = self._run()
        known = {key: reply for key in requests if (reply := self._known(key)) is not None}
        missing = [key for key in requests if key not in known]

        async def everything() -> list[Verdict | Reply]:
            witnesses = _Witnesses(client, self._read)
            return await asyncio.gather(*(self._ask(client, requests[key], probes[key], witnesses) for key in missing))

        # Each is held to the deadline, from its turn on; an answer that is refused may need it three times.
        rounds = math.ceil(len(missing) / self._concurrency)
        said = dict(zip(missing, loop.run(everything(), 3 * rounds * self._patience.deadline_s + _SLACK_S)))
        self._cache.put({key: reply for key, reply in said.items() if not isinstance(reply, Verdict)})
        return {
            key: reply if isinstance(reply, Verdict) else self._verdict(reply) for key, reply in (known | said).items()
        }

    async def _ask(
        self, client: Client, request: Mapping[str, object], probe: Mapping[str, object], witnesses: _Witnesses
    ) -> Verdict | Reply:
        """What the judge said or, if it said nothing that can be read, what that makes of the answer."""
        try:
            return await client.ask(request, self._read)
        except Unavailable as error:
            about = isinstance(error, Unreadable) or (isinstance(error, Refused) and error.content)
            if not about or not await witnesses.say_it_works(probe):
                return Verdict.infra_error(Reason.INFRA, str(error))
        try:  # once more, now that the judge was seen to work
            return await client.ask(request, self._read, attempts=1)
        except Refused as refusal:
            if refusal.content:
                why = f"the judge takes other answers, but not this: {refusal}"
                return Verdict.scored(0.0, Reason.OUTPUT_LIMIT, why)
            return Verdict.infra_error(Reason.INFRA, str(refusal))
        except Unreadable as error:
            return Verdict.scored(
                0.0, Reason.UNREADABLE, f"the judge can be read on other answers, but not this: {error}"
            )
        except Unavailable as error:
            return Verdict.infra_error(Reason.INFRA, str(error))

    def _known(self, key: str) -> Reply | None:
        reply = self._cache.get(key)
        return reply if reply is not None and self._low <= reply[0] <= self._high else None

    def _verdict(self, reply: Reply) -> Verdict:
        given, why = reply
        score = (given - self._low) / (self._high - self._low)
        reason = Reason.CORRECT if score == 1 else Reason.PARTIAL if score > 0 else Reason.WRONG
        return Verdict.scored(score, reason, why, judge_score=given)

    def _run(self) -> tuple[LoopThread, Client]:
        with self._lock:
            if self._running is None:
                key = _api_key(self._api_key_file)
                self._cache.open()
                loop = LoopThread()

                async def client() -> Client:
                    return Client(self._base_url, key, self._patience, self._concurrency)

                self._running = loop, loop.run(client(), _SLACK_S)
            return self._running


class _Witnesses:
    """Harmless answers to the tasks of one batch, each shown to the judge once at most."""

    def __init__(self, client: Client, read: Callable[[str], Reply]) -> None:
        self._client, self._read = client, read
        self._said: dict[str, asyncio.Task[bool]] = {}

    async def say_it_works(self, probe: Mapping[str, object]) -> bool:
        """Whether the judge gives this probe a reply that can be read."""
        key = key_of(probe)
        if key not in self._said:
            self._said[key] = asyncio.create_task(self._ask(probe))
        return await self._said[key]

    async def _ask(self, probe: Mapping[str, object]) -> bool:
        try:
            await self._client.ask(probe, self._read)
        except Unavailable:
            return False
        return True


def _checked_url(base_url: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"base_url: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.userinfo:
        raise ValueError(
            f"base_url must be an address such as http://judge:8000/v1, no user, password or query in it: {base_url!r}"
        )
    return base_url


def _api_key(file: str | None) -> str | None:
    if file is None:
        return None
    try:
        key = Path(file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"api_key_file {file}: cannot be read ({type(error).__name__}); it holds the key alone"
        ) from None
    if not key or len(key.split()) != 1:
        raise UserError(f"api_key_file {file}: must hold the key and nothing else")
    return key
