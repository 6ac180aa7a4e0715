r"""LaTeX as people and models write it, made uniform: one command for each meaning, no layout, arguments in braces.

Text only: nothing here knows mathematics, and every function is bounded by the (capped) length of its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_DEPTH = 60  # brackets within brackets; deeper ones are refused, before anything recurses


class Unreadable(ValueError):
    """The text cannot be read as an answer."""


_UNICODE = {
    "−": "-", "–": "-", "×": r"\cdot ", "⋅": r"\cdot ", "·": r"\cdot ", "∙": r"\cdot ", "÷": "/", "π": r"\pi ",
    "∞": r"\infty ", "√": r"\sqrt ", "°": r"^\circ ", "±": r"\pm ", "∓": r"\mp ", "≤": r"\le ", "≥": r"\ge ",
    "≠": r"\ne ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "ℝ": r"\mathbb{R}",
    "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}", "²": "^{2}", "³": "^{3}",
    "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "\u00a0": " ", "\u2009": " ", "\u202f": " ",
    "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ",
}  # fmt: skip
_UNICODE_TABLE = str.maketrans(_UNICODE)

_COMMANDS = {
    "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "dbinom": r"\binom", "tbinom": r"\binom",
    "times": r"\cdot ", "ast": r"\cdot ", "div": "/", "leq": r"\le ", "geq": r"\ge ", "leqslant": r"\le ",
    "geqslant": r"\ge ", "lt": "<", "gt": ">", "neq": r"\ne ", "lbrace": r"\{", "rbrace": r"\}", "lbrack": "[",
    "rbrack": "]", "lparen": "(", "rparen": ")", "varnothing": r"\emptyset ", "R": r"\mathbb{R}",
    "infinity": r"\infty ",
    "lvert": "|", "rvert": "|", "vert": "|", "degree": r"^\circ ", "degrees": r"^\circ ", "backslash": r"\setminus ",
    "vee": r"\lor ", "simeq": r"\approx ", "dollar": r"\$", "textdollar": r"\$", "textdegree": r"^\circ ",
    "pounds": "£", "euro": "€",
    "percent": r"\%", "imath": "i", "displaystyle": " ", "textstyle": " ", "scriptstyle": " ", "limits": "",
    "nolimits": "", "quad": " ", "qquad": " ", "left": "", "right": "", "big": "", "Big": "", "bigg": "", "Bigg": "",
    "bigl": "", "bigr": "", "Bigl": "", "Bigr": "", "biggl": "", "biggr": "", "Biggl": "", "Biggr": "", "middle": "",
}  # fmt: skip
_FONTS = (
    "text|textrm|textit|textbf|textsf|texttt|textnormal|textup|mbox|hbox|mathrm|mathit|mathbf|mathsf|mathtt|mathnormal|"
    "bold|boldsymbol|bm|emph"
)
_FONT = re.compile(rf"\\(?:{_FONTS})\s*\{{((?:[^{{}}\\]|\\.|\{{[^{{}}]*\}})*)\}}", re.DOTALL)
_SPACED_NUMBER = re.compile(r"(?<=[0-9])(?:\\[,!;: ]|~|\{,\}|\\!|,\\!)+(?=[0-9]{3}(?![0-9]))")
_COMMAND = re.compile(r"\\\\|\\([a-zA-Z]+)")  # a line break of a matrix is no command
_LAYOUT = re.compile(r"\\\\|\\[,!;:> ]|~")
_MATRIX = re.compile(r"\\(begin|end)\{(?:[bBp]|small)?(?:matrix|array)\*?\}(?:\{[clr| ]*\})?")
_SUBSCRIPT = re.compile(r"_ ?([0-9]+|[a-zA-Z])")
_PLAIN_FUNCTIONS = re.compile(
    r"(?<![\\a-zA-Z])(sqrt|arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|log|ln|exp|pi|infinity|infty)(?![a-zA-Z])"
)
_TOKEN = re.compile(r"\\(?:begin|end)\{[a-zA-Z]+\*?\}|\\[a-zA-Z]+|\\.|.", re.DOTALL)
_OPENING = {"(": ")", "[": ")", r"\langle": r"\rangle", "{": "}", r"\{": r"\}", r"\lfloor": r"\rfloor"}
_OPENING[r"\lceil"] = r"\rceil"
_CLOSING = {")": ")", "]": ")", r"\rangle": r"\rangle", "}": "}", r"\}": r"\}", r"\rfloor": r"\rfloor"}
_CLOSING[r"\rceil"] = r"\rceil"


def clean(latex: str) -> str:
    r"""The same expression, uniform: no `$`, `\left`, spacing or fonts; `\frac` and `\sqrt` with arguments in braces;
    words in `\text{…}`; brackets balanced. Raises `Unreadable` if they are not, or go too deep."""
    text = _undelimited(latex.translate(_UNICODE_TABLE).strip())
    text = _SPACED_NUMBER.sub("", text)
    text = _COMMAND.sub(lambda match: _COMMANDS.get(match[1] or "", match[0]), text)
    text = text.replace(r"\left.", "").replace(r"\right.", "").replace("^{\\circ}", r"^\circ ").replace("**", "^")
    text = text.replace(r"\lbrack", "[").replace(r"\rbrack", "]")
    text = _LAYOUT.sub(lambda match: match[0] if match[0] == r"\\" else " ", text)
    text = _MATRIX.sub(lambda match: rf"\{match[1]}{{pmatrix}}", text)
    text = _SUBSCRIPT.sub(r"_{\1}", text)
    for _ in range(4):  # a font within a font within a font
        text = _FONT.sub(_plain_font, text)
    text = _PLAIN_FUNCTIONS.sub(lambda match: rf"\{match[1]} ", text).replace(r"\infinity", r"\infty")
    text = re.sub(r"\s+", " ", text).strip()
    while text and text[-1] in ".,;" and not text.endswith("\\,"):
        text = text[:-1].rstrip()
    check_brackets(text)
    return _with_braces(text).strip()


def tokens(text: str) -> Iterator[tuple[str, int, int]]:
    """Each token (a command, an escaped character, an environment's begin or end, a character), where it starts, and
    how many brackets are open around it (for a bracket itself: outside of it). The brackets must balance."""
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
    listed = list(tokens(text))
    if len(listed) < 2 or listed[0][0] not in _OPENING or listed[0][0] == "{":
        return None
    if any(depth == 0 for _, _, depth in listed[1:-1]) or listed[-1][0] not in _CLOSING:
        return None
    return listed[0][0], text[len(listed[0][0]) : listed[-1][1]].strip(), listed[-1][0]


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


def _undelimited(text: str) -> str:
    for opening, closing in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        inner = text[len(opening) : len(text) - len(closing)]
        whole = len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing)
        if whole and closing not in inner and not inner.endswith("\\"):
            return inner.strip()
    return text


def _plain_font(match: re.Match[str]) -> str:
    """Words, and letters that may be units, stay `\\text{…}`; a constant, a number or brackets need no font."""
    content = re.sub(r"\{([^{}]*)\}", r"\1", match[1].strip())
    if content in ("e", "i", "d") or not re.search(r"[^\W\d_]", content) or re.fullmatch(r"\([A-Z]\)", content):
        return f" {content} " if content.isalpha() else content
    number = re.fullmatch(r"([-+$0-9.,/ ]*[0-9])\s*([^0-9]+)", content)
    if number:
        return rf"{number[1]}\text{{ {number[2].strip()}}}"
    if re.fullmatch(r"(?:percent|percentage|pct)\.?", content, re.IGNORECASE):
        return r"\%"
    return rf"\text{{{content}}}" if match[1][:1] != " " else rf"\text{{ {content}}}"


def _with_braces(text: str) -> str:
    r"""`\frac12` → `\frac{1}{2}`, `\sqrt3` → `\sqrt{3}`, `\sqrt(x+1)` → `\sqrt{x+1}`, `x^(2)` → `x^{2}`."""
    out: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None
        token, position = match[0], match.end()
        out.append(token)
        if token in (r"\frac", r"\binom"):
            for _ in range(2):
                argument, position = _argument(text, position)
                out.append(argument)
        elif token in (r"\sqrt", "^"):
            root = re.match(r"\s*\[[^\[\]]*\]", text[position:]) if token == r"\sqrt" else None
            if root:
                out.append(root[0].strip())
                position += root.end()
            following = text[position:].lstrip()
            if token == r"\sqrt" or following[:1] in ("(", "{"):
                argument, position = _argument(text, position, round_too=True)
                out.append(argument)
    return "".join(out)


def _argument(text: str, position: int, round_too: bool = False) -> tuple[str, int]:
    """The argument of a command in braces, uniform itself, and where it ends. `Unreadable` if there is none."""
    while position < len(text) and text[position] == " ":
        position += 1
    match = _TOKEN.match(text, position)
    if match is None or match[0] in _CLOSING:
        raise Unreadable("an argument is missing")
    if match[0] == "{" or (round_too and match[0] == "("):
        rest = text[position:]
        end = next(start for token, start, depth in tokens(rest) if start and depth == 0 and token in _CLOSING)
        return "{" + _with_braces(rest[1:end]) + "}", position + end + 1
    if match[0] in (r"\frac", r"\sqrt", r"\binom", r"\text"):  # which of what follows is its own?
        raise Unreadable(f"{match[0]} as an argument needs braces")
    return "{" + match[0] + "}", match.end()
