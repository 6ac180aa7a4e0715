"""Asking the judge: one chat completion, again after failures that may pass, and never beyond a deadline."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx

T = TypeVar("T")

_MOST_BYTES = 1 << 20
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}


@dataclass(frozen=True, slots=True)
class Patience:
    """timeout_s  seconds for one request
    deadline_s  seconds for one answer, all requests and the waits between them together
    attempts    requests for one answer
    back_off_s  seconds before the second request; doubles each time, and varies by a quarter
    """

    timeout_s: float
    deadline_s: float
    attempts: int
    back_off_s: float


class Unavailable(Exception):
    """No reply that could be read. The message says what was tried and what came of it last."""


class Unreadable(Unavailable):
    """The endpoint replied, at least the last time, with what cannot be read or with its own failure (HTTP 500)."""


class Refused(Unavailable):
    """The endpoint does not take this request, and would not take it a second time."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def content(self) -> bool:
        """Whether it may be about what was sent, not about who sends it or where."""
        return self.status in (400, 413, 422)


class _Passing(Exception):
    """Worth another attempt, after `wait_s` if the endpoint said so. It may be about what was sent if `content`."""

    def __init__(self, message: str, wait_s: float | None = None, content: bool = False) -> None:
        super().__init__(message)
        self.wait_s, self.content = wait_s, content


class Client:
    """An OpenAI-compatible endpoint. To be made and used inside one event loop."""

    def __init__(self, base_url: str, api_key: str | None, patience: Patience, concurrency: int) -> None:
        url = httpx.URL(base_url)
        self._patience, self._jitter, self._key = patience, random.Random(), api_key
        self._turn = asyncio.Semaphore(concurrency)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Accept-Encoding": "identity", **headers},
            timeout=patience.timeout_s,
            limits=httpx.Limits(max_connections=concurrency + 1),
            # Proxies and certificates as the machine sets them, but no proxy stands before the machine itself.
            trust_env=url.host not in ("localhost", "127.0.0.1", "::1"),
        )

    async def ask(self, body: Mapping[str, object], read: Callable[[str], T], attempts: int | None = None) -> T:
        """What `read` makes of the reply's text; ValueError from it counts as a failed attempt. Raises Unavailable.

        attempts  None: as many as its patience allows
        """
        async with self._turn:
            return await self._persevere(lambda: self._complete(body, read), attempts or self._patience.attempts)

    async def models(self) -> list[str] | None:
        """The names of the models it serves; None if it does not say. Raises Unavailable if it cannot be reached."""

        async def get() -> list[str] | None:
            try:
                reply = await self._send("GET", "models")
                return [str(model["id"]) for model in json.loads(reply)["data"]]
            except Refused as error:
                if error.status in (404, 405, 501):
                    return None
                raise
            except (ValueError, KeyError, TypeError):
                return None

        return await self._persevere(get, self._patience.attempts)

    async def close(self) -> None:
        await self._http.aclose()

    async def _persevere(self, attempt: Callable[[], Awaitable[T]], attempts: int) -> T:
        patience, loop = self._patience, asyncio.get_running_loop()
        end, last, tried, content = loop.time() + patience.deadline_s, "", 0, False
        try:
            async with asyncio.timeout_at(end):
                while True:
                    tried, content = tried + 1, False
                    wait_s = patience.back_off_s * 2 ** (tried - 1) * self._jitter.uniform(0.75, 1.25)
                    try:
                        async with asyncio.timeout(patience.timeout_s):
                            return await attempt()
                    except TimeoutError:
                        last = f"no reply within {patience.timeout_s:g} s"
                    except _Passing as failure:
                        last, content = str(failure), failure.content
                        wait_s = failure.wait_s if failure.wait_s is not None else wait_s
                    except httpx.HTTPError as error:
                        last = f"{type(error).__name__}: {error}".rstrip(": ")
                    if tried >= attempts or loop.time() + wait_s >= end:
                        break
                    await asyncio.sleep(wait_s)
        except TimeoutError:
            content = False
            last = f"not done within {patience.deadline_s:g} s" + (f"; before, {last}" if last else "")
        why = f"{self._http.base_url}: {last} ({tried} of {attempts} attempts)"
        raise Unreadable(why) if content else Unavailable(why)

    async def _complete(self, body: Mapping[str, object], read: Callable[[str], T]) -> T:
        reply = await self._send("POST", "chat/completions", json.dumps(body).encode())
        try:
            choice = json.loads(reply)["choices"][0]
            content = choice["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            raise _Passing(f"its reply is no chat completion: {_excerpt(reply)}", content=True) from None
        if choice.get("finish_reason") == "length":
            raise _Passing("its reply was cut off at max_tokens", content=True)
        if not isinstance(content, str):
            raise _Passing("its reply has no text", content=True)
        try:
            return read(content)
        except ValueError as error:
            raise _Passing(f"its reply cannot be read: {error}", content=True) from None

    async def _send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        async with self._http.stream(method, path, content=body, headers=headers) as response:
            data = b""
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > _MOST_BYTES:
                    raise _Passing(f"its reply has more than {_MOST_BYTES} bytes", content=True)
        excerpt = _excerpt(data)
        said = f"HTTP {response.status_code}: {excerpt.replace(self._key, '***') if self._key else excerpt}"
        if response.status_code in _PASSING:
            raise _Passing(said, _retry_after(response.headers.get("Retry-After")), response.status_code == 500)
        if response.status_code != 200:
            raise Refused(f"{self._http.base_url}: {said}", response.status_code)
        return data


def _retry_after(value: str | None) -> float | None:
    """Seconds, from either form of the header; None if there is none, or none that can be read."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _excerpt(data: bytes) -> str:
    return " ".join(data[:300].decode("utf-8", "replace").split())
