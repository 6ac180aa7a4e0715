"""Can answers be verified against a reference? If not, it is refused when tasks are loaded, not when answers arrive."""

from __future__ import annotations

from reprise.rewards.verifiers.maths.comparing import Arithmetic
from reprise.rewards.verifiers.maths.forms import Form, Items, Region, Relation, Value
from reprise.rewards.verifiers.maths.latex import Unreadable
from reprise.rewards.verifiers.maths.names import is_label
from reprise.rewards.verifiers.maths.reading import read, read_clean


def fault_of(reference: str, arithmetic: Arithmetic) -> str | None:
    """Why no answer can be verified against this reference, else None. Raises what `arithmetic` does if it does not
    know."""
    try:
        faults = [fault(form, arithmetic) for form in read(reference, reference=True)]
    except Unreadable as error:
        return str(error)
    return None if None in faults else faults[0]


def fault(form: Form, arithmetic: Arithmetic) -> str | None:
    """Why this form could never be compared, None if it could: each value in it has to have one. Names of values may
    be anything."""
    if isinstance(form, Value):
        return None if form.base != 10 else arithmetic.fault(form.latex)
    if isinstance(form, Items | Region):
        parts = form.items if isinstance(form, Items) else form.parts
        return next((found for part in parts if (found := fault(part, arithmetic))), None)
    if isinstance(form, Relation):
        sides = [read_clean(side) for side in form.sides[:-1] if not is_label(side)]
        return next((found for side in (*sides, form.last) if (found := fault(side, arithmetic))), None)
    return None
