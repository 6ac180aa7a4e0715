"""What must agree: one form against another, by the data set's rules. Values are compared by whoever knows how."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeGuard

from rewards.maths.forms import Form, Items, Region, Relation, Value, Words
from rewards.maths.reading import is_label, plain_words, read_clean
from rewards.maths.rules import MathsRules

_CHOICE = re.compile(r"[A-J]")
_CHOSEN = re.compile(r"\(\s*([A-J])\s*\)\s*(?P<rest>.*)|([A-J])\s*[).:]\s*(?P<more>.*)", re.DOTALL)
ROUNDING = 0.01  # how far what stands behind an "approximately" may be from what stands before it
_INEQUALITIES = frozenset({"<", ">", r"\le", r"\ge"})


class Arithmetic(Protocol):
    """Knows whether values are equal; may raise `rewards.maths.latex.Unreadable`."""

    def equal(self, reference: str, answer: str, scale: tuple[int, int], tolerance: float) -> bool:
        """Whether `reference / scale[0]` equals `answer / scale[1]`, all in clean LaTeX."""
        ...

    def varies(self, latex: str) -> bool:
        """Whether the expression has variables."""
        ...

    def proportion(self, reference: tuple[str, str], answer: tuple[str, str]) -> int:
        """The sign of c where `answer`'s left minus right side is c times `reference`'s; 0 if there is no such c."""
        ...

    def same_region(self, reference: Form, answer: Form) -> bool:
        """Whether two sets of numbers made of intervals, finite sets and their unions are the same."""
        ...

    def matrix_entries(self, latex: str) -> list[str] | None:
        """The entries of a row or column, as LaTeX; None if it is something else."""
        ...


def chosen(latex: str) -> str | None:
    r"""The letter of a multiple-choice answer, alone or with its text: `B`, `\textbf{(B)}\ 5`; None if it is none."""
    text = re.sub(r"\\[a-z]+\{((?:[^{}])*)\}|\\[ ,;:]", r" \1", latex).strip()
    if _CHOICE.fullmatch(text):
        return text
    match = _CHOSEN.fullmatch(text)
    if match is None or re.search(r"\([A-J]\)", match["rest"] or match["more"] or ""):
        return None
    return match[1] or match[3]


class Comparison:
    """Compares forms by `rules`. `same` is not symmetric: the reference says what has to be there."""

    def __init__(self, rules: MathsRules, arithmetic: Arithmetic) -> None:
        self._rules, self._arithmetic = rules, arithmetic
        self._known: dict[tuple[Form, Form], bool] = {}  # sets in sets would be compared in exponential time

    def same(self, reference: Form, answer: Form) -> bool:
        pair = (reference, answer)
        if pair not in self._known:
            self._known[pair] = self._same(reference, answer)
        return self._known[pair]

    def _same(self, reference: Form, answer: Form) -> bool:
        if isinstance(reference, Relation) or isinstance(answer, Relation):
            return self._same_relation(reference, answer)
        if isinstance(reference, Region) or isinstance(answer, Region):
            return self._arithmetic.same_region(reference, answer)
        if isinstance(reference, Items) or isinstance(answer, Items):
            return self._same_items(reference, answer)
        if isinstance(reference, Words) or isinstance(answer, Words):
            return _text(reference) == _text(answer)
        return self._same_value(reference, answer)

    def _same_value(self, reference: Value, answer: Value) -> bool:
        if reference.unit and answer.unit != reference.unit and (answer.unit or self._rules.units == "required"):
            return False
        if reference.base != answer.base or reference.base != 10:
            return (reference.base, reference.latex) == (answer.base, answer.latex)
        scale = (1, 1)
        if self._rules.percent == "fraction":
            scale = (100 if reference.percent else 1, 100 if answer.percent else 1)
        elif self._rules.percent == "distinct" and reference.percent != answer.percent:
            return False
        if scale == (1, 1) and reference.latex == answer.latex:
            return True
        if self._rules.vectors == "same" and self._same_vector(reference, answer):
            return True
        return self._arithmetic.equal(reference.latex, answer.latex, scale, self._rules.tolerance)

    def _same_items(self, reference: Form, answer: Form) -> bool:
        if self._rules.vectors == "same" and self._same_vector(reference, answer):
            return True
        kinds = {form.kind if isinstance(form, Items) else "list" for form in (reference, answer)}
        ours, theirs = _items(reference), _items(answer)
        if kinds == {"tuple"}:
            return self._same_brackets(reference, answer) and self._in_order(ours, theirs)
        if "tuple" in kinds:
            return False
        if kinds == {"list"} and self._rules.order == "fixed":
            return self._in_order(ours, theirs)
        if kinds == {"list"}:
            return len(ours) == len(theirs) and (self._in_order(ours, theirs) or self._permuted(ours, theirs))
        return self._each_in(ours, theirs) and self._each_in(theirs, ours, swapped=True)

    def _same_brackets(self, reference: Form, answer: Form) -> bool:
        assert isinstance(reference, Items)
        assert isinstance(answer, Items)
        if len(reference.items) != 2 or self._rules.interval_ends == "ignore":
            return True  # what has not two ends is no interval
        return (reference.left, reference.right) == (answer.left, answer.right)

    def _in_order(self, ours: Sequence[Form], theirs: Sequence[Form]) -> bool:
        return len(ours) == len(theirs) and all(self.same(a, b) for a, b in zip(ours, theirs))

    def _permuted(self, ours: Sequence[Form], theirs: Sequence[Form]) -> bool:
        left = list(theirs)
        for item in ours:
            match = next((i for i, other in enumerate(left) if self.same(item, other)), None)
            if match is None:
                return False
            del left[match]
        return not left

    def _each_in(self, some: Sequence[Form], others: Sequence[Form], swapped: bool = False) -> bool:
        return all(any(self.same(b, a) if swapped else self.same(a, b) for b in others) for a in some)

    def _same_vector(self, reference: Form, answer: Form) -> bool:
        ours, theirs = self._vector(reference), self._vector(answer)
        return ours is not None and theirs is not None and self._in_order(ours, theirs)

    def _vector(self, form: Form) -> Sequence[Form] | None:
        if isinstance(form, Items):
            return form.items if form.kind == "tuple" else None
        entries = self._arithmetic.matrix_entries(form.latex) if isinstance(form, Value) else None
        return None if entries is None else [Value(entry) for entry in entries]

    def _same_relation(self, reference: Form, answer: Form) -> bool:
        if _is_rounded(reference):
            return any(self.same(side, answer) for side in _exact_and_rounded(reference))
        if _is_rounded(answer):
            exact, rounded = _exact_and_rounded(answer)
            agree = Comparison(self._rules.model_copy(update={"tolerance": ROUNDING}), self._arithmetic)
            said = self.same(reference, exact) or self.same(reference, rounded)
            return said and agree.same(_without_unit(_last(exact)), _without_unit(rounded))
        ours, theirs = _named_region(reference), _named_region(answer)
        if ours is not None and theirs is not None and (not ours[0] or not theirs[0] or ours[0] == theirs[0]):
            return self._arithmetic.same_region(ours[1], theirs[1]) or self.same(ours[1], theirs[1])
        if isinstance(reference, Relation) and isinstance(answer, Relation):
            return self._same_statement(reference, answer)
        if isinstance(answer, Relation):
            return self._states(answer, reference)
        assert isinstance(reference, Relation)
        # The reference names what it says (x = 5): the answer may leave the name out.
        return _is_equation(reference) and is_label(reference.sides[0]) and self.same(reference.last, answer)

    def _states(self, answer: Relation, reference: Form) -> bool:
        """`x = 1 + 1 = 2` states 2, if all its sides that are constants do."""
        if not _is_equation(answer) or not self.same(reference, answer.last):
            return False
        constants = [side for side in answer.sides[:-1] if not is_label(side) and not self._arithmetic.varies(side)]
        return all(self.same(reference, read_clean(side)) for side in constants)

    def _same_statement(self, reference: Relation, answer: Relation) -> bool:
        if _is_equation(reference) and _is_equation(answer) and is_label(reference.sides[0]):
            if is_label(answer.sides[0]) and reference.sides[0] != answer.sides[0]:
                return False
            if is_label(answer.sides[0]):
                return self.same(reference.last, answer.last)
        if len(reference.sides) != 2 or len(answer.sides) != 2:
            ordered = zip(reference.sides, answer.sides)
            same_shape = reference.operators == answer.operators and len(reference.sides) == len(answer.sides)
            return same_shape and all(self.same(read_clean(a), read_clean(b)) for a, b in ordered)
        sign = self._arithmetic.proportion((reference.sides[0], reference.sides[1]), (answer.sides[0], answer.sides[1]))
        [ours], [theirs] = reference.operators, answer.operators
        flipped = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
        return sign != 0 and theirs == (ours if sign > 0 else flipped.get(ours, ours))


def _is_rounded(form: Form) -> TypeGuard[Relation]:
    r"""`x = \sqrt{2} \approx 1.41`"""
    return isinstance(form, Relation) and set(form.operators) <= {"=", r"\approx"} and form.operators[-1] == r"\approx"


def _exact_and_rounded(relation: Relation) -> tuple[Form, Form]:
    sides, operators = relation.sides[:-1], relation.operators[:-1]
    last = read_clean(sides[-1])
    return (Relation(sides, operators, last) if operators else last), relation.last


def _last(form: Form) -> Form:
    return form.last if isinstance(form, Relation) else form


def _without_unit(form: Form) -> Form:
    return replace(form, unit="") if isinstance(form, Value) else form


def _is_equation(relation: Relation) -> bool:
    return set(relation.operators) == {"="}


def _named_region(form: Form) -> tuple[str, Form] | None:
    r"""The set of numbers that an inequality of one variable (or `x \in S`) describes, and that variable's name."""
    if isinstance(form, Region) or (isinstance(form, Items) and form.kind != "list"):
        return "", form
    if isinstance(form, Value) and form.latex in (r"\emptyset", r"\mathbb{R}"):
        return "", form
    if not isinstance(form, Relation):
        return None
    sides, operators = form.sides, form.operators
    if operators == (r"\in",) and is_label(sides[0]):
        return sides[0], form.last
    if len(operators) == 1 and operators[0] in _INEQUALITIES and is_label(sides[0]):
        closed = operators[0] in (r"\le", r"\ge")
        if operators[0] in ("<", r"\le"):
            return sides[0], Items("tuple", (Value(r"-\infty"), form.last), "(", "]" if closed else ")")
        return sides[0], Items("tuple", (form.last, Value(r"\infty")), "[" if closed else "(", ")")
    if len(operators) == 2 and all(operator in ("<", r"\le") for operator in operators) and is_label(sides[1]):
        left, right = ("[" if operators[0] == r"\le" else "("), ("]" if operators[1] == r"\le" else ")")
        return sides[1], Items("tuple", (read_clean(sides[0]), form.last), left, right)
    if operators == (r"\ne",) and is_label(sides[0]):
        return sides[0], Region((Value(r"\mathbb{R}"), Items("set", (form.last,))), (r"\setminus",))
    return None


def _items(form: Form) -> tuple[Form, ...]:
    return form.items if isinstance(form, Items) else (form,)


def _text(form: Form) -> str:
    return form.text if isinstance(form, Words) else plain_words(form.latex) if isinstance(form, Value) else ""
