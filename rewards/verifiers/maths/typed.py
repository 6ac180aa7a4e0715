r"""Maths as a keyboard types it, as LaTeX: `x >= 5`, `1 +- sqrt(2)`, `(-oo, 1) U (2, oo)`, `28 per cent`, `$x=1$ or 2`.

Only what can mean nothing else is taken: `5!=120` is a factorial, `x U y` a product, `$5` five dollars.
"""

from __future__ import annotations

import re

_RELATIONS = (
    (re.compile(r"(?<![0-9)!\\])!=(?!=)|(?<!\\)<>"), r"\ne "),  # but 5!=120
    (re.compile(r"(?<!\\)<=>"), r"\Leftrightarrow "),
    (re.compile(r"(?<![\\=])=+>"), r"\Rightarrow "),
    (re.compile(r"(?<!\\)>="), r"\ge "),
    (re.compile(r"(?<!\\)(?:<=|=<)"), r"\le "),
    (re.compile(r"(?<![\\-])-+>"), r"\to "),
    (re.compile(r"(?<![\\=])==+"), "="),
    (re.compile(r"(?<!\\)(?:\+/-|\+-)"), r"\pm "),
    (re.compile(r"(?<!\\)(?:-/\+|-\+)"), r"\mp "),
)
_NAMES = re.compile(
    r"(?<![\\a-zA-Z])(?P<plain>sqrt|arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|log|ln|exp|pi|infty)(?![a-zA-Z])"
    r"|(?<![\\a-zA-Z0-9_])(?:infinity|inf|oo)(?![a-zA-Z_({])"
)
_ROOT = re.compile(r"(?<![\\a-zA-Z])sqrt\s*(?P<under>[0-9]+(?:\.[0-9]+)?|[a-z](?![a-zA-Z]))")
_VECTOR = re.compile(r"(?:^|(?<=[=\s]))<([^<>=]*,[^<>=]*)>(?=\s*(?:$|,))")
_UNION = re.compile(r"(?<=[)\]}])\s*(?:\\text\{\s*(?:[Uu]|union)\s*\}|[Uu]|union)\s*(?=[(\[{\\])")
_MEMBER = re.compile(r"(?<![a-zA-Z\\])([a-zA-Z](?:_\{?\w\}?)?) in (?=[(\[{RZNQC]|\\\{|\\mathbb|\\left)")
_PERCENT = re.compile(r"(?<=[0-9.)}])\s*(?:per ?cent(?:age(?! point))?|pct)(?![a-zA-Z])\.?")

_MATHS_MODE = re.compile(r"\\\\|\\[()\[\]]|\\.|\$\$?", re.DOTALL)
_PROSE = re.compile(r"[a-zA-Z ,.;:'-]*[a-zA-Z]{2}[a-zA-Z ,.;:'-]*")


def as_typed(text: str) -> str:
    """The LaTeX of what ASCII stands for; ASCII relations and names only."""
    text = _VECTOR.sub(r"\\langle \1\\rangle ", text)
    for pattern, latex in _RELATIONS:
        text = pattern.sub(latex.replace("\\", r"\\"), text)
    text = _PERCENT.sub(lambda _: r"\%", text)
    text = _UNION.sub(lambda _: r"\cup ", text)
    text = _MEMBER.sub(r"\1\\in ", text)
    return _ROOT.sub(r"\\sqrt{\g<under>}", text)


def with_commands(text: str) -> str:
    r"""Bare names of functions and constants (`sin`, `pi`, `infinity`) as commands, outside of words."""
    return _NAMES.sub(lambda match: rf"\{match['plain']} " if match["plain"] else r"\infty ", text)


def undelimited(text: str) -> str:
    r"""Without TeX's marks of maths mode: `$x=\frac15$ or $x=5$` → `x=\frac15\text{ or }x=5`; `\$5` and `$5` stay.

    Two `$` mark maths mode where they look inwards, as TeX authors write them, and no digit follows the second: `$5 and
    $6` are amounts. What is left outside is text.
    """
    marks = [mark for mark in _MATHS_MODE.finditer(text) if mark[0] in _MARKS]
    pieces, end, number = [], 0, 0
    while number + 1 < len(marks):
        opening, closing = marks[number], marks[number + 1]
        number += 1
        if _MARKS[opening[0]] == closing[0] and _embraces(text, opening, closing):
            pieces += [_as_text(text[end : opening.start()]), f" {text[opening.end() : closing.start()]} "]
            end = closing.end()
            number += 1
    return "".join([*pieces, _as_text(text[end:])]).strip() if pieces else text


_MARKS = {"$": "$", "$$": "$$", r"\(": r"\)", r"\[": r"\]", r"\)": "", r"\]": ""}


def _embraces(text: str, opening: re.Match[str], closing: re.Match[str]) -> bool:
    inside, behind = text[opening.end() : closing.start()], text[closing.end() : closing.end() + 1]
    if opening[0] != "$" or not inside.strip() or (opening.start() == 0 and not behind):
        return bool(inside.strip())
    return inside[0].isspace() == inside[-1].isspace() and not behind.isdigit()


def _as_text(outside: str) -> str:
    return rf"\text{{{outside}}}" if _PROSE.fullmatch(outside) else outside
