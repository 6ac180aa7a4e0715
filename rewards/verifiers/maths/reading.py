"""Reading: from LaTeX to the structure of an answer, without computing anything."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from reprise.rewards.verifiers.maths.colons import clock, ratio
from reprise.rewards.verifiers.maths.forms import Builder, Form, Items, Region, Relation, Value, Words
from reprise.rewards.verifiers.maths.latex import Unreadable, brackets, clean, plain_words, split, tokens
from reprise.rewards.verifiers.maths.names import is_label, name
from reprise.rewards.verifiers.maths.numerals import based, with_sums
from reprise.rewards.verifiers.maths.units import several, strip_unit

MAX_ITEMS = 200
RELATIONS = frozenset({"=", "<", ">", r"\le", r"\ge", r"\ne", r"\in", r"\approx"})
_STATEMENTS = frozenset(  # that nobody computes: they equal themselves
    rf"\{name}"
    for name in """equiv notin subset subseteq supset supseteq parallel perp cong sim propto Rightarrow Leftrightarrow
    iff to mapsto forall exists neg pmod mid nmid""".split()  # noqa: SIM905
)
_LOGIC = frozenset({r"\land", r"\lor"})
_COMPARED = re.compile(r"[0-9=<>]|\\(?:le|ge|ne|in)(?![a-zA-Z])")
_INEQUALITIES = frozenset({"<", ">", r"\le", r"\ge", r"\ne", r"\in"})
FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}

_JOINER = re.compile(r"\\text\{\s*,?\s*(and|or)\s*\}|(?<![a-zA-Z\\{])(and|or)(?![a-zA-Z}])")
_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
_PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_EULER = re.compile(r"(?<=[0-9])e(?=[+-])")
_LETTER_IN_FONT = re.compile(r"\\text\{ ?([a-zA-Z])\}")
_WORD = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{4,}(?![a-zA-Z])")  # shorter ones may be products of variables
_NAMED = re.compile(r"\\(?:begin|end|operatorname|mathbb|mathcal)\{[a-zA-Z]+\*?\}|_\{[a-zA-Z]+\}")
_SHORT_WORDS = frozenset("yes no odd one two all any dne na".split())  # noqa: SIM905
_NO_SOLUTION = ("no solution", "no solutions", "there is no solution", "there are no solutions")
_WITHOUT = re.compile(r"(?<=\\mathbb\{[RZNQC]\}) ?- ?(?=\\\{)")
_ENVIRONMENT = re.compile(
    r"\\begin\{(pmatrix|cases|aligned|gathered|split)\}(.*)\\end\{(?:pmatrix|cases|aligned|gathered|split)\}", re.DOTALL
)
_LIMITED = re.compile(r"(.*[0-9})a-z\]] |.*[0-9})]|.*[a-z](?=\([^()]*\\in))\(([^()]*)\)")
_POINT = re.compile(r"(?P<name>[A-Z]'*(?:_\{\w\})?) ?(?P<at>\(.*[0-9].*\))")
_MEMBER_OF = re.compile(r"\\in(?![a-zA-Z])")
_ANGLE = re.compile(r"([0-9]{1,3}) ?\^ ?\\circ ?([0-5]?[0-9]) ?'(?: ?([0-5]?[0-9]) ?'')?")
_LENGTH = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?) ?('{1,2})")  # 5', feet or minutes
_PRIME = re.compile(r"[)}\]0-9] ?'")
_REMARK = re.compile(r"(?<=[0-9}]) \(([a-zA-Z]{4}[a-zA-Z ]{0,40})\)$")  # 9 (apples)
_BARE = re.compile(r"(?<=[0-9}])( (?!arc|sin|cos|tan|cot|sec|csc|log|exp|sqrt)[a-zA-Z]{4,}(?: [a-zA-Z]{2,}){0,3})$")
_NO_SPACE_IN_LIST = re.compile(r",(?! )")
_ALL = re.compile(
    r"(?:the set of )?(?:all )?(real numbers?|reals?|integers|natural numbers|rational numbers)(?: [a-z])?"
    r"(?:,? ?(?:except|other than|excluding|but)(?: for)? (?P<rest>.+))?"
)
_SETS = {"rea": r"\mathbb{R}", "int": r"\mathbb{Z}", "nat": r"\mathbb{N}", "rat": r"\mathbb{Q}"}


def read(latex: str, reference: bool = False) -> list[Form]:
    """All readings of an answer, the likeliest first. `Unreadable` if there is none.

    There is more than one only where the notation itself is ambiguous: `2e-1`, and `1,234`, which may be a number or a
    list (but in a reference is a number).
    """
    return list(_read(latex, reference))


@lru_cache(maxsize=1024)  # the samples of a group have one reference, and often one answer
def _read(latex: str, reference: bool) -> tuple[Form, ...]:
    if _PLAIN.fullmatch(latex):
        return (Value(latex),)
    text = _WITHOUT.sub(r"\\setminus ", clean(latex))
    described = _all_numbers(text)
    if described is not None:
        return (described,)
    whole = _without_thousands(text)
    texts = [whole] if reference else list(dict.fromkeys((whole, text)))
    if _EULER.search(text):
        texts += [_EULER.sub(r"e ", text) for text in texts]
    readings: list[Form] = []
    for variant in texts:
        form = read_clean(variant)
        if form not in readings:
            readings.append(form)
    return tuple(readings)


def _without_thousands(text: str) -> str:
    """1,234 as 1234, outside of brackets, where a comma separates."""
    depths = {start: depth for _, start, depth in tokens(text)}
    plain = lambda match: match[0].replace(",", "") if depths.get(match.start()) == 0 else match[0]  # noqa: E731
    return _THOUSANDS.sub(plain, text)


def read_clean(text: str) -> Form:
    """The form of a text that `clean` has made uniform."""
    if not text:
        raise Unreadable("nothing is there")
    time = clock(text)
    if time is not None:
        return time
    quantity = several(text)
    if quantity is not None:
        return Words(quantity)
    rows = _rows(text)
    if rows is not None:
        return _several(rows, [","]) if rows else Words("".join(text.split()))
    if split(text, _STATEMENTS)[1] or (split(text, _LOGIC)[1] and not _COMPARED.search(text)):
        return Words(re.sub(r"\{(\w)\}", r"\1", "".join(text.split())))
    limited = _LIMITED.fullmatch(text)
    if limited is not None and split(limited[2], RELATIONS)[1]:
        return _several([limited[1].strip(), limited[2]], [","])  # y=e^{2x}+1 (x>0)
    joined = _JOINER.sub(lambda match: r"\land " if "and" in (match[1], match[2]) else r"\lor ", text)
    pieces, found = split(joined, frozenset({",", ";", r"\lor", r"\land"}))
    if found:
        return _systems(joined) or _several([piece for piece in pieces if piece], found)
    sides, operators = split(text, RELATIONS)
    if operators:
        return _relation(sides, operators)
    parts, operators = split(text, frozenset({r"\cup", r"\cap", r"\setminus"}))
    if operators:
        return Region(
            tuple(_set(part[1:-1]) if _grouped(part) else read_clean(part) for part in parts), tuple(operators)
        )
    proportion = ratio(text, read_clean)
    if proportion is not None:
        return proportion
    if _grouped(text):  # only a set has commas in braces
        content = text[1:-1].strip()
        listed = split(content, frozenset({",", ";", r"\mid", "|"}))[1]
        return _set(content) if listed else read_clean(content)
    signs = sum(token in (r"\pm", r"\mp") for token, _, _ in tokens(text))
    if signs and (brackets(text) is None or (signs == 1 and _is_point(text))):
        return Items("list", (read_clean(_signed(text, 0)), read_clean(_signed(text, 1))))
    embraced = brackets(text)
    return _point(text) or _value(text) if embraced is None else _group(text, *embraced)


def _is_point(text: str) -> bool:
    """Whether it is several things in round brackets."""
    embraced = brackets(text)
    return embraced is not None and embraced[0] + embraced[2] == "()" and bool(split(embraced[1], frozenset(","))[1])


def _point(text: str) -> Form | None:
    """`A(1,2)`: a point with its name; None if it is something else."""
    match = _POINT.fullmatch(text)
    if match is None or brackets(match["at"]) is None or not split(match["at"][1:-1], frozenset(","))[1]:
        return None
    return Relation((match["name"].strip(), match["at"]), ("=",), read_clean(match["at"]))


def _rows(text: str) -> list[str] | None:
    r"""The rows of equations or inequalities under each other; none of cases with conditions; None of anything else."""
    match = _ENVIRONMENT.fullmatch(text)
    if match is None or r"\begin" in match[2]:
        return None
    rows = [row.strip().rstrip(",;") for row in match[2].replace(r"\\", "\0").split("\0") if row.strip()]
    if all(split(row, RELATIONS)[1] for row in rows) and (match[1] != "cases" or "&" not in match[2]):
        return [row.replace("&", "") for row in rows]
    return [] if match[1] == "cases" else None


def _systems(joined: str) -> Form | None:
    """`p=5,q=2; p=7,q=2`: several solutions, each of which names several values; None if it is something else."""
    pieces, found = split(joined, frozenset({";", r"\lor"}))
    if not found or len(pieces) > MAX_ITEMS or not all(map(_is_system, pieces)):
        return None
    return Items("list", tuple(read_clean(piece) for piece in pieces))


def _is_system(piece: str) -> bool:
    """Whether it gives values to two or more different names (from its text: what is read twice at each depth of
    brackets would take exponential time)."""
    equations, found = split(piece, frozenset({",", r"\land"}))
    sides = [split(equation, frozenset({"="}))[0] for equation in equations]
    names = [name(pair[0]) for pair in sides if len(pair) == 2 and all(pair)]
    return bool(found) and len(names) == len(equations) == len(set(names)) and None not in names


def _several(items: list[str], joiners: list[str]) -> Form:
    """A list, or what "or" and "and" make of inequalities and intervals: their union, their intersection."""
    if len(items) > MAX_ITEMS or not items:
        raise Unreadable(f"{len(items)} items")
    if len(items) == 1:
        return read_clean(items[0])
    forms = [read_clean(item) for item in items]
    names = {form.sides[0] for form in forms if isinstance(form, Relation) and form.operators == ("=",)}
    if set(joiners) == {r"\lor"} and len(names) > 1 and all(map(is_label, names)):
        return Words(r"\lor".join(items))  # x=7 or y=3 gives no values
    joined = any(map(_is_region, forms)) or all(map(is_interval, forms))
    if r"\lor" in joiners and r"\land" not in joiners and joined and all(map(_is_part, forms)):
        return Region(tuple(forms), (r"\cup",) * (len(forms) - 1))
    if r"\land" in joiners and r"\lor" not in joiners and all(_is_region(form) for form in forms):
        return Region(tuple(forms), (r"\cap",) * (len(forms) - 1))
    return Items("list", _flat(forms))


def _is_region(form: Form) -> bool:
    return isinstance(form, Relation) and set(form.operators) <= _INEQUALITIES


def _is_part(form: Form) -> bool:
    """Whether it may be a part of a union: an inequality, an interval, or `x=0`."""
    return is_interval(form) or (isinstance(form, Relation) and set(form.operators) <= {*_INEQUALITIES, "="})


def is_interval(form: Form) -> bool:
    """Whether a pair in brackets is no point."""
    if not isinstance(form, Items) or form.kind != "tuple" or len(form.items) != 2:
        return False
    infinite = any(isinstance(end, Value) and r"\infty" in end.latex for end in form.items)
    return infinite or (form.left, form.right) != ("(", ")")


def _grouped(text: str) -> bool:
    """Whether one pair of TeX's own braces holds it all."""
    if text[:1] != "{" or text[-1:] != "}":
        return False
    return all(depth > 0 for _, start, depth in tokens(text) if 0 < start < len(text) - 1)


