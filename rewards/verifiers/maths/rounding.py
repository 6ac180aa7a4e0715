r"""`\sqrt{2} \approx 1.41`: an exact value, and what it is rounded to its last digit. Only a true rounding counts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeGuard

from reprise.rewards.verifiers.maths.forms import Form, Items, Relation, Value
from reprise.rewards.verifiers.maths.names import is_label
from reprise.rewards.verifiers.maths.numbers import MAX_DIGITS, number
from reprise.rewards.verifiers.maths.reading import read_clean

if TYPE_CHECKING:
    from reprise.rewards.verifiers.maths.comparing import Arithmetic, Comparison

_APPROXIMATELY = r"\approx"
_ROUNDED = re.compile(
    r"(?P<sign>[-+]? ?)(?P<whole>[0-9]*)\.?(?P<places>[0-9]*)"
    r"(?: ?(?:\\cdot|\*) ?10 ?\^ ?(?:\{ ?(?P<braced>[-+]?[0-9]{1,4}) ?\}|(?P<bare>[0-9])))?"
)


def is_rounded(form: Form) -> TypeGuard[Relation]:
    r"""Whether it is a chain of equations and roundings, such as `x = \sqrt{2} \approx 1.41`."""
    return (
        isinstance(form, Relation) and set(form.operators) <= {"=", _APPROXIMATELY} and _APPROXIMATELY in form.operators
    )


def same_rounded(comparison: Comparison, reference: Form, answer: Form) -> bool:
    r"""Whether they agree, where one of them or both are rounded.

    An answer may round once, at its end, and truly; then its exact side counts, and its rounded one if the reference
    is no integer: `500 \approx 501 \approx …` says nothing, and `499.6 \approx 500` is not 500. A reference may round
    as it likes: each of its sides is right.
    """
    ours, theirs = _name(reference), _name(answer)
    if ours and theirs and ours != theirs:
        return False
    accepted = _sides(reference) if is_rounded(reference) else [reference]
    if not is_rounded(answer):
        return any(comparison.same(side, answer) for side in accepted)
    if answer.operators.count(_APPROXIMATELY) > 1 or answer.operators[-1] != _APPROXIMATELY:
        return False
    exact = _exact(answer)
    candidates = [exact] if exact is not None else []
    if exact is not None and not _rounds(_last(exact), answer.last, comparison.arithmetic):
        return False
    if is_rounded(reference) or not _is_integer(reference):
        candidates.append(answer.last)
    return any(comparison.same(side, candidate) for side in accepted for candidate in candidates)


def _name(form: Form) -> str:
    return form.sides[0].replace(" ", "") if isinstance(form, Relation) and is_label(form.sides[0]) else ""


def _sides(relation: Relation) -> list[Form]:
    r"""What a reference may be: all up to its first `\approx`, unless that is a name, and each side after it."""
    first = relation.operators.index(_APPROXIMATELY)
    exact = _exact(relation)
    rounded: list[Form] = [read_clean(side) for side in relation.sides[first + 1 :]]
    return rounded if exact is None else [exact, *rounded]


def _exact(relation: Relation) -> Form | None:
    first = relation.operators.index(_APPROXIMATELY)
    sides, operators = relation.sides[: first + 1], relation.operators[:first]
    if not operators and is_label(sides[0]):
        return None
    last = read_clean(sides[-1])
    return Relation(sides, operators, last) if operators else last


def _last(form: Form) -> Form:
    return form.last if isinstance(form, Relation) else form


def _is_integer(form: Form) -> bool:
    value = _last(form)
    return isinstance(value, Value) and re.fullmatch(r"[-+]? ?[0-9]+", value.latex) is not None


@dataclass(frozen=True, slots=True)
class _Decimal:
    """A decimal, and half of what its last digit counts."""

    value: Fraction
    half: Fraction


def _decimal(latex: str) -> _Decimal | None:
    match = _ROUNDED.fullmatch(latex.strip())
    if match is None or not match["whole"] + match["places"] or len(latex) > MAX_DIGITS:
        return None
    last_digit = Fraction(10) ** (int(match["braced"] or match["bare"] or 0) - len(match["places"]))
    value = int(match["whole"] + match["places"]) * last_digit
    return _Decimal(-value if match["sign"].strip() == "-" else value, last_digit / 2)


def _rounds(exact: Form, rounded: Form, arithmetic: Arithmetic) -> bool:
    if isinstance(exact, Items) and isinstance(rounded, Items):
        return (
            exact.kind == rounded.kind
            and len(exact.items) == len(rounded.items)
            and all(_rounds(a, b, arithmetic) for a, b in zip(exact.items, rounded.items, strict=True))
        )
    if not isinstance(exact, Value) or not isinstance(rounded, Value):
        return False
    if (exact.unit and rounded.unit and exact.unit != rounded.unit) or exact.base != 10 or rounded.base != 10:
        return False
    decimal, plain = _decimal(rounded.latex), _decimal(exact.latex)
    if decimal is None or (plain is not None and plain.half >= decimal.half):
        return False
    scale = (100 if rounded.percent else 1) // (100 if exact.percent else 1) or 1
    if exact.percent and not rounded.percent:
        return False
    value = number(exact.latex)
    if value is not None:
        return abs(value - decimal.value / scale) <= decimal.half / scale
    return arithmetic.rounds_to(exact.latex, decimal.value / scale, decimal.half / scale)
