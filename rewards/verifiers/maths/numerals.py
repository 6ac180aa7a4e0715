r"""How numbers are written: digits in groups (`11,\! 111`), mixed numbers (`1\frac12`), in a base (`52_{(8)}`)."""

from __future__ import annotations

import re

_COMMA = r"\s*(?:\\!\s*)*,\s*(?:\\!\s*)+"  # what closes up behind it is part of a number; `100,\,200` is a list
_GROUP_SEPARATOR = rf"(?:{_COMMA}|\s*\{{ ?, ?\}}\s*|\s*(?:\\[,;: !]|~)\s*)"
_GROUPS = re.compile(rf"(?<=[0-9]){_GROUP_SEPARATOR}(?=[0-9]{{3}}(?![0-9]|\s*/))")
_SPACED_GROUPS = re.compile(
    r"(?<![0-9.,/^_{\\a-zA-Z])(?<![0-9] )[1-9][0-9]{0,2}(?: [0-9]{3})+(?![0-9]| [0-9]| ?/| ?\\[dtc]?frac)"
)
_DECIMAL_COMMA = re.compile(r"(?<=[0-9])\{,\}(?=[0-9])")

_MIXED = re.compile(r"(?<![0-9.a-zA-Z}^_\\)])([0-9]+) ?\\frac\{([0-9]{1,18})\}\{([0-9]{1,18})\}")
_MIXED_SLASH = re.compile(r"(?<![0-9.a-zA-Z}^_\\)/])([0-9]+) +([0-9]{1,18})/([0-9]{1,18})(?![0-9.])")
_ONE_BARRED = re.compile(r"(?<=[0-9.])\\(overline|bar|dot) ?([0-9])")
_DOTTED = re.compile(r"(?<=[0-9.])\\dot ?\{([0-9])\}([0-9]*)\\dot ?\{?([0-9])\}?")
_IN_BRACKETS = re.compile(r"^(-?[0-9]+\.[0-9]*)\(([0-9]+)\)$")

_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_BASES |= {"eleven": 11, "twelve": 12, "sixteen": 16, "hex": 16, "bin": 2, "oct": 8, "dec": 10}
_BASES |= {"0x": 16, "0b": 2, "0o": 8, **{str(base): base for base in range(2, 37)}}
_DIGITS = r"(?P<sign>-?) ?\(? ?(?P<digits>[0-9A-Za-z]+(?:\.[0-9A-Za-z]+)?) ?\)?"
_BASED = re.compile(
    rf"{_DIGITS} ?(?:_ ?[(\[]? ?(?:base )?(?P<base>[0-9a-z]+) ?[)\]]?|\(? ?base (?P<named>[0-9a-z]+) ?\)?)"
    r"|(?P<minus>-?)(?P<prefix>0[xbo])(?P<prefixed>[0-9A-Fa-f]+)"
)


def without_groups(text: str) -> str:
    r"""The digits of a number together: `11,\! 111`, `1{,}234`, `1\,234`, `1 234 567`; `3{,}14` has a decimal comma.

    Spaces group digits only in threes, from one to three digits on; `1 234/567` is a mixed number.
    """
    text = _GROUPS.sub("", text)
    text = _SPACED_GROUPS.sub(lambda match: match[0].replace(" ", ""), text)
    text = _ONE_BARRED.sub(r"\\\1{\2}", text)
    return _DECIMAL_COMMA.sub(".", _DOTTED.sub(r"\\overline{\1\2\3}", text))


def with_sums(value: str) -> str:
    r"""Mixed numbers as the sums that they are: `1\frac{1}{2}` and `1 1/2` → `(1+\frac{1}{2})`; `0.1(6)` repeats."""
    value = _IN_BRACKETS.sub(r"\1\\overline{\2}", value)
    return _MIXED_SLASH.sub(_mixed_number, _MIXED.sub(_mixed_number, value))


def _mixed_number(match: re.Match[str]) -> str:
    if int(match[2]) >= int(match[3]):
        return match[0] if "frac" in match[0] else f"{match[1]}\\cdot {match[2]}/{match[3]}"
    return rf"({match[1]}+\frac{{{match[2]}}}{{{match[3]}}})"


def based(value: str) -> tuple[str, int] | None:
    r"""Digits without leading zeros and their base: `52_{(8)}`, `(52)_{8}`, `52_\text{eight}`, `52 base 8`, `0x34`.

    None if it is nothing of the kind, such as a letter with an index (`a_{12}`).
    """
    plain = re.sub(r"_ ?\{([^{}]*)\}", r"_\1", re.sub(r"\\text ?\{([^{}]*)\}", r" \1 ", value))
    found = _BASED.fullmatch(" ".join(plain.split()))
    if found is None:
        return None
    base = _BASES.get(found["base"] or found["named"] or found["prefix"])
    digits = (found["digits"] or found["prefixed"]).upper()
    letters = [digit for digit in digits if digit.isalpha()]
    if base is None or any(int(letter, 36) >= base for letter in letters) or (digits.isalpha() and len(digits) == 1):
        return None
    return (found["sign"] or found["minus"] or "") + (digits.lstrip("0") or "0"), base
