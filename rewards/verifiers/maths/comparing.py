"""What must agree: one form against another, by the data set's rules. Values are compared by whoever knows how."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from typing import Protocol

from reprise.rewards.verifiers.maths.colons import same_colon
from reprise.rewards.verifiers.maths.forms import Builder, Clock, Form, Items, Ratio, Region, Relation, Value, Words
from reprise.rewards.verifiers.maths.latex import plain_words
from reprise.rewards.verifiers.maths.names import same_by_name
from reprise.rewards.verifiers.maths.relations import same_relation
from reprise.rewards.verifiers.maths.rules import MathsRules
from reprise.rewards.verifiers.maths.written import is_final

_CHOICE = re.compile(r"[A-J]")
_IN_A_FONT = re.compile(
    r"\\(?:text[a-z]*|math(?:rm|bf|it|sf|tt|normal)|boldsymbol|bm|bold|emph|[mhf]?box|boxed|underline)\{((?:[^{}])*)\}"
    r"|\\[ ,;:]"
)
_CHOSEN = re.compile(r"\(\s*([A-J])\s*\)(?! ?[\^_!'+*/(<>=])\s*(?P<rest>.*)|([A-J])\s*[).:]\s*(?P<more>.*)", re.DOTALL)
_NAMED_SETS = (r"\emptyset", r"\mathbb{N}", r"\mathbb{Z}", r"\mathbb{Q}", r"\mathbb{R}", r"\mathbb{C}")
_ANOTHER_CHOICE = re.compile(r"^\s*(?:or|and|,|;|/|\\)|(?<![a-zA-Z\\])[A-J](?![a-zA-Z])")


class Arithmetic(Protocol):
    """Knows whether values are equal; may raise `rewards.verifiers.maths.latex.Unreadable`."""

    def equal(self, reference: str, answer: str, scale: tuple[int, int], tolerance: float) -> bool:
        """Whether `reference / scale[0]` equals `answer / scale[1]`, all in clean LaTeX."""
        ...

    def varies(self, latex: str) -> bool:
        """Whether the expression has variables."""
        ...

    def rounds_to(self, exact: str, rounded: Fraction, half: Fraction) -> bool:
        """Whether a value is real and differs from `rounded` by at most `half`."""
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

    def fault(self, latex: str) -> str | None:
        """Why this could never be compared: it cannot be read, or is undefined. None if it could."""
        ...


def chosen(latex: str) -> str | None:
    r"""The letter of a multiple-choice answer, alone or with its text: `B`, `\textbf{(B)}\ 5`; None if it is none."""
    text = _IN_A_FONT.sub(r" \1", latex).strip()
    if _CHOICE.fullmatch(text):
        return text
    match = _CHOSEN.fullmatch(text)
    if match is None or _ANOTHER_CHOICE.search(match["rest"] or match["more"] or ""):
        return None
    return match[1] or match[3]


class Comparison:
    """Compares forms by `rules`. `same` is not symmetric: the reference says what has to be there."""

    def __init__(self, rules: MathsRules, arithmetic: Arithmetic) -> None:
        self.rules, self.arithmetic = rules, arithmetic
        self._known: dict[tuple[Form, Form], bool] = {}  # sets in sets would be compared in exponential time

    @cached_property
    def computed(self) -> Comparison:
        """The same, but that an answer may leave things to carry out."""
        if self.rules.evaluate:
            return self
        return Comparison(self.rules.model_copy(update={"evaluate": True}), self.arithmetic)

    def same(self, reference: Form, answer: Form) -> bool:
        pair = (reference, answer)
        if pair not in self._known:
            self._known[pair] = self._same(reference, answer)
        return self._known[pair]

    def _same(self, reference: Form, answer: Form) -> bool:
        if reference == answer:
            return True
        by_name = same_by_name(reference, answer, self.same)
        if by_name is not None:
            return by_name
        if isinstance(reference, Relation | Region) or isinstance(answer, Relation | Region):
            return same_relation(self, reference, answer)
        if isinstance(reference, Builder) and isinstance(answer, Builder):
            return reference.member == answer.member and self.same(reference.condition, answer.condition)
        if isinstance(reference, Builder) or isinstance(answer, Builder):
            return False
        if isinstance(reference, Clock | Ratio) or isinstance(answer, Clock | Ratio):
            return same_colon(self, reference, answer)
        if isinstance(reference, Items) or isinstance(answer, Items):
            return self._same_items(reference, answer)
        if isinstance(reference, Words) or isinstance(answer, Words):
            return _text(reference) == _text(answer)
        assert isinstance(reference, Value)
        assert isinstance(answer, Value)
        return self._same_value(reference, answer)

    def _same_value(self, reference: Value, answer: Value) -> bool:
        if reference.unit and answer.unit != reference.unit and (answer.unit or self.rules.units == "required"):
            return False
        if reference.base != answer.base or reference.base != 10:
            ours, theirs = ((side.base, side.latex, side.percent) for side in (reference, answer))
            return ours == theirs
        scale = (1, 1)
        if self.rules.percent == "fraction":
            scale = (100 if reference.percent else 1, 100 if answer.percent else 1)
        elif self.rules.percent == "distinct" and reference.percent != answer.percent:
            return False
        if scale == (1, 1) and reference.latex == answer.latex:
            return True
        if self.rules.vectors == "same" and self._same_vector(reference, answer):
            return True
        approximate = self.rules.tolerance > 0
        if not self.rules.evaluate and not is_final(reference.latex, answer.latex, approximate):
            return False
        return self.arithmetic.equal(reference.latex, answer.latex, scale, self.rules.tolerance)

    def _same_items(self, reference: Form, answer: Form) -> bool:
        if self.rules.vectors == "same" and self._same_vector(reference, answer):
            return True
        kinds = {form.kind if isinstance(form, Items) else "list" for form in (reference, answer)}
        ours, theirs = _items(reference), _items(answer)
        if kinds == {"tuple"}:
            return self._same_brackets(reference, answer) and self._in_order(ours, theirs)
        if self._set_of_a_set(reference, answer) or self._set_of_a_set(answer, reference):
            return False
        if kinds == {"set", "tuple"}:  # the one solution of a system
            ours, theirs = _point(reference), _point(answer)
            return bool(ours and theirs) and self._in_order(ours, theirs)
        if "tuple" in kinds:
            return kinds == {"tuple", "list"} and same_relation(self, reference, answer)  # x>1, x<5 is (1,5)
        if kinds == {"list"} and self.rules.order == "fixed":
            return self._in_order(ours, theirs)
        if kinds == {"list"}:
            return len(ours) == len(theirs) and (self._in_order(ours, theirs) or self._permuted(ours, theirs))
        return self._each_in(ours, theirs) and self._each_in(theirs, ours, swapped=True)

    def _same_brackets(self, reference: Form, answer: Form) -> bool:
        assert isinstance(reference, Items)
        assert isinstance(answer, Items)
        if len(reference.items) != 2 or self.rules.interval_ends == "ignore":
            return True  # what has not two ends is no interval
        return (reference.left, reference.right) == (answer.left, answer.right)

    @staticmethod
    def _set_of_a_set(one: Form, other: Form) -> bool:
        r"""`\{\emptyset\}` is not `\emptyset`."""
        return _is_set(one) and isinstance(other, Value) and other.latex in _NAMED_SETS

    def _same_member(self, ours: Form, theirs: Form) -> bool:
        r"""Of members, `\{1\}` is not 1."""
        return _is_set(ours) == _is_set(theirs) and self.same(ours, theirs)

    def _in_order(self, ours: Sequence[Form], theirs: Sequence[Form]) -> bool:
        return len(ours) == len(theirs) and all(self._same_member(a, b) for a, b in zip(ours, theirs))

    def _permuted(self, ours: Sequence[Form], theirs: Sequence[Form]) -> bool:
        left = list(theirs)
        for item in ours:
            match = next((i for i, other in enumerate(left) if self._same_member(item, other)), None)
            if match is None:
                return False
            del left[match]
        return not left

    def _each_in(self, some: Sequence[Form], others: Sequence[Form], swapped: bool = False) -> bool:
        same = self._same_member
        return all(any(same(b, a) if swapped else same(a, b) for b in others) for a in some)

    def _same_vector(self, reference: Form, answer: Form) -> bool:
        ours, theirs = self._vector(reference), self._vector(answer)
        return ours is not None and theirs is not None and self._in_order(ours, theirs)

    def _vector(self, form: Form) -> Sequence[Form] | None:
        if isinstance(form, Items):
            return form.items if form.kind == "tuple" else None
        entries = self.arithmetic.matrix_entries(form.latex) if isinstance(form, Value) else None
        return None if entries is None else [Value(entry) for entry in entries]


def _is_set(form: Form) -> bool:
    return isinstance(form, Items) and form.kind == "set"


def _point(form: Form) -> tuple[Form, ...]:
    """The coordinates of a point, or of the only one of a set."""
    if isinstance(form, Items) and form.kind == "set" and len(form.items) == 1:
        return _point(form.items[0]) if not _is_set(form.items[0]) else ()
    round_ = isinstance(form, Items) and (form.kind, form.left, form.right) == ("tuple", "(", ")")
    return _items(form) if round_ else ()


def _items(form: Form) -> tuple[Form, ...]:
    return form.items if isinstance(form, Items) else (form,)


def _text(form: Form) -> str:
    return form.text if isinstance(form, Words) else plain_words(form.latex) if isinstance(form, Value) else ""
