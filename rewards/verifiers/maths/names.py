r"""Names: which sides of an equation only name something (`x`, `f(x)`, `\angle ABC`), and when two names are one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from reprise.rewards.verifiers.maths.forms import Form, Items, Relation
from reprise.rewards.verifiers.maths.latex import brackets, split

MAX_NAME = 200
_CONSTANTS = frozenset({"e", "i", r"\pi", r"\infty", r"\emptyset"})

_NO_SYMBOL = (
    "frac|sqrt|cdot|sum|prod|int|lim|pm|mp|mathbb|begin|end|infty|sin|cos|tan|cot|sec|csc|log|ln|exp|text|"
    "not|neg|nexists"
)
_ACCENTED = (
    r"\\(?:hat|bar|tilde|d?dot|overline|underline|overrightarrow|wide(?:hat|tilde)|mathcal)(?:\{[^{}]*\}| [a-zA-Z])"
)
_LETTER = rf"(?:[a-zA-Z]|{_ACCENTED}|\\(?!(?:{_NO_SYMBOL})(?![a-zA-Z]))[a-zA-Z]+)"
_INDEX = r"(?:_\{(?:[^{}]|\{[^{}]*\})*\})?"
_SYMBOL = rf"(?:{_LETTER}{_INDEX}'*(?:\^\{{-1\}}|\^\{{\([0-9n]\)\}})?)"
_ARGUMENT = rf"(?:{_SYMBOL}|-?[0-9.]+)"
_ANYTHING = r"\((?:[^()]|\([^()]*\))*\)"
_POINT = r"(?:[A-Z]'*(?:_\{\w\})?)"
_ANGLE = rf"\\angle ?(?:{_POINT}{{1,3}}|{_SYMBOL}|[0-9])"
_LABEL = re.compile(
    "|".join(
        (
            rf"{_SYMBOL}(?:\({_ARGUMENT}(?:,{_ARGUMENT})*\))?",
            rf"(?:[fghFGHT]|[fgh]\^\{{-1\}}|P|Pr|E|Var|\\Pr|\\mathbb\{{[PE]\}}|\\text\{{(?:Pr?|E|Var)\}}){_ANYTHING}",
            rf"{_POINT}{{1,4}}|\[{_POINT}{{3,6}}\]|{_ANGLE}|\\triangle ?{_POINT}{{3}}",
            rf"\\(?:sin|cos|tan|cot|sec|csc)(?! ?\(?\\pi(?![a-zA-Z])) ?\(?(?:{_SYMBOL}|{_ANGLE})\)?",
            r"\\frac\{(?:d|\\partial) ?(?:\^\{[0-9]\})?[a-zA-Z]\}\{(?:d|\\partial ?)[a-zA-Z](?:\^\{?[0-9]\}?)?\}",
            rf"\\sigma\^2|\\sigma\^\{{2\}}|\\operatorname\{{(?:Var|Cov|Pr?|E|tr|rank)\}}{_ANYTHING}",
            rf"\\(?:dim|deg|det|operatorname\{{[a-z]+\}}) ?\(?{_SYMBOL}\)?",
            rf"\\text\{{[^{{}}]*\}} ?\(?(?:{_POINT}{{1,4}}|\\(?:angle|triangle) ?{_POINT}{{1,3}}|{_SYMBOL})?\)?",
        )
    )
)
_QUOTIENT = re.compile(rf"\\frac\{{({_POINT}{{2}})\}}\{{({_POINT}{{2}})\}}|({_POINT}{{2}})/({_POINT}{{2}})")
_WORDS = re.compile(
    r"[A-Z][a-z]{2,}(?: [a-zA-Z]+){0,5}|(?:the )?(?:area|volume|perimeter|length|width|height|time|speed|distance|cost|"
    r"price|answer|total|sum|product|radius|probability|slope|average|mean|median|mode|range|maximum|minimum|max|min|"
    r"number|value|ratio)(?: [a-zA-Z]+){0,5}"
)
_FONT = re.compile(r"\\text\{ ?([a-zA-Z]|max|min) ?\}|\\vec(?:\{ ?([a-zA-Z]) ?\}| ([a-zA-Z])(?![a-zA-Z]))")
_SEGMENT = re.compile(r"\\overline\{([A-Z]'*[A-Z]'*)\}|\|([A-Z]'*[A-Z]'*)\|")  # but P(\overline{AB}) is not P(AB)
_INDEX_NUMBER = re.compile(r"_\{[0-9]\}$")
_SPACE = re.compile(r"\\text\{[^{}]*\}|\\[a-zA-Z]+ (?=[a-zA-Z])| ")


def is_label(side: str) -> bool:
    r"""Whether a side of an equation only names something: `x`, `f(x)`, `a_1`, `\text{Area}`, `AB`, `(x, y)`, `a:b`."""
    return name(side) is not None


@lru_cache(maxsize=4096)
def name(side: str) -> str | None:
    r"""The one spelling of a name (`m_{\max }` → `m_{max}`, `\overline{AB}` → `AB`, `( x, y )` → `(x,y)`); None if it
    is none: a constant, or something to compute."""
    if len(side) > MAX_NAME or not side:
        return None
    embraced = brackets(side)
    if embraced and embraced[0] in ("(", r"\{"):
        names = [name(part) for part in split(embraced[1], frozenset(","))[0]]
        return None if None in names or len(names) < 2 else embraced[0] + ",".join(map(str, names)) + embraced[2]
    parts, found = split(side, frozenset(":"))
    if found:
        names = [name(part) for part in parts]
        return None if None in names else ":".join(map(str, names))
    spelled = _spelled(side)
    if spelled in _CONSTANTS:
        return None
    quotient = _QUOTIENT.fullmatch(spelled)
    if quotient:
        return ":".join(part for part in quotient.groups() if part)
    if _LABEL.fullmatch(spelled):
        return spelled
    return rf"\text{{{spelled.casefold()}}}" if _WORDS.fullmatch(side) else None


def _spelled(side: str) -> str:
    """Without the fonts and spaces in which the same name may be written."""
    text = _FONT.sub(lambda match: match[match.lastindex or 0], side)
    text = (
        re.sub(r"_\{ ?\\?(max|min) ?\}", r"_{\1}", text).replace(r"m\angle", r"\angle").replace(r"m \angle", r"\angle")
    )
    text = _SPACE.sub(lambda match: "" if match[0] == " " else _word(match[0]), text).strip()
    segment = _SEGMENT.fullmatch(text)
    return (segment[1] or segment[2]) if segment else text


def _word(text: str) -> str:
    return rf"\text{{{' '.join(text[6:-1].casefold().split())}}}" if text.startswith(r"\text{") else text


def named(form: Form) -> dict[str, Form] | None:
    """What a form says of each of two or more names: `(x,y)=(7,3)`, `x=7, y=3`, `x=y=2`; None if it is not so built."""
    if isinstance(form, Relation):
        if set(form.operators) != {"="}:
            return None
        if len(form.sides) > 2:
            names = [name(side) for side in form.sides[:-1]]
            return None if None in names else {str(one): form.last for one in names}
        label, last = name(form.sides[0]), form.last
        if label is None or not label.startswith("(") or not isinstance(last, Items) or last.kind != "tuple":
            return None
        parts = split(label[1:-1], frozenset(","))[0]
        return dict(zip(parts, last.items, strict=True)) if len(set(parts)) == len(last.items) else None
    if not isinstance(form, Items) or form.kind != "list" or not all(_names(item) for item in form.items):
        return None
    pairs = [(str(name(item.sides[0])), item.last) for item in form.items if isinstance(item, Relation)]
    return dict(pairs) if len(dict(pairs)) == len(pairs) else None


def _roots(form: Form) -> tuple[str, bool, Items] | None:
    """The name, whether it has indices, and the values of `x=2, x=5` or `x_1=2, x_2=5`; None of anything else."""
    if not isinstance(form, Items) or form.kind != "list" or not all(map(_names, form.items)):
        return None
    labels = [str(name(item.sides[0])) for item in form.items if isinstance(item, Relation)]
    stems = {_INDEX_NUMBER.sub("", label) for label in labels}
    if len(stems) != 1 or len(set(labels)) not in (1, len(labels)):
        return None
    values = tuple(item.last for item in form.items if isinstance(item, Relation))
    return stems.pop(), len(set(labels)) > 1, Items("list", values)


def _names(form: Form) -> bool:
    return isinstance(form, Relation) and form.operators == ("=",) and name(form.sides[0]) is not None


def same_by_name(reference: Form, answer: Form, same: Callable[[Form, Form], bool]) -> bool | None:
    """Whether two forms, of which one gives values to several names, agree; None if neither does, or one is no list.

    Names say which value is whose, in any order; other names are wrong. Where one side leaves the names out, its values
    are in the other's order, and in brackets if the other has them there.
    """
    roots, other_roots = _roots(reference), _roots(answer)
    if roots and other_roots and roots[1] != other_roots[1]:
        return roots[0] == other_roots[0] and same(roots[2], other_roots[2])
    ours, theirs = named(reference), named(answer)
    if ours is not None and theirs is not None:
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if ours is not None and isinstance(answer, Items) and answer.kind != "set":
        if isinstance(reference, Relation) and answer.kind != "tuple":
            return False
        return _in_order(tuple(ours.values()), answer, same)
    if ours is not None and _names(answer):
        return False
    if theirs is not None and isinstance(reference, Items) and reference.kind == "tuple":
        return _in_order(tuple(theirs.values()), reference, lambda a, b: same(b, a))
    if _several_names(reference) and isinstance(answer, Items) and not _several_names(answer):
        assert isinstance(reference, Items)
        return _in_order(reference.items, answer, same)
    return None


def _in_order(values: Sequence[Form], items: Items, same: Callable[[Form, Form], bool]) -> bool:
    round_ = items.kind == "list" or (items.left, items.right) == ("(", ")")
    return round_ and len(values) == len(items.items) and all(same(a, b) for a, b in zip(values, items.items))


def _several_names(form: Form) -> bool:
    if not isinstance(form, Items) or form.kind != "list":
        return False
    return len({item.sides[0] for item in form.items if isinstance(item, Relation) and _names(item)}) > 1
