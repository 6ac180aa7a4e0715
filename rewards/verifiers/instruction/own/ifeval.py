"""IFEval's constraints that are checked here: scores must stay comparable, so little is."""

from __future__ import annotations

import json
import re

from reprise.core.strict_json import no_constant
from reprise.rewards.verifiers.instruction.own.reading import has_words

_STOPS = frozenset(".,?!'\"")
_PLACEHOLDER = re.compile(r"\[([^\[\]\n]*)\]")
# A line's own white space only: with `\s` in front, a text of many blank lines takes quadratic time.
_STAR = re.compile(r"^[^\S\n]*\*[^*].*$", re.MULTILINE)
_DASH = re.compile(r"^[^\S\n]*-.*$", re.MULTILINE)
_FENCES = ("```json", "```Json", "```JSON", "```")


def nth_paragraph_first_word(text: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Paragraphs between two line breaks; the blank ones are none, neither when they are counted nor when the n-th is
    looked up. A first word may hold spaces or apostrophes."""
    paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
    if len(paragraphs) != num_paragraphs:
        return False
    start = paragraphs[nth_paragraph - 1].lstrip("'").lstrip('"').lower()
    wanted = first_word.strip().lower()
    rest = start.removeprefix(wanted)
    return start.startswith(wanted) and (not rest or rest[0].isspace() or rest[0] in _STOPS)


def number_placeholders(text: str, *, num_placeholders: int) -> bool:
    """Square brackets with something in them: `[]` holds no place."""
    return sum(bool(inside.strip()) for inside in _PLACEHOLDER.findall(text)) >= num_placeholders


def number_bullet_lists(text: str, *, num_bullets: int) -> bool:
    """Exactly that many lines that start with `*` or `-`; as the package counts, but in linear time."""
    return len(_STAR.findall(text)) + len(_DASH.findall(text)) == num_bullets


def postscript(text: str, *, postscript_marker: str) -> bool:
    """The marker anywhere; as the package finds it, but literally and in linear time."""
    marker = postscript_marker.strip().lower()
    pattern = {"p.p.s": r"p\.\s?p\.\s?s", "p.s.": r"p\.\s?s\."}.get(marker, re.escape(marker))
    return re.search(pattern, text.lower()) is not None


def title(text: str) -> bool:
    """<<A title>> within one line; as the package finds it, but in linear time."""
    for line in text.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if start >= 0 and end - start > 2 and line[start : end + 2].lstrip("<").rstrip(">").strip():
            return True
    return False


def json_format(text: str) -> bool:
    """JSON, in a fence or not. NaN and Infinity are none."""
    text = text.strip()
    for fence in _FENCES:
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip(), parse_constant=no_constant)
    except (ValueError, RecursionError):
        return False
    return True


def quotation(text: str) -> bool:
    """All of it within double quotation marks, and there is something within."""
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"' and has_words(text)


def no_comma(text: str) -> bool:
    """No comma of any script."""
    return not re.search("[,\u060c\u3001\uff0c\uff64]", text)
