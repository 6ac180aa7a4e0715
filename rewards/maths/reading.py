"""Reading: from LaTeX to the structure of an answer, without computing anything."""

from __future__ import annotations

import re
from dataclasses import replace

from rewards.maths.forms import Form, Items, Region, Relation, Value, Words
from rewards.maths.latex import Unreadable, brackets, clean, split, tokens
from rewards.maths.units import strip_unit

MAX_ITEMS = 200
RELATIONS = frozenset({"=", "<", ">", r"\le", r"\ge", r"\ne", r"\in", r"\approx"})

_OR = re.compile(r"\\text\{\s*,?\s*(?:and|or)\s*\}|(?<![a-zA-Z\\{])(?:and|or)(?![a-zA-Z}])|\\lor(?![a-zA-Z])")
_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
_EULER = re.compile(r"(?<=[0-9])e(?=[+-])")
_MIXED = re.compile(r"(?<![0-9.a-zA-Z}^_\\)])([0-9]+) ?\\frac\{([0-9]{1,18})\}\{([0-9]{1,18})\}")
_MIXED_SLASH = re.compile(r"(?<![0-9.a-zA-Z}^_\\)/])([0-9]+) +([0-9]{1,18})/([0-9]{1,18})(?![0-9.])")
_BASE = re.compile(r"([0-9A-Fa-f]+|\\text\{[0-9A-Fa-f]+\})\s*_\s*(?:\{?\s*(?:\\text\{)?([0-9]{1,2}|[a-z]+)\}?\s*\}?)")
_BASE_WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_BASE_WORDS |= {"twelve": 12, "sixteen": 16, "hex": 16, "bin": 2, "oct": 8}
_LETTER_IN_FONT = re.compile(r"\\text\{ ?([a-zA-Z])\}")
_WORD = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{4,}(?![a-zA-Z])")  # shorter ones may be products of variables
_NAMED = re.compile(r"\\(?:begin|end|operatorname|mathbb|mathcal)\{[a-zA-Z]+\*?\}")
_SHORT_WORDS = frozenset("yes no odd one two all any dne na".split())  # noqa: SIM905
_NO_SPACE_IN_LIST = re.compile(r",(?! )")
_LABEL = re.compile(
    r"[a-zA-Z]'*|\\[a-zA-Z]+|\\text\{[^{}]*\}|[a-zA-Z](?:_\{?\w+\}?)?'*(?:\^\{-1\})?(?:\([a-zA-Z0-9, ]+\))?|"
    r"\|?[A-Z]{1,3}\|?|\\angle ?[A-Z]{1,3}|\\overline\{[A-Z]{2}\}|m ?\\angle ?[A-Z]{1,3}|\\triangle ?[A-Z]{3}"
)


def read(latex: str, reference: bool = False) -> list[Form]:
    """All readings of an answer, the likeliest first. `Unreadable` if there is none.

    There is more than one only where the notation itself is ambiguous: `2e-1`, and `1,234`, which may be a number or a
    list (but in a reference is a number).
    """
    text = clean(latex)
    whole = _without_thousands(text)
    texts = [whole] if reference else list(dict.fromkeys((whole, text)))
    if _EULER.search(text):
        texts += [_EULER.sub(r"e ", text) for text in texts]
    readings: list[Form] = []
    for variant in texts:
        form = read_clean(variant)
        if form not in readings:
            readings.append(form)
    return readings


def _without_thousands(text: str) -> str:
    """1,234 as 1234, outside of brackets, where a comma separates."""
    depths = {start: depth for _, start, depth in tokens(text)}
    plain = lambda match: match[0].replace(",", "") if depths.get(match.start()) == 0 else match[0]  # noqa: E731
    return _THOUSANDS.sub(plain, text)


def read_clean(text: str) -> Form:
    """The form of a text that `clean` has made uniform."""
    if not text:
        raise Unreadable("nothing is there")
    pieces, found = split(_OR.sub(",", text), frozenset(",;"))
    if found:
        items = [piece for piece in pieces if piece]
        if len(items) > MAX_ITEMS or not items:
            raise Unreadable(f"{len(items)} items")
        return Items("list", _flat([read_clean(item) for item in items])) if len(items) > 1 else read_clean(items[0])
    sides, operators = split(text, RELATIONS)
    if operators:
        return _relation(sides, operators)
    parts, operators = split(text, frozenset({r"\cup", r"\cap", r"\setminus"}))
    if operators:
        return Region(tuple(read_clean(part) for part in parts), tuple(operators))
    if re.search(r"\\(?:pm|mp)(?![a-zA-Z])", text) and brackets(text) is None:
        return Items("list", (read_clean(_signed(text, 0)), read_clean(_signed(text, 1))))
    embraced = brackets(text)
    return _value(text) if embraced is None else _group(text, *embraced)


def _flat(forms: list[Form]) -> tuple[Form, ...]:
    r"""`1, \pm 2` is one list of three."""
    return tuple(inner for form in forms for inner in (form.items if _is_list(form) else (form,)))  # type: ignore[union-attr]


def _is_list(form: Form) -> bool:
    return isinstance(form, Items) and form.kind == "list"


