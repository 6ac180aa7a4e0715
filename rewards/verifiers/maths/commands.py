r"""LaTeX's commands: one for each meaning (`\dfrac` is `\frac`, `\leqslant` is `\le`), none for what is only layout."""

from __future__ import annotations

import re

_COMMANDS = {
    "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "dbinom": r"\binom", "tbinom": r"\binom",
    "times": r"\cdot ", "ast": r"\cdot ", "div": "/", "leq": r"\le ", "geq": r"\ge ", "leqslant": r"\le ",
    "geqslant": r"\ge ", "lt": "<", "gt": ">", "neq": r"\ne ", "lbrace": r"\{", "rbrace": r"\}", "lbrack": "[",
    "rbrack": "]", "lparen": "(", "rparen": ")", "varnothing": r"\emptyset ", "R": r"\mathbb{R}",
    "infinity": r"\infty ",
    "lvert": "|", "rvert": "|", "vert": "|", "degree": r"^\circ ", "degrees": r"^\circ ", "backslash": r"\setminus ",
    "vee": r"\lor ", "wedge": r"\land ", "lg": r"\log ",
    "simeq": r"\approx ", "dollar": r"\$", "textdollar": r"\$", "textdegree": r"^\circ ",
    "pounds": "£", "euro": "€",
    "varphi": r"\phi ", "varepsilon": r"\epsilon ", "vartheta": r"\theta ",
    "percent": r"\%", "imath": "i", "enspace": " ", "thinspace": " ", "rm": " ", "bf": " ", "it": " ",
    "displaystyle": " ", "textstyle": " ", "scriptstyle": " ", "limits": "", "ensuremath": "",
    "tiny": " ", "small": " ", "normalsize": " ", "large": " ", "Large": " ", "LARGE": " ", "huge": " ", "Huge": " ",
    "dots": r"\ldots ", "cdots": r"\ldots ", "dotsc": r"\ldots ", "dotsb": r"\ldots ",
    "nolimits": "", "mathbin": "", "mathrel": "", "mathord": "", "mathop": "", "mathpunct": "", "colon": ":",
    "lnot": r"\neg ", "gets": r"\leftarrow ", "rightarrow": r"\to ", "implies": r"\Rightarrow ",
    "quad": " ", "qquad": " ", "left": "", "right": "", "big": "", "Big": "", "bigg": "", "Bigg": "",
    "bigl": "", "bigr": "", "Bigl": "", "Bigr": "", "biggl": "", "biggr": "", "Biggl": "", "Biggr": "", "middle": "",
}  # fmt: skip
_COMMAND = re.compile(r"\\\\|\\([a-zA-Z]+)")  # a line break of a matrix is no command
_LAYOUT = re.compile(r"\\\\|\\[,!;:> ]|~")
_UNSEEN = re.compile(
    r"\\[hv]?phantom ?\{[^{}]*\}|\\[hv]space\*? ?\{[^{}]*\}|\\(?:color|tag|label) ?\{[^{}]*\}|\\textcolor ?\{[a-z]+\}"
    r"|\\m?(?:kern|skip) ?-?[0-9.]+ ?(?:pt|em|ex|mu|cm|mm)|\\q?quad(?=[a-zA-Z])|\\(?:math)?strut(?![a-zA-Z])"
)
_UNDERLINED = re.compile(r"\\underline ?\{([-+0-9.,/ ]*)\}")
_LEFT_BRACE = re.compile(r"\\left ?\\\{((?:(?!\\left).)*)\\right ?\.", re.DOTALL)  # of cases
_ARRAY = re.compile(r"\\(begin|end) ?\{array\}(?:\{[^{}]*\})?")
_OLD_FONT = re.compile(r"\{ ?\\(?:rm|bf|it|sf|tt) ([^{}]*)\}")
_LETTER_FONT = re.compile(
    r"\\(math(?:bb|cal|frak|scr|rm|bf|it|sf|tt)|boldsymbol|bm|hat|bar|vec|tilde)(?: +([a-zA-Z0-9])|([0-9]))"
)
_INFIX = re.compile(r"\\(over|choose)(?![a-zA-Z])")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_MOST_INFIXES = 20
_ESCAPED_TWICE = re.compile(
    r"\\\\(?=(?:left|right|d?frac|sqrt|text|math[a-z]+|leq?|geq?|neq?|in|cup|cap|pi|infty|cdot|times)\b)"
)

_DENIED = {"=": r"\ne ", "<": r"\ge ", ">": r"\le ", r"\le": ">", r"\ge": "<", r"\in": r"\notin "}
_NOT = re.compile(r"(?:\\not ?|\u0338 ?|(\\[bx]?cancel ?\{ ?))(=|<|>|\\(?:le|ge|in)(?![a-zA-Z]))(?(1) ?\})")


def seen(text: str) -> str:
    r"""The text without what prints nothing (`\phantom{5}`, `\hspace{2pt}`, colours), and old fonts as new ones.

    Outside of environments `\\frac` is `\frac`: such data went through JSON once too often.
    """
    if r"\begin" not in text:
        text = _ESCAPED_TWICE.sub(lambda _: "\\", text)
    text = _UNDERLINED.sub(r"\1", text)
    text = _LETTER_FONT.sub(lambda match: rf"\{match[1]}{{{match[2] or match[3]}}}", text)
    return _prefixed(_OLD_FONT.sub(r"\\text{\1}", _UNSEEN.sub(" ", text)))


def _prefixed(text: str) -> str:
    r"""TeX's `{a \over b}` as `{\frac{a}{b}}`, `{n \choose k}` as `{\binom{n}{k}}`."""
    for _ in range(_MOST_INFIXES):
        infix = _INFIX.search(text)
        if infix is None:
            break
        opened, end = [0], len(text)
        for brace in _BRACE.finditer(text):
            if brace[0] == "{":
                opened.append(brace.end())
            elif brace[0] == "}" and len(opened) > 1:
                begin = opened.pop()
                if begin <= infix.start() < brace.start():
                    end = brace.start()
                    break
        else:
            begin = 0
        above, below = text[begin : infix.start()].strip(), text[infix.end() : end].strip()
        if not above or not below or (begin == 0 and re.search("[=<>,;]", text)):
            break
        command = "frac" if infix[1] == "over" else "binom"
        text = rf"{text[:begin]}\{command}{{{above}}}{{{below}}}{text[end:]}"
    return text


def with_plain_commands(text: str) -> str:
    r"""Synonyms replaced; brackets without `\left`, spaces without a command."""
    text = (
        _LEFT_BRACE.sub(lambda match: _ARRAY.sub(r"\\\1{cases}", match[1]), text)
        .replace(r"\left.", "")
        .replace(r"\right.", "")
    )
    text = _COMMAND.sub(lambda match: _COMMANDS.get(match[1] or "", match[0]), text)
    text = _NOT.sub(lambda match: _DENIED[match[2]], text)
    return _LAYOUT.sub(lambda match: {r"\\": r"\\", r"\!": ""}.get(match[0], " "), text)
