"""Text from data, plug-ins and policies, made safe to show on a terminal and to keep."""

from __future__ import annotations

import re

# Control characters (escape sequences begin with one) but newline and tab, marks that change the direction of what
# stands beside them or break a line, and lone surrogates, which no file or terminal takes.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LAYOUT = re.compile(r"[\t\n]+")
_CUT = " […] "
_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")


def printable(text: object, limit: int | None = None) -> str:
    """One line that a terminal shows and does not obey: what it would obey is `�`, newlines and tabs are blanks.

    Of more than `limit` characters the beginning is kept.
    """
    return _LAYOUT.sub(" ", printable_lines(text, limit))


def printable_lines(text: object, limit: int | None = None) -> str:
    """The same with its newlines and tabs."""
    shown = str(text)
    if limit is not None and len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    return _OBEYED.sub("�", shown)


def middle_cut(text: str, limit: int) -> str:
    """At most `limit` characters: of a longer text the beginning and, twice as much of it, the end."""
    if len(text) <= limit:
        return text
    head = (limit - len(_CUT)) // 3
    return text[:head] + _CUT + text[len(text) - (limit - len(_CUT) - head) :]


def quantity(count: float, noun: str) -> str:
    """`1 answer`, `1,234 answers`"""
    return f"{count:,.0f} {noun}{'s' * (count != 1)}"


def gist(text: str) -> str:
    """What messages of one kind have in common: the text without what it quotes and without its numbers."""
    return _VARIES.sub("…", text)
