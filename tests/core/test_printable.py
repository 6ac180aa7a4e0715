"""Text that nobody can vouch for, made safe to show and to keep."""

import pytest
from small_groups import trajectory

from reprise.core.printable import gist, middle_cut, printable, printable_lines
from reprise.core.types import Verdict


@pytest.mark.parametrize(
    "obeyed",
    ["\x1b[2J", "\x07", "\r", "\x9b31m", "\x00", "\x7f", "\u202e", "\u2066", "\u2028", "\ud800", "\x1b]0;title\x07"],
)
def test_what_a_terminal_would_obey_is_shown_instead(obeyed: str) -> None:
    shown = printable(f"a{obeyed}b")
    assert shown.isprintable()
    assert shown[0] + shown[-1] == "ab"
    shown.encode()


def test_text_of_any_script_stays_as_it_is() -> None:
    text = "naïve — 数学 عربي 👩‍👩‍👧 [bold]x[/bold] \\frac{1}{2}"
    assert printable(text) == text


def test_a_line_is_one_line_unless_lines_are_asked_for() -> None:
    assert printable("a\n\tb\r\n") == "a b� "
    assert printable_lines("a\n\tb") == "a\n\tb"


def test_long_text_is_cut_at_its_end_or_in_its_middle() -> None:
    assert printable("x" * 600, 500) == "x" * 499 + "…"
    assert printable("x" * 500, 500) == "x" * 500
    cut = middle_cut("a" * 500 + "b" * 500, 100)
    assert (len(cut), cut[0], cut[-1]) == (100, "a", "b")


def test_a_gist_is_what_messages_of_one_kind_share() -> None:
    assert gist("KeyError: 'x' (a.py:7)") == gist('KeyError: "y" (a.py:12)') != gist("IndexError: 7")


@pytest.mark.parametrize("make", [Verdict.infra_error, Verdict.unparseable, lambda *said: Verdict.scored(0, *said)])
def test_a_verdicts_words_are_bounded_and_harmless_whoever_wrote_them(make) -> None:
    verdict = make("\x1b" * 100, "\x1b[2J" + "boo! " * 10**6)
    assert len(verdict.explanation) == 500
    assert len(verdict.reason) <= 60
    assert "\x1b" not in str(verdict.detail)


def test_the_detail_of_a_verdict_counts_for_the_memory_that_its_trajectory_takes() -> None:
    plain = trajectory("a", 1.0)
    detailed = trajectory("a", Verdict.scored(1.0, "correct", parts={"x": ["y" * 1000, 1.5, None, object()]}))
    assert 1000 < detailed.nbytes - plain.nbytes < 1200
