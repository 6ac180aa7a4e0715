"""Before there is a run: what is refused at once, and what is said."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from reprise.core.errors import UserError
from reprise.launch.reporting.opening import Opening, refuse_beside_a_loop


def test_a_notebook_says_at_once_how_to_start_a_run() -> None:
    async def cell() -> None:
        refuse_beside_a_loop("reprise train")

    with pytest.raises(UserError, match=r"where an event loop runs, as in a notebook.*!reprise train …"):
        asyncio.run(cell())


def test_a_run_in_a_thread_could_not_be_interrupted_and_is_refused() -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(UserError, match="cannot be called in a thread"):
        threads.submit(refuse_beside_a_loop, "reprise train").result()


def test_anywhere_else_a_run_may_begin() -> None:
    refuse_beside_a_loop("reprise train")


def test_a_line_has_the_seconds_since_the_command_began(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([100.0, 101.2, 164.0])
    opening = Opening(lambda: next(times))
    opening.say("loading libraries")
    opening.say("starting Ray")
    assert capsys.readouterr().out == "[    1s] loading libraries\n[ 1m04s] starting Ray\n"


def test_a_document_is_not_mixed_with_hints(capsys: pytest.CaptureFixture[str]) -> None:
    Opening().hint("measuring")
    assert tuple(capsys.readouterr()) == ("", "")  # nobody watches
