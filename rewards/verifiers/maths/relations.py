r"""What equations and memberships say: `x = 1+1 = 2` states 2, `x \in S` the set; `4x=8` is `x=2`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reprise.rewards.verifiers.maths.forms import Form, Items, Region, Relation, Value
from reprise.rewards.verifiers.maths.latex import Unreadable
from reprise.rewards.verifiers.maths.names import is_label, name
from reprise.rewards.verifiers.maths.reading import FLIPPED, read_clean
from reprise.rewards.verifiers.maths.regions import named_region, same_marks
from reprise.rewards.verifiers.maths.rounding import is_rounded, same_rounded
from reprise.rewards.verifiers.maths.written import is_final_part, same_tools

if TYPE_CHECKING:
    from reprise.rewards.verifiers.maths.comparing import Comparison

# What denies, strikes out or questions the equation in whose side it stands.
_DENIES = re.compile(
    r"\\(?:not|neg|nexists|nsim|n[a-z]*eq|[bx]?cancel|slashed|sout|stackrel|overset|underset)(?![a-zA-Z])|/\s*$|\u0338|"
    r"(?i:(?<![a-z])(?:not|never|no|isn't|wrong|false|incorrect|except|unless|if)(?![a-z]))"
)


def same_relation(comparison: Comparison, reference: Form, answer: Form) -> bool:
    """Whether they agree, where one of them or both are relations or lists of them."""
    if is_rounded(reference) or is_rounded(answer):
        return same_rounded(comparison, reference, answer)
    ours, theirs = named_region(reference), named_region(answer)
    if ours is not None and theirs is not None and (not ours[0] or not theirs[0] or ours[0] == theirs[0]):
        if not comparison.rules.evaluate and _to_combine(answer) and not _to_combine(reference):
            return False
        return same_region(comparison, ours[1], theirs[1])
    if isinstance(reference, Relation) and isinstance(answer, Relation):
        return _same_statement(comparison, reference, answer)
    if isinstance(answer, Relation):
        if _is_membership(answer):
            return comparison.same(reference, answer.last)
        return _states(comparison, answer, reference)
    if not isinstance(reference, Relation):
        return False
    # The reference names what it says (x = 5): the answer may leave the name out.
    named = _is_membership(reference) or (_is_equation(reference) and is_label(reference.sides[0]))
    return named and comparison.same(reference.last, answer)


def same_region(comparison: Comparison, reference: Form, answer: Form) -> bool:
    """Whether two forms are the same set of numbers, with nothing left to carry out in the answer's ends."""
    if not same_marks(reference, answer, comparison.rules):
        return False
    if not comparison.rules.evaluate:
        written = ",".join(_values(reference))
        if not all(is_final_part(written, end) for end in _values(answer)):
            return False
    return comparison.arithmetic.same_region(reference, answer)


def unspaced(latex: str) -> str:
    """Clean LaTeX without the spaces that separate nothing."""
    return re.sub(r"(?<![a-zA-Z0-9]) | (?![a-zA-Z0-9])", "", latex)


def _is_membership(form: Relation) -> bool:
    return form.operators == (r"\in",) and is_label(form.sides[0])


def _is_equation(relation: Relation) -> bool:
    return set(relation.operators) == {"="}


def _states(comparison: Comparison, answer: Relation, reference: Form) -> bool:
    """`x = 1 + 1 = 2` states 2, if all its sides do, but a name or an expression of variables at its beginning. One of
    them must be a final form."""
    if not _is_equation(answer) or any(map(_DENIES.search, answer.sides[:-1])):
        return False
    first, *others = answer.sides
    stated = [*(read_clean(side) for side in others[:-1] if not is_label(side)), answer.last]
    if not is_label(first) and not _varies(comparison, read_clean(first)):
        stated.insert(0, read_clean(first))
    return all(comparison.computed.same(reference, side) for side in stated) and any(
        comparison.same(reference, side) for side in stated
    )


def _varies(comparison: Comparison, form: Form) -> bool:
    r"""Whether a side names something or has variables: `a^2+b^2`, `(x,y)`, not `5\text{ cm}`."""
    if isinstance(form, Items):
        return any(_varies(comparison, item) for item in form.items)
    return not isinstance(form, Value) or comparison.arithmetic.varies(form.latex)


