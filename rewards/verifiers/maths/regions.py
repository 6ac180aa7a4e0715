r"""Sets of numbers in all the ways to write them: `x>2`, `(2,\infty)`, `x<1 or x>3`, `x \in S`, `{x \mid x \ne 0}`."""

from __future__ import annotations

from reprise.rewards.verifiers.maths.forms import Form, Items, Region, Relation, Value
from reprise.rewards.verifiers.maths.names import is_label
from reprise.rewards.verifiers.maths.reading import is_interval, read_clean
from reprise.rewards.verifiers.maths.rules import MathsRules

_UNMARKED = ("0", r"\infty", r"-\infty", r"\emptyset", r"\mathbb{R}")  # what no percent sign and no unit changes
_BELOW = ("<", r"\le")
_ABOVE = (">", r"\ge")


def named_region(form: Form) -> tuple[str, Form] | None:
    """The set of numbers that a form describes, and the name of its variable ("" if it has none); None if neither.

    Of inequalities of one variable, joined by "or" or "and", it is the union or the intersection. Of those that only
    commas part it is what fulfils all of them, or, where nothing does, any of them; of intervals, their union.
    """
    if isinstance(form, Value) and form.latex in (r"\emptyset", r"\mathbb{R}"):
        return "", form
    if isinstance(form, Relation):
        return _of_relation(form)
    if isinstance(form, Region):
        return _joined(form)
    if isinstance(form, Items) and form.kind == "list":
        return _of_list(form)
    return ("", form) if isinstance(form, Items) else None


def same_marks(reference: Form, answer: Form, rules: MathsRules) -> bool:
    """Whether percent signs and units stand at the ends of both sets, so far as the rules ask for it."""
    ours, theirs = _ends(reference), _ends(answer)
    if rules.percent != "ignore" and {end.percent for end in ours} != {end.percent for end in theirs}:
        return False
    wanted, given = ({end.unit for end in ends if end.unit} for ends in (ours, theirs))
    return not wanted or given == wanted or (rules.units == "optional" and given <= wanted)


def _ends(form: Form) -> list[Value]:
    if isinstance(form, Value):
        return [] if form.latex in _UNMARKED else [form]
    parts = form.items if isinstance(form, Items) else form.parts if isinstance(form, Region) else ()
    return [end for part in parts for end in _ends(part)]


def _joined(form: Region) -> tuple[str, Form] | None:
    parts = [_of_equation(part) or named_region(part) or ("", part) for part in form.parts]
    names = {name for name, _ in parts if name}
    return None if len(names) > 1 else ("".join(names), Region(tuple(part for _, part in parts), form.operators))


def _of_equation(form: Form) -> tuple[str, Form] | None:
    if isinstance(form, Relation) and form.operators == ("=",) and is_label(form.sides[0]):
        return form.sides[0], Items("set", (form.last,))
    return None


def _of_list(form: Items) -> tuple[str, Form] | None:
    if all(map(is_interval, form.items)):
        return "", Region(form.items, (r"\cup",) * (len(form.items) - 1))
    regions = [named_region(item) if isinstance(item, Relation) else None for item in form.items]
    found = [region for region in regions if region is not None]
    if len(found) < len(regions) or len({name for name, _ in found}) != 1:
        return None
    parts = [region for _, region in found if region != Value(r"\mathbb{R}")] or [found[0][1]]  # x \in R says nothing
    return found[0][0], Region(tuple(parts), (",",) * (len(parts) - 1)) if len(parts) > 1 else parts[0]


def _of_relation(form: Relation) -> tuple[str, Form] | None:
    sides, operators = form.sides, form.operators
    if len(operators) == 2 and all(operator in _BELOW for operator in operators) and is_label(sides[1]):
        left, right = ("[" if operators[0] == r"\le" else "("), ("]" if operators[1] == r"\le" else ")")
        return sides[1], Items("tuple", (read_clean(sides[0]), form.last), left, right)
    if len(operators) != 1 or not is_label(sides[0]):
        return None
    if operators[0] == r"\in":
        return sides[0], form.last
    if operators[0] == r"\ne":
        excluded = form.last.items if isinstance(form.last, Items) and form.last.kind != "tuple" else (form.last,)
        return sides[0], Region((Value(r"\mathbb{R}"), Items("set", excluded)), (r"\setminus",))
    if operators[0] in _BELOW:
        return sides[0], Items("tuple", (Value(r"-\infty"), form.last), "(", "]" if operators[0] == r"\le" else ")")
    if operators[0] in _ABOVE:
        return sides[0], Items("tuple", (form.last, Value(r"\infty")), "[" if operators[0] == r"\ge" else "(", ")")
    return None