def _all_numbers(text: str) -> Form | None:
    r"""`\text{all real numbers except } 0` as a set; None if it is something else."""
    plain = " ".join(re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).split())
    match = _ALL.fullmatch(plain[:1].lower() + plain[1:])
    if match is None:
        return None
    whole = Value(_SETS[match[1][:3]])
    if match["rest"] is None:
        return whole
    rest = read_clean(match["rest"])
    items = [item.last if isinstance(item, Relation) else item for item in _flat([rest])]
    return Region((whole, Items("set", tuple(items))), (r"\setminus",))


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
    if not sides[0] and operators[0] == r"\approx":
        sides = [r"\text{it}", *sides[1:]]
    elif not sides[0] and operators[0] == "=" and all(sides[1:]):
        return read_clean(sides[1]) if len(sides) == 2 else _relation(sides[1:], operators[1:])
    if not all(sides):
        raise Unreadable(f"one side of {operators[0]} is missing")
    sides = [name(side) or side for side in sides]
    if operators == ["="] and is_label(sides[1]) and not is_label(sides[0]):
        sides = sides[::-1]  # 5 = x
    if len(operators) == 1 and operators[0] in FLIPPED and is_label(sides[1]) and not is_label(sides[0]):
        sides, operators = sides[::-1], [FLIPPED[operators[0]]]  # 5 < x
    if len(operators) == 2 and all(operator in (">", r"\ge") for operator in operators):
        sides, operators = sides[::-1], [FLIPPED[operator] for operator in operators[::-1]]  # 5 > x > 2
    return Relation(tuple(sides), tuple(operators), read_clean(sides[-1]))


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
    if (left, [piece.lstrip("+ ") for piece in pieces], right) == ("(", [r"-\infty", r"\infty"], ")"):
        return Value(r"\mathbb{R}")
    return Items("tuple", tuple(read_clean(piece) for piece in pieces), left, right)