def _same_statement(comparison: Comparison, reference: Relation, answer: Relation) -> bool:
    if _is_equation(reference) and _is_equation(answer) and is_label(reference.sides[0]) and is_label(answer.sides[0]):
        if _names(reference) != _names(answer):
            return False
        return _states(comparison, answer, reference.last)
    if reference.operators == answer.operators and _same_sides(comparison, reference.sides, answer.sides):
        return True
    if len(reference.sides) != 2 or len(answer.sides) != 2:
        return False
    [ours], [theirs] = reference.operators, answer.operators
    if ours == theirs and ours in ("=", r"\ne") and _same_sides(comparison, reference.sides, answer.sides[::-1]):
        return True
    if not comparison.rules.evaluate and not _leaves_as_much(comparison, reference, answer):
        return False
    sign = comparison.arithmetic.proportion(
        (reference.sides[0], reference.sides[1]), (answer.sides[0], answer.sides[1])
    )
    return sign != 0 and theirs == (ours if sign > 0 else FLIPPED.get(ours, ours))


def _leaves_as_much(comparison: Comparison, reference: Relation, answer: Relation) -> bool:
    """Whether the answer is solved if the reference is (`2x=10` is not, `x=5` is), and uses its tools only."""
    solved = is_label(reference.sides[0]) and not comparison.arithmetic.varies(reference.sides[1])
    if solved and not is_label(answer.sides[0]):
        return False
    return same_tools(",".join(reference.sides), ",".join(answer.sides))


def _names(relation: Relation) -> set[str | None]:
    """`p = q = 1` names two."""
    return {name(side) for side in relation.sides[:-1] if is_label(side)}


def _same_sides(comparison: Comparison, reference: tuple[str, ...], answer: tuple[str, ...]) -> bool:
    """Side by side. What is true whatever its variables are (`2^5=32`) has to be said in the reference's own words, for
    any other truth would do (`31+1=32`, `32=32`); a side of variables may be rewritten, but not all of them."""
    pairs = list(zip(reference, answer, strict=True))
    if not all(_same_side(comparison, ours, theirs) for ours, theirs in pairs):
        return False
    first, *others = reference
    if not all(_same_side(comparison.computed, first, side) for side in others):
        return True
    if len(set(map(_in_words, answer))) < len(set(map(_in_words, reference))):
        return False
    in_its_words = [_in_words(ours) == _in_words(theirs) for ours, theirs in pairs]
    if all(comparison.arithmetic.varies(side) for side in reference):
        return any(in_its_words)
    return all(same or (_is_number(ours) and _is_number(theirs)) for same, (ours, theirs) in zip(in_its_words, pairs))


def _same_side(comparison: Comparison, ours: str, theirs: str) -> bool:
    if unspaced(ours) == unspaced(theirs):
        return True
    if _in_words(ours) == _in_words(theirs):
        comparison = comparison.computed  # what there is to carry out stands in the reference too
    try:
        return comparison.same(read_clean(ours), read_clean(theirs))
    except Unreadable:
        return False


def _in_words(side: str) -> str:
    r"""`\log_{2}(32)` and `\log_2 32` are the same words."""
    return re.sub(r"[\s(){}]|\\cdot|\*", "", side)


def _is_number(side: str) -> bool:
    return re.fullmatch(r"-?(?:[0-9]+\.?[0-9]*|\\frac\{[0-9]+\}\{[0-9]+\})", side.strip()) is not None


def _to_combine(form: Form) -> bool:
    r"""Whether sets are left to be cut or taken away: `(0,5)\cap(2,7)`, but not `(0,36)\setminus\{9\}`."""
    if not isinstance(form, Region) or any(isinstance(part, Relation) for part in form.parts):
        return False
    taken_away = [part for operator, part in zip(form.operators, form.parts[1:]) if operator == r"\setminus"]
    whole = isinstance(form.parts[0], Value) and "mathbb" in form.parts[0].latex
    points = all(map(_is_set, taken_away)) and not _is_set(form.parts[0])
    return r"\cap" in form.operators or (bool(taken_away) and not whole and not points)


def _is_set(form: Form) -> bool:
    return isinstance(form, Items) and form.kind == "set"


def _values(form: Form) -> list[str]:
    if isinstance(form, Value):
        return [form.latex]
    if isinstance(form, Items | Region):
        return [latex for part in (form.items if isinstance(form, Items) else form.parts) for latex in _values(part)]
    return []
