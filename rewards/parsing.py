"""Where the answer stands in a response. Every function here is linear in the text and returns None for "not found"."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Extraction = Literal["tag", "boxed", "text", "code"]

Markers = tuple[str, str]  # what opens and what closes the reasoning in a chat template's responses
THINK: Markers = ("<think>", "</think>")

# An escaped character is consumed whole, so that `\{` opens nothing and `\\boxed` (a line break, then text) is no box.
_BRACES = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*\{)|\\.|(?P<open>\{)|(?P<close>\})", re.DOTALL)

# Between the boxes of an enumeration: the ends of mathematics and of bold type, one joint, a name.
_AROUND_BOX = r"(?:[ \t$*]|\\[()\[\]]|\\(?:quad|[,;: ])|\n(?![ \t]*\n))*"
_JOINT = r"(?:[,;]|(?:[,;]\s)?(?:\band\b|\bor\b|\\text\s*\{\s*(?:and|or)\s*\}|\\(?:lor|land|text\{,\})(?![a-zA-Z])))"
_NAME = r"(?P<name>[a-zA-Z](?:_(?:[a-zA-Z0-9]|\{[a-zA-Z0-9]{1,9}\}))?'*)\s?=" + _AROUND_BOX
_BETWEEN_BOXES = re.compile(rf"{_AROUND_BOX}{_JOINT}{_AROUND_BOX}(?:{_NAME})?")
_BEFORE_BOX = re.compile(rf"(?<![a-zA-Z0-9_\\=]){_NAME}$")
_NAME_CHARS = 40

# What is drawn as nothing: Unicode's Default_Ignorable_Code_Point and interlinear annotations, which hold every format
# character (category Cf) but the few that have a shape (Arabic number signs and the like), and the empty Braille cell.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)

_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})(?P<info>.*)", re.DOTALL)
_FENCE_SLACK = 3  # columns by which a closing fence may stand further right than its opening one


def find_answer(
    text: str, truncated: bool, extract: Extraction, tag: str, reasoning: Markers | None = THINK
) -> str | None:
    r"""The answer of a response, or None if it has none.

    extract    `tag`: the last `<tag>…</tag>` (`extract_tag`); `boxed`: the last `\boxed{…}` (`last_boxed`); `code`: the
               last fenced code block (`last_code_block`); `text`: everything after the reasoning, if there is anything
               and the response is not truncated
    reasoning  what opens and closes the reasoning (`after_reasoning`)
    """
    if extract == "tag":
        return extract_tag(text, tag, reasoning)
    if extract == "boxed":
        return last_boxed(text, reasoning)
    if extract == "code":
        return last_code_block(text, reasoning)
    answer = None if truncated else after_reasoning(text, reasoning)
    return answer if answer and has_visible(answer) else None


def after_reasoning(text: str, reasoning: Markers | None = THINK) -> str | None:
    """The part of a response that may hold the answer.

    Everything after the last closing marker (`</think>`); the whole text if it holds neither marker, or if `reasoning`
    is None: a model without marked reasoning; None if reasoning was begun and never ended. (Where the chat template
    opens `<think>` in the prompt, the policy writes only `</think>`; engines put the opening back (`ChatCodec.text`),
    without which reasoning that never ends would pass for an answer.)
    """
    if reasoning is None:
        return text
    opening, closing = reasoning
    _, closed, answer = text.rpartition(closing)
    if not closed and opening in text:
        return None
    return answer


def extract_tag(text: str, tag: str, reasoning: Markers | None = THINK) -> str | None:
    """The content of the last well-formed `<tag>…</tag>` of the answer part (`after_reasoning`), as it stands.

    Well-formed: the opening tag, then any characters (also newlines, also none) but neither of the two tags, then the
    closing tag. Tags are matched exactly, case and all, and take no attributes. An empty element is an answer (the
    empty string); None if no element is well-formed.
    """
    answer = after_reasoning(text, reasoning)
    if answer is None:
        return None
    contents = _tag_pattern(tag).findall(answer)
    return contents[-1] if contents else None


def last_boxed(text: str, reasoning: Markers | None = THINK) -> str | None:
    r"""The content of the last `\boxed{…}` or `\fbox{…}` of the answer part whose braces balance, without outer spaces.

    Last means opening last: of `\boxed{1} wait \boxed{2}` it is 2, of `\boxed{\boxed{3}}` the inner 3. A box that is
    never closed (a truncated one) does not count. `\{` and `\}` are characters, not braces. An empty box is an answer.
    """
    answer = after_reasoning(text, reasoning)
    boxes = _boxes(answer) if answer is not None else []
    return boxes[-1].content(answer) if answer is not None and boxes else None


def last_boxes(text: str, reasoning: Markers | None = THINK) -> str | None:
    r"""As `last_boxed`; but where boxes are enumerated up to the last one, the contents of all of them, as one list.

    Enumerated are boxes with nothing between them but one `,`, `;`, "and" or "or" (also `, and`, in `\text{…}` or not),
    white space without a blank line, dollar signs and the like around mathematics, and the name of what follows:
    `\boxed{3} and \boxed{-3}` is `3, -3`, and `$x = \boxed{3}$, $y = \boxed{4}$` (each has a name) `x = 3, y = 4`.
    Every other word ends the list: of `\boxed{2}, then \boxed{3}` the answer is 3. So no box adds a second guess: the
    reference has to be the whole list.
    """
    answer = after_reasoning(text, reasoning)
    boxes = _boxes(answer) if answer is not None else []
    if answer is None or not boxes:
        return None
    first = len(boxes) - 1
    names: list[str | None] = []  # the last box's first
    while first and boxes[first - 1].end < boxes[first].begin:
        between = _BETWEEN_BOXES.fullmatch(answer, boxes[first - 1].end, boxes[first].begin)
        if between is None:
            break
        names.append(between["name"])
        first -= 1
    joined = boxes[first:]
    before = _BEFORE_BOX.search(answer, max(0, joined[0].begin - _NAME_CHARS), joined[0].begin)
    names.append(before["name"] if before else None)
    if len(joined) > 1 and all(names):
        return ", ".join(f"{name} = {box.content(answer)}" for name, box in zip(reversed(names), joined, strict=True))
    return ", ".join(box.content(answer) for box in joined)


class _Box(NamedTuple):
    begin: int  # of the command
    inside: int  # behind its opening brace
    end: int  # behind its closing brace

    def content(self, answer: str) -> str:
        """Cut out only where it is asked for: of boxes within boxes, all contents together grow with the square."""
        return answer[self.inside : self.end - 1].strip()


def _boxes(answer: str) -> list[_Box]:
    """The boxes whose braces balance, in the order in which they open."""
    open_braces: list[tuple[int, int] | None] = []  # where a box and its content start; None for a plain brace
    found: list[_Box] = []
    for token in _BRACES.finditer(answer):
        if token["box"]:
            open_braces.append(token.span())
        elif token["open"]:
            open_braces.append(None)
        elif token["close"] and open_braces and (box := open_braces.pop()) is not None:
            found.append(_Box(*box, token.end()))
    return sorted(found)


def without_invisible(text: str) -> str:
    """The text without the characters that nobody sees (zero-width spaces and joiners, marks of direction, variation
    selectors, tags, soft hyphens). Spaces and control characters stay."""
    return text if text.isascii() else _INVISIBLE.sub("", text)


def has_visible(text: str) -> bool:
    """Whether there is anything to be seen: more than spaces, control characters and `without_invisible`'s."""
    return any(char.isprintable() and not char.isspace() for char in without_invisible(text))