def _set(content: str) -> Form:
    if not content:
        return Value(r"\emptyset")
    for separator in (r"\mid", "|", ":"):
        pieces, found = split(content, frozenset({separator}))
        if found and pieces[0]:
            condition = content[content.index(separator, len(pieces[0])) + len(separator) :].strip()
            if split(condition, RELATIONS)[1] or r"\text" in condition or _WORD.search(condition):
                return _built(pieces[0], condition)
    pieces, _ = split(content, frozenset(",;"))
    if len(pieces) > MAX_ITEMS:
        raise Unreadable(f"{len(pieces)} items")
    return Items("set", _flat([read_clean(piece) for piece in pieces]))


def _built(member: str, condition: str) -> Form:
    r"""What a set-builder describes: `\{x \mid x>2\}` just says x>2."""
    holds = _at_once(read_clean(condition))
    variable, domain = (part.strip() for part in (*_MEMBER_OF.split(member, maxsplit=1), "")[:2])
    several = holds.items if isinstance(holds, Items) else holds.parts if isinstance(holds, Region) else ()
    about = several or (holds,)
    whole = domain in ("", r"\mathbb{R}") and (isinstance(holds, Region) or _is_region(holds))
    if whole and all(isinstance(one, Relation) and name(variable) in one.sides for one in about):
        return holds
    return Builder("".join((variable if domain == r"\mathbb{R}" else member).split()), holds)


