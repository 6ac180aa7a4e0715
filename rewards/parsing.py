"""Where the answer stands in a response. Every function here is linear in the text and returns None for "not found"."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

Extraction = Literal["tag", "boxed", "text"]

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"

# An escaped character is consumed whole, so that `\{` opens nothing and `\\boxed` (a line break, then text) is no box.
_BRACES = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*\{)|\\.|(?P<open>\{)|(?P<close>\})", re.DOTALL)


def find_answer(text: str, truncated: bool, extract: Extraction, tag: str) -> str | None:
    r"""The answer of a response, or None if it has none.

    extract  `tag`: the last `<tag>…</tag>` (`extract_tag`); `boxed`: the last `\boxed{…}` (`last_boxed`); `text`:
             everything after the reasoning, if there is anything and the response is not truncated
    """
    if extract == "tag":
        return extract_tag(text, tag)
    if extract == "boxed":
        return last_boxed(text)
    answer = None if truncated else after_reasoning(text)
    return answer if answer and answer.strip() else None


def after_reasoning(text: str) -> str | None:
    """The part of a response that may hold the answer.

    Everything after the last `</think>`; the whole text if it holds neither `<think>` nor `</think>`; None if reasoning
    was begun and never ended. (A chat template that opens `<think>` in the prompt leaves only `</think>` to respond.)
    """
    _, closed, answer = text.rpartition(THINK_CLOSE)
    if not closed and THINK_OPEN in text:
        return None
    return answer


def extract_tag(text: str, tag: str) -> str | None:
    """The content of the last well-formed `<tag>…</tag>` of the answer part (`after_reasoning`), as it stands.

    Well-formed: the opening tag, then any characters (also newlines, also none) but neither of the two tags, then the
    closing tag. Tags are matched exactly, case and all, and take no attributes. An empty element is an answer (the
    empty string); None if no element is well-formed.
    """
    answer = after_reasoning(text)
    if answer is None:
        return None
    contents = _tag_pattern(tag).findall(answer)
    return contents[-1] if contents else None


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{…}` or `\fbox{…}` of the answer part whose braces balance, without outer spaces.

    Last means opening last: of `\boxed{1} wait \boxed{2}` it is 2, of `\boxed{\boxed{3}}` the inner 3. A box that is
    never closed (a truncated one) does not count. `\{` and `\}` are characters, not braces. An empty box is an answer.
    """
    answer = after_reasoning(text)
    if answer is None:
        return None
    open_braces: list[int | None] = []  # for each open brace, where its box's content starts; None for a plain brace
    last: tuple[int, int] | None = None
    for token in _BRACES.finditer(answer):
        if token["box"]:
            open_braces.append(token.end())
        elif token["open"]:
            open_braces.append(None)
        elif token["close"] and open_braces:
            start = open_braces.pop()
            if start is not None and (last is None or start > last[0]):
                last = (start, token.start())
    return answer[slice(*last)].strip() if last else None


@lru_cache
def _tag_pattern(tag: str) -> re.Pattern[str]:
    name = re.escape(tag)
    return re.compile(rf"<{name}>((?:(?!</?{name}>).)*)</{name}>", re.DOTALL)