def last_code_block(text: str, reasoning: Markers | None = THINK) -> str | None:
    """The content of the last complete fenced code block of the answer part, as it stands; None if there is none.

    Fences are those of CommonMark. A line of three or more backticks or tildes, after any indentation, opens a block;
    a language may follow it (for backticks, one without backticks) and is ignored. A line of the same character, at
    least as many, with nothing but blanks after them, closes it, unless it is indented by 4 columns or more beyond the
    opening: a fence inside a docstring ends no program. The opening fence's indentation is taken off each line. A block
    that is never closed (a truncated one) does not count; an empty one does, and is the empty string.
    """
    answer = after_reasoning(text, reasoning)
    if answer is None:
        return None
    lines = answer.replace("\r\n", "\n").split("\n")
    last: tuple[int, int, int] | None = None  # first line, line after the last one, indentation
    opened: tuple[int, int, str] | None = None  # first line, indentation, fence
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        indent = len(fence["indent"])
        if opened is None:
            if fence["fence"][0] == "~" or "`" not in fence["info"]:
                opened = (number + 1, indent, fence["fence"])
        elif fence["fence"].startswith(opened[2]) and not fence["info"].strip() and indent <= opened[1] + _FENCE_SLACK:
            last, opened = (opened[0], number, opened[1]), None
    if last is None:
        return None
    first, end, indent = last
    return "\n".join(_dedented(line, indent) for line in lines[first:end])


def _dedented(line: str, indent: int) -> str:
    return line[min(indent, len(line) - len(line.lstrip(" \t"))) :]


@lru_cache
def _tag_pattern(tag: str) -> re.Pattern[str]:
    name = re.escape(tag)
    return re.compile(rf"<{name}>((?:(?!</?{name}>).)*)</{name}>", re.DOTALL)
