r"""LaTeX as authors and models write it, made uniform: one command for each meaning, no layout, arguments in braces.

Text only: nothing here knows mathematics, and every function is bounded by the (capped) length of its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from reprise.rewards.parsing import without_invisible
from reprise.rewards.verifiers.maths.characters import as_latex
from reprise.rewards.verifiers.maths.commands import seen, with_plain_commands
from reprise.rewards.verifiers.maths.numerals import without_groups
from reprise.rewards.verifiers.maths.typed import as_typed, undelimited, with_commands

MAX_DEPTH = 60  # brackets within brackets; deeper ones are refused, before anything recurses


class Unreadable(ValueError):
    """The text cannot be read as an answer."""


_FONTS = (
    "text|textrm|textit|textbf|textsf|texttt|textnormal|textup|mbox|hbox|mathrm|mathit|mathbf|mathsf|mathtt|mathnormal|"
    "bold|boldsymbol|bm|emph"
)
_FONT = re.compile(rf"\\(?:{_FONTS})\s*\{{((?:[^{{}}\\]|\\.|\{{[^{{}}]*\}})*)\}}", re.DOTALL)
_SIGN_IN_BRACES = re.compile(r"\{\s*([:=<>+*/-])\s*\}")
_DOMAIN = re.compile(r"(\\in ?)(?:\\text\{)? ?([RZNQC]) ?\}?(?![a-zA-Z_^{(])")
_MATRIX = re.compile(r"\\(begin|end)\{(?:[bBp]|small)?(?:matrix|array)\*?\}(?:\{[clr| ]*\})?")
_SUBSCRIPT = re.compile(r"_ ?([0-9]+|[a-zA-Z])")
_PLAIN = re.compile(r"-?[0-9]+", re.ASCII)
_LONG_WORD = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{4,}(?![a-zA-Z])")
_CASED = re.compile(r"(?<![\\a-zA-Z])(?:[A-Z][a-z]+|[a-zA-Z]{4,})(?![a-zA-Z])")
_OUTWARD = re.compile(r"([\[\]])([^\[\],;]*[,;][^\[\],;]*)([\[\]])")
_FONT_BEGINS = re.compile(rf"\\(?:{_FONTS}) ?\{{")
_FORMULA = re.compile(r"\\[a-zA-Z]|[=<>^_0-9]")
_ENVIRONMENT = re.compile(rf"\\(?:begin|end) ?\{{[a-zA-Z*]+\}}|\\(?:{_FONTS}) ?\{{[^{{}}]*\}}")
_PROSE_WORD = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{3,}")
_LATIN = "a-zA-Z\u00c0-\u024f\u1e00-\u1eff"
_OTHER_SCRIPT = re.compile(  # letters in front of an accented one are looked for from their first on only: linear time
    rf"\\text\{{[^{{}}]*\}}|\\[a-zA-Z]+|(?:(?<![a-zA-Z])[a-zA-Z]*+)?[{_LATIN[6:]}][{_LATIN}]*"
    r"|(?:(?![a-zA-Z])[^\W\d_])+"
)
_ELLIPSIS = re.compile(r"(?<=[0-9,+)\]}]) ?\.{3,}")
_LONE_BACKSLASH = re.compile(r"(?<!\\)\\$")
_INDEX_FOLLOWS = re.compile(r" ?_")
_TOKEN = re.compile(r"\\(?:begin|end)\{[a-zA-Z]+\*?\}|\\[a-zA-Z]+|\\.|.", re.DOTALL)
_TAKES = {r"\frac": 2, r"\binom": 2, r"\sqrt": 1}  # how many arguments
_ROOT_INDEX = re.compile(r"\s*\[[^\[\]]*\]")
_SPACES = re.compile(r" *")
_OPENING = {"(": ")", "[": ")", r"\langle": r"\rangle", "{": "}", r"\{": r"\}", r"\lfloor": r"\rfloor"}
_OPENING[r"\lceil"] = r"\rceil"
_CLOSING = {")": ")", "]": ")", r"\rangle": r"\rangle", "}": "}", r"\}": r"\}", r"\rfloor": r"\rfloor"}
_CLOSING[r"\rceil"] = r"\rceil"


@lru_cache(maxsize=1024)  # for the reading and for the key of a text
def clean(latex: str) -> str:
    r"""The same expression, uniform: no `$`, `\left`, spacing or fonts; `\frac` and `\sqrt` with arguments in braces;
    words in `\text{…}`; brackets balanced. Raises `Unreadable` if they are not, or go too deep."""
    text = undelimited(as_latex(without_invisible(latex)).strip())
    for _ in range(4):
        text = _of_one_font(text)
    text = with_plain_commands(without_groups(as_typed(seen(text))))
    text = text.replace("^{\\circ}", r"^\circ ").replace("**", "^")
    text = _SIGN_IN_BRACES.sub(r"\1", text)  # 3{:}40
    text = _MATRIX.sub(lambda match: rf"\{match[1]}{{pmatrix}}", text)
    text = _SUBSCRIPT.sub(r"_{\1}", text)
    for _ in range(4):  # a font within a font within a font
        text = _FONT.sub(_plain_font, text)
    if not text.isascii():
        text = _OTHER_SCRIPT.sub(lambda match: match[0] if match[0][0] == "\\" else rf"\text{{{match[0]}}}", text)
    text = _DOMAIN.sub(r"\1\\mathbb{\2}", with_commands(text).replace(r"\infinity", r"\infty"))
    text = _ELLIPSIS.sub(lambda _: r"\ldots ", re.sub(r"\s+", " ", text)).strip()
    text = _LONE_BACKSLASH.sub("", text)  # of a space that was cut off
    while text.endswith("\\\\") or (text and text[-1] in ".,;" and not text.endswith("\\,")):
        text = text[:-1].rstrip() if text[-1] != "\\" else text[:-2].rstrip()
    return _with_braces(_balanced(text)).strip()


def text_key(latex: str) -> str:
    r"""What two texts have in common that differ only in spacing, fonts, `$` and the case of words: equal keys, equal
    texts. `Unreadable` as in `clean`."""
    if _PLAIN.fullmatch(latex):
        return latex
    text = re.sub(r"\\text\{([^{}]*[a-zA-Z]{2}[^{}]*)\}", r" \1 ", clean(latex))
    text = " ".join(text.split())
    if _LONG_WORD.search(text):  # but Ab is A times b
        text = _CASED.sub(lambda match: match[0].casefold(), text)
    return re.sub(r"(?<![0-9a-zA-Z,]) | (?![0-9a-zA-Z])|(?<=,) (?![0-9]{3}(?![0-9]))", "", text).rstrip(".")


@lru_cache(maxsize=256)
def tokens(text: str) -> list[tuple[str, int, int]]:
    """Each token (a command, an escaped character, an environment's begin or end, a character), where it starts, and
    how many brackets are open around it (for a bracket itself: outside of it). The brackets must balance."""
    return list(_tokens(text))


def _tokens(text: str) -> Iterator[tuple[str, int, int]]:
    depth = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in _CLOSING or token.startswith(r"\end{"):
            depth -= 1
        yield token, match.start(), depth
        if token in _OPENING or token.startswith(r"\begin{"):
            depth += 1


def split(text: str, separators: frozenset[str]) -> tuple[list[str], list[str]]:
    """The pieces between separators that stand in no bracket, and these separators."""
    pieces, found, begin = [], [], 0
    for token, start, depth in tokens(text):
        if depth == 0 and token in separators:
            pieces.append(text[begin:start].strip())
            found.append(token)
            begin = start + len(token)
    return [*pieces, text[begin:].strip()], found


def brackets(text: str) -> tuple[str, str, str] | None:
    r"""`(opening, content, closing)` if one pair of brackets other than `{}` embraces the whole text."""
    listed = tokens(text)
    if len(listed) < 2 or listed[0][0] not in _OPENING or listed[0][0] == "{":
        return None
    if any(depth == 0 for _, _, depth in listed[1:-1]) or listed[-1][0] not in _CLOSING:
        return None
    return listed[0][0], text[len(listed[0][0]) : listed[-1][1]].strip(), listed[-1][0]


def plain_words(text: str) -> str:
    """Words without fonts, punctuation and case; a single letter keeps its case."""
    text = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)
    text = " ".join(re.sub(r"[\s.,;:!?\"'`*$~{}()]+", " ", text).split())
    return text.casefold() if len(text) > 1 else text


def _balanced(text: str) -> str:
    """The text if its brackets balance, also with those of `]a,b[` turned round."""
    try:
        check_brackets(text)
    except Unreadable:
        turned = _OUTWARD.sub(_turned, text)
        if turned == text:
            raise
        check_brackets(turned)
        return turned
    return text


def _turned(match: re.Match[str]) -> str:
    left, right = "(" if match[1] == "]" else "[", ")" if match[3] == "[" else "]"
    return f"{left}{match[2]}{right}"


def check_brackets(text: str) -> None:
    """Raise `Unreadable` unless brackets balance; `(` and `[` may close each other, as in a half-open interval."""
    expected: list[str] = []
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token.startswith((r"\begin{", r"\end{")):
            name = token[token.index("{") :]
            if token.startswith(r"\begin"):
                expected.append(name)
            elif not expected or expected.pop() != name:
                raise Unreadable(f"{token} without its beginning")
        elif token in _OPENING:
            expected.append(_OPENING[token])
        elif token in _CLOSING and (not expected or expected.pop() != _CLOSING[token]):
            raise Unreadable(f"{token} closes nothing")
        if len(expected) > MAX_DEPTH:
            raise Unreadable(f"more than {MAX_DEPTH} brackets within brackets")
    if expected:
        raise Unreadable(f"{expected[-1]} is missing")


def _of_one_font(text: str) -> str:
    r"""Without a font around the whole of a formula: `\boldsymbol{\frac{1}{2}}`. Words keep theirs."""
    match = _FONT_BEGINS.match(text)
    if match is None:
        return text
    depth = 1
    for token in _TOKEN.finditer(text, match.end()):
        depth += (token[0] == "{") - (token[0] == "}")
        if depth == 0:
            inside = text[match.end() : token.start()]
            words = _PROSE_WORD.findall(_ENVIRONMENT.sub("", inside))
            formula = token.end() == len(text) and _FORMULA.search(inside) and len(words) < 2
            return inside.strip() if formula else text
    return text


def _plain_font(match: re.Match[str]) -> str:
    """Words, and letters that may be units, stay `\\text{…}`; a constant, a number or brackets need no font."""
    content = re.sub(r"\{([^{}]*)\}", r"\1", match[1].strip())
    if content in ("e", "i", "d") or not re.search(r"[^\W\d_]", content) or re.fullmatch(r"\([A-Z]\)", content):
        return f" {content} " if content.isalpha() else content
    if re.search(r"\\(?:frac|sqrt|pi|begin|pm|infty)", content) and re.search("[0-9]", content):
        return f" {content} "
    if re.fullmatch(r"[0-9A-Fa-f]+", content) and _INDEX_FOLLOWS.match(match.string, match.end()):
        return content
    number = re.fullmatch(r"([-+$0-9.,:/ ]*[0-9])\s*([^0-9]+)", content)
    if number:
        return rf"{number[1]}\text{{ {number[2].strip()}}}"
    if re.fullmatch(r"(?:percent|per cent|percentage|pct)\.?", content, re.IGNORECASE):
        return r"\%"
    return rf"\text{{{content}}}" if match[1][:1] != " " else rf"\text{{ {content}}}"


def _with_braces(text: str, depth: int = 0) -> str:
    r"""`\frac12` → `\frac{1}{2}`, `\sqrt3` → `\sqrt{3}`, `\sqrt(x+1)` → `\sqrt{x+1}`, `x^(2)` → `x^{2}`."""
    out: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None
        if match[0] in _TAKES:
            command, position = _command(text, position, depth)
            out.append(command)
            continue
        position = match.end()
        out.append(match[0])
        following = _SPACES.match(text, position)
        assert following is not None
        ahead = _TOKEN.match(text, following.end())
        if match[0] == "^" and ahead and ahead[0] in ("(", "{", *_TAKES):
            argument, position = _argument(text, position, depth, round_too=True)
            out.append(argument)
    return "".join(out)


def _command(text: str, position: int, depth: int) -> tuple[str, int]:
    """A command at `position` with its arguments in braces, and where it ends."""
    token = _TOKEN.match(text, position)
    assert token is not None
    out, position = [token[0]], token.end()
    index = _ROOT_INDEX.match(text, position) if token[0] == r"\sqrt" else None
    if index:
        out.append(index[0].strip())
        position = index.end()
    for _ in range(_TAKES[token[0]]):
        argument, position = _argument(text, position, depth, round_too=token[0] == r"\sqrt")
        out.append(argument)
    return "".join(out), position


def _argument(text: str, position: int, depth: int, round_too: bool = False) -> tuple[str, int]:
    """The argument of a command in braces, uniform itself, and where it ends. `Unreadable` if there is none."""
    while position < len(text) and text[position] == " ":
        position += 1
    match = _TOKEN.match(text, position)
    if match is None or match[0] in _CLOSING:
        raise Unreadable("an argument is missing")
    if depth > MAX_DEPTH:
        raise Unreadable(f"more than {MAX_DEPTH} commands within commands")
    if match[0] == "{" or (round_too and match[0] == "("):
        rest = text[position:]
        end = next(start for token, start, level in _tokens(rest) if start and level == 0 and token in _CLOSING)
        return "{" + _with_braces(rest[1:end], depth + 1) + "}", position + end + 1
    if match[0] == r"\text":
        raise Unreadable(r"\text as an argument needs braces")
    if match[0] in _TAKES:
        command, end = _command(text, position, depth + 1)
        return "{" + command + "}", end
    return "{" + match[0] + "}", match.end()