def _signed(text: str, which: int) -> str:
    signs = {r"\pm": "+-", r"\mp": "-+"}
    signed = "".join(signs[token][which] if token in signs else token for token, _, _ in tokens(text))
    return signed.replace("- ", "-").replace("+ ", "+").removeprefix("+")


def _relation(sides: list[str], operators: list[str]) -> Form:
    if not all(sides):
        raise Unreadable(f"one side of {operators[0]} is missing")
    if operators == ["="] and is_label(sides[1]) and not is_label(sides[0]):
        sides = sides[::-1]  # 5 = x
    flipped = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
    if len(operators) == 1 and operators[0] in flipped and is_label(sides[1]) and not is_label(sides[0]):
        sides, operators = sides[::-1], [flipped[operators[0]]]  # 5 < x
    if len(operators) == 2 and all(operator in (">", r"\ge") for operator in operators):
        sides, operators = sides[::-1], [flipped[operator] for operator in operators[::-1]]  # 5 > x > 2
    return Relation(tuple(sides), tuple(operators), read_clean(sides[-1]))


def is_label(side: str) -> bool:
    r"""Whether a side of an equation only names something: `x`, `f(x)`, `a_1`, `\text{Area}`, `AB`, `\angle ABC`."""
    return bool(_LABEL.fullmatch(side)) and side not in ("e", "i", r"\pi", r"\infty", r"\emptyset")


def _group(text: str, left: str, content: str, right: str) -> Form:
    left = "(" if left == r"\langle" else left
    right = ")" if right == r"\rangle" else right
    if left in (r"\lfloor", r"\lceil"):
        return _value(text)
    if left == r"\{":
        return _set(content)
    pieces, found = split(content, frozenset(",;"))
    if not found and ((left == "(" and right == ")") or re.fullmatch(r"\\begin\{pmatrix\}.*\\end\{pmatrix\}", content)):
        return read_clean(content)
    spaced = [*_NO_SPACE_IN_LIST.finditer(content)] and re.search(r",\s", content)
    if spaced:  # (1,000, 2,000): the commas with a space separate
        content = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), content)
        pieces, found = split(content, frozenset(",;"))
    if len(pieces) > MAX_ITEMS:
        raise Unreadable(f"{len(pieces)} items")
    return Items("tuple", tuple(read_clean(piece) for piece in pieces), left, right)


def _set(content: str) -> Form:
    if not content:
        return Value(r"\emptyset")
    for separator in (r"\mid", "|", ":"):
        pieces, found = split(content, frozenset({separator}))
        if len(found) == 1 and is_label(pieces[0].split(r"\in")[0].strip()):
            return read_clean(pieces[1])  # {x | x > 2} is read as x > 2
    pieces, _ = split(content, frozenset(",;"))
    if len(pieces) > MAX_ITEMS:
        raise Unreadable(f"{len(pieces)} items")
    return Items("set", _flat([read_clean(piece) for piece in pieces]))


def _value(text: str) -> Form:
    value, unit = strip_unit(text)
    percent = re.search(r"\s*(?:\\?%|(?<![a-zA-Z])percent)$", value)
    if percent:
        value = value[: percent.start()].strip()
        if not value:
            raise Unreadable("a percent sign without a number")
    elif unit and brackets(value) and brackets(value)[0] != r"\lfloor":  # type: ignore[index]
        inner = read_clean(value)
        return replace(inner, unit=unit) if isinstance(inner, Value) else inner
    value = _LETTER_IN_FONT.sub(r" \1 ", value).strip()
    base = _BASE.fullmatch(value)
    if base and (base[2].isdigit() or base[2] in _BASE_WORDS):
        digits = base[1].removeprefix(r"\text{").removesuffix("}").lstrip("0") or "0"
        number = int(base[2]) if base[2].isdigit() else _BASE_WORDS[base[2]]
        return Value(digits.upper() if number != 10 else digits, bool(percent), unit, number)
    if r"\text" in value or _WORD.search(_NAMED.sub(" ", value)) or value.lower() in _SHORT_WORDS:
        return Words(plain_words(value))
    for mixed in (_MIXED, _MIXED_SLASH):
        value = mixed.sub(_mixed_number, value)
    value = value.removeprefix("+").strip()
    if not value:
        raise Unreadable("nothing is there")
    if re.search(r"[0-9]\s+\.?[0-9]|[0-9]\s*_", value):
        raise Unreadable("two numbers side by side, or digits in an unknown base")
    return Value(value, bool(percent), unit)


def plain_words(text: str) -> str:
    """Words without fonts, punctuation and case; a single letter keeps its case."""
    text = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)
    text = " ".join(re.sub(r"[\s.,;:!?\"'`*$~{}()]+", " ", text).split())
    return text.casefold() if len(text) > 1 else text


def _mixed_number(match: re.Match[str]) -> str:
    if int(match[2]) >= int(match[3]):
        return match[0] if "frac" in match[0] else f"{match[1]}\\cdot {match[2]}/{match[3]}"
    return rf"({match[1]}+\frac{{{match[2]}}}{{{match[3]}}})"