def _at_once(holds: Form) -> Form:
    r"""Inequalities of a set-builder, parted by commas, as what fulfils all of them; that x is real says nothing."""
    if not isinstance(holds, Items) or holds.kind != "list":
        return holds
    real = Value(r"\mathbb{R}")
    said = [one for one in holds.items if not (isinstance(one, Relation) and one.last == real)]
    if not said or not all(
        isinstance(one, Relation) and set(one.operators) <= _INEQUALITIES - {r"\in"} for one in said
    ):
        return holds
    return said[0] if len(said) == 1 else Region(tuple(said), (r"\cap",) * (len(said) - 1))


def _degrees(degrees: str, minutes: str, seconds: str | None) -> Value:
    r"""30^\circ 15' as the mixed number of degrees that it is."""
    part = Fraction(int(minutes) * 60 + int(seconds or 0), 3600)
    fraction = rf"({degrees}+\frac{{{part.numerator}}}{{{part.denominator}}})" if part else degrees
    return Value(fraction, unit="deg")


def _value(text: str) -> Form:
    angle = _ANGLE.fullmatch(text)
    if angle is not None:
        return _degrees(*angle.groups())
    remark = _REMARK.search(text)
    value, unit = strip_unit(_BARE.sub(r"\\text{\1}", _REMARK.sub(r"\\text{\1}", text)))
    if remark:
        unit = ""
    percent = re.search(r"\s*(?:\\?%|(?<![a-zA-Z])percent)$", value)
    if percent:
        value = value[: percent.start()].strip()
        if not value:
            raise Unreadable("a percent sign without a number")
    elif unit and brackets(value) and brackets(value)[0] != r"\lfloor":  # type: ignore[index]
        inner = read_clean(value)
        return replace(inner, unit=unit) if isinstance(inner, Value) else inner
    value = _LETTER_IN_FONT.sub(r" \1 ", value).strip()
    length = _LENGTH.fullmatch(value)
    if length is not None and not unit:
        return Value(length[1], unit=length[2])
    if _PRIME.search(value):
        raise Unreadable("a prime behind something that is no name")
    digits = based(value)
    if digits is not None:
        return Value(digits[0], bool(percent), unit, digits[1])
    if r"\text" in value or _WORD.search(_NAMED.sub(" ", value)) or value.lower() in _SHORT_WORDS:
        words = plain_words(text)
        return Value(r"\emptyset") if words in _NO_SOLUTION else Words(words)
    value = with_sums(value).removeprefix("+").strip()
    if not value:
        raise Unreadable("nothing is there")
    if re.search(r"[0-9]\s+\.?[0-9]|[0-9]\s*_", value):
        raise Unreadable("two numbers side by side, or digits in an unknown base")
    return Value(value, bool(percent), unit)
