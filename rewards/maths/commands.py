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
    "percent": r"\%", "imath": "i", "enspace": " ", "thinspace": " ", "rm": " ", "bf": " ", "it": " ",
    "displaystyle": " ", "textstyle": " ", "scriptstyle": " ", "limits": "",
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
_LEFT_BRACE = re.compile(r"\\left ?\\\{((?:(?!\\left).)*)\\right ?\.", re.DOTALL)  # of cases
_ARRAY = re.compile(r"\\(begin|end) ?\{array\}(?:\{[^{}]*\})?")
_OLD_FONT = re.compile(r"\{ ?\\(?:rm|bf|it|sf|tt) ([^{}]*)\}")
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
    return _OLD_FONT.sub(r"\\text{\1}", _UNSEEN.sub(" ", text))


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
