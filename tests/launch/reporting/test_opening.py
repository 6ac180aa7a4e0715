"""Before there is a run: what is said."""

from __future__ import annotations

import pytest

from reprise.launch.reporting.opening import Opening


def test_a_line_has_the_seconds_since_the_command_began(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([100.0, 101.2, 164.0])
    opening = Opening(lambda: next(times))
    opening.say("loading libraries")
    opening.say("starting Ray")
    assert capsys.readouterr().out == "[    1s] loading libraries\n[ 1m04s] starting Ray\n"


def test_a_document_is_not_mixed_with_hints(capsys: pytest.CaptureFixture[str]) -> None:
    Opening().hint("measuring")
    assert tuple(capsys.readouterr()) == ("", "")  # nobody watches
