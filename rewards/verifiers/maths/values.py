"""Whether values are equal, computed with sympy. Only in a worker.

Two numbers are equal if they agree to 45 of 60 digits and their difference has no digit that 400 digits of working
precision would show; expressions with variables, if that holds at each of several points.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from fractions import Fraction

import sympy
from sympy.core.function import AppliedUndef

from reprise.rewards.verifiers.maths.expressions import (
    Expression,
    Huge,
    UnreadableReference,
    expression,
    is_defined,
    is_matrix,
    is_value,
)
from reprise.rewards.verifiers.maths.forms import Form, Items, Region, Value
from reprise.rewards.verifiers.maths.latex import Unreadable
from reprise.rewards.verifiers.maths.numbers import close

_DIGITS = 60
_MOST_DIGITS = 400  # that cancellation may cost before a value is taken for 0
_AGREE = sympy.Float("1e-45", _DIGITS)
_POINTS = 10  # at which expressions with variables are compared
_NEEDED = 3  # of which at least so many must lie in the domain of both
_COSTLY = (sympy.Integral, sympy.Sum, sympy.Product, sympy.Limit)  # left as they are: no hundreds of digits of them

Complex = tuple[sympy.Number, sympy.Number]


class SympyArithmetic:
    """`rewards.verifiers.maths.comparing.Arithmetic` for all that the parser reads."""

    def equal(self, reference: str, answer: str, scale: tuple[int, int], tolerance: float) -> bool:
        ours, theirs = _reference(reference), expression(answer)
        if is_matrix(ours) or is_matrix(theirs):
            return _same_matrix(ours, theirs, tolerance)
        if not is_value(ours) or not is_value(theirs):
            return bool(ours == theirs) and is_defined(ours)
        return same(ours / scale[0], theirs / scale[1], tolerance)

    def varies(self, latex: str) -> bool:
        try:
            return any(not isinstance(symbol, Huge) for symbol in expression(latex).free_symbols)
        except Unreadable:
            return True  # the name of something, perhaps

    def rounds_to(self, exact: str, rounded: Fraction, half: Fraction) -> bool:
        value = expression(exact)
        at = _at(value, {}) if is_value(value) else None
        if at is None or at[1] != 0:
            return False
        return bool(abs(at[0] - sympy.Rational(rounded.numerator, rounded.denominator)) <= sympy.Rational(half))

    def proportion(self, reference: tuple[str, str], answer: tuple[str, str]) -> int:
        ours = _difference(*(_reference(side) for side in reference))
        theirs = _difference(*(expression(side) for side in answer))
        if ours is None or theirs is None or ours.free_symbols != theirs.free_symbols or not ours.free_symbols:
            return 0
        for point in _points(ours.free_symbols):
            upper, lower = _at(theirs, point), _at(ours, point)
            if upper is None or lower is None or lower == (0, 0) or upper == (0, 0):
                continue
            quotient = (upper[0] + sympy.I * upper[1]) / (lower[0] + sympy.I * lower[1])
            factor = sympy.nsimplify(sympy.re(quotient.expand(complex=True)), rational=True, tolerance=1e-30)
            return int(sympy.sign(factor)) if factor != 0 and same(theirs, factor * ours, 0.0) else 0
        return 0

    def same_region(self, reference: Form, answer: Form) -> bool:
        theirs = region(answer, expression)
        ours = region(reference, _reference)
        if ours is None or theirs is None:
            return False
        return bool(ours == theirs or ((ours - theirs).is_empty is True and (theirs - ours).is_empty is True))

    def matrix_entries(self, latex: str) -> list[str] | None:
        matrix = re.fullmatch(r"\\begin\{pmatrix\}(.*)\\end\{pmatrix\}", latex.strip(), re.DOTALL)
        if matrix is None or r"\begin" in matrix[1]:
            return None
        rows = [[cell.strip() for cell in row.split("&")] for row in matrix[1].split(r"\\") if row.strip()]
        entries = [cell for row in rows for cell in row]
        return entries if len(rows) == 1 or all(len(row) == 1 for row in rows) else None

    def fault(self, latex: str) -> str | None:
        try:
            value = expression(latex)
        except Unreadable as error:
            return f"{latex[:60]!r} cannot be read: {error}"
        if not is_defined(value):
            return f"{latex[:60]!r} is undefined"
        if is_value(value):
            same(value, value + 1, 0.0)  # that it can be compared, and in time
        return None


def same(reference: sympy.Expr, answer: sympy.Expr, tolerance: float) -> bool:
    """Whether two expressions are equal: exactly for rational numbers, else to 45 digits, at points if they vary."""
    if not is_defined(reference) or not is_defined(answer):
        return False
    if reference == answer:
        return True
    if reference.is_infinite or answer.is_infinite:
        return False
    if reference.is_Rational and answer.is_Rational:
        return close(Fraction(int(reference.p), int(reference.q)), Fraction(int(answer.p), int(answer.q)), tolerance)
    reference, answer = _without_functions(reference, answer)
    symbols = reference.free_symbols | answer.free_symbols
    compared = 0
    complex_only: list[bool] = []
    for point in _points(symbols):
        ours, theirs = _at(reference, point), _at(answer, point)
        if ours is None or theirs is None:
            continue
        real = (_is_real(ours), _is_real(theirs))
        if symbols and real == (False, False):
            complex_only.append(_agree(ours, theirs, tolerance))
        elif symbols and real != (True, True):
            # One is not defined here (2\ln x, while \ln x^2 is): it must at least not say something else of what is.
            if not _agree_by_half(ours, theirs, tolerance):
                return False
        elif not _agree(ours, theirs, tolerance) or not (compared or tolerance or _vanishes(reference - answer, point)):
            return False
        else:
            compared += 1
    if not symbols:
        return compared > 0
    # Where too few points are real, complex ones count too; elsewhere they do not: branches differ outside the domain.
    return compared >= _NEEDED or (compared + len(complex_only) >= _NEEDED and all(complex_only))


def region(form: Form, read: Callable[[str], Expression]) -> sympy.Set | None:
    """The set of numbers that a form describes; None if it describes none."""
    if isinstance(form, Region):
        parts = [region(part, read) for part in form.parts]
        if any(part is None for part in parts):
            return None
        whole = parts[0]
        for operator, part in zip(form.operators, parts[1:]):
            whole = _joined(operator, whole, part) if whole is not None else None
        return whole
    if isinstance(form, Items):
        values = [read(item.latex) if isinstance(item, Value) else None for item in form.items]
        if not all(is_value(value) and getattr(value, "is_extended_real", False) for value in values):
            return None
        if form.kind == "set":
            return sympy.FiniteSet(*values)
        if form.kind == "tuple" and len(values) == 2:
            interval = sympy.Interval(*values, left_open=form.left == "(", right_open=form.right == ")")
            return None if interval is sympy.S.EmptySet else interval  # (7, 3) is a pair
        return None
    value = read(form.latex) if isinstance(form, Value) else None
    return value if isinstance(value, sympy.Set) else None


def _joined(operator: str, one: sympy.Set, other: sympy.Set) -> sympy.Set | None:
    """Two sets in one. Commas part conditions that all hold, or, if they never do, cases; none may be idle, for
    `x>1, x>2` would be two guesses."""
    if operator == r"\cup":
        return one.union(other)
    if operator == r"\setminus":
        return one - other
    both = one.intersect(other)
    if operator == "," and both in (one, other):
        return None
    return one.union(other) if operator == "," and both.is_empty is True else both


def _reference(latex: str) -> Expression:
    try:
        return expression(latex)
    except Unreadable as error:
        raise UnreadableReference(str(error)) from error


def _without_functions(*expressions: sympy.Expr) -> tuple[sympy.Expr, ...]:
    """Calls of functions that nobody knows (`f(x)`) as variables, the same one for the same call."""
    calls = set().union(*(one.atoms(AppliedUndef) for one in expressions))
    names = {call: sympy.Symbol(f"call {call}") for call in calls}
    return tuple(one.xreplace(names) for one in expressions)


def _same_matrix(ours: Expression, theirs: Expression, tolerance: float) -> bool:
    if not is_matrix(ours) or not is_matrix(theirs) or ours.shape != theirs.shape:
        return False
    return all(same(a, b, tolerance) for a, b in zip(ours.flat(), theirs.flat()))


def _difference(left: Expression, right: Expression) -> sympy.Expr | None:
    if not all(is_value(side) and is_defined(side) and not side.has(sympy.oo) for side in (left, right)):
        return None
    [difference] = _without_functions(left - right)
    return difference


def _points(symbols: set[sympy.Symbol]) -> list[dict[sympy.Symbol, sympy.Rational]]:
    """Where to compare: positive points, points of both signs, points around 0. Without symbols an empty one."""
    if not symbols:
        return [{}]
    random_ = random.Random(20_261_121)
    ordered = sorted(symbols, key=lambda symbol: symbol.name)
    points = []
    for number in range(_POINTS):
        low, high = (1, 300) if number < 4 else (-300, 300) if number < 6 else (-49, 49)
        point = {symbol: sympy.Rational(random_.randint(low, high) * 2 + 1, 101) for symbol in ordered}
        points.append({symbol: abs(x) / 6 if isinstance(symbol, Huge) else x for symbol, x in point.items()})
    return points


def _at(expr: sympy.Expr, point: dict[sympy.Symbol, sympy.Rational]) -> Complex | None:
    """The real and imaginary part at a point, rational or to 60 digits, 0 if all digits cancel; None without value."""
    try:
        value = expr.subs(point) if point else expr
        value = value if value.is_Rational else value.evalf(_DIGITS, maxn=_MOST_DIGITS)
        real, imaginary = value.as_real_imag()
    except (ArithmeticError, AttributeError, TypeError, ValueError, NotImplementedError):
        return None
    if not all(part.is_Number and part.is_finite for part in (real, imaginary)):
        return None
    return _significant(real), _significant(imaginary)


def _significant(number: sympy.Number) -> sympy.Number:
    """0 for a number without a correct digit, which sympy marks by a precision of one bit."""
    return sympy.Integer(0) if number.is_Float and number._prec < 4 else number


def _vanishes(difference: sympy.Expr, point: dict[sympy.Symbol, sympy.Rational]) -> bool:
    if difference.has(*_COSTLY):
        return True
    value = _at(difference, point)
    return value is None or value == (0, 0)


def _size(value: Complex) -> sympy.Expr:
    real, imaginary = value
    return sympy.Abs(real) if imaginary == 0 else sympy.sqrt(real**2 + imaginary**2)


def _is_real(value: Complex) -> bool:
    return value[1] == 0 or bool(abs(value[1]) <= _AGREE * (1 + _size(value)))


def _agree(ours: Complex, theirs: Complex, tolerance: float) -> bool:
    if all(part.is_Rational for part in (*ours, *theirs)) and not tolerance:
        return ours == theirs
    difference = _size((ours[0] - theirs[0], ours[1] - theirs[1]))
    if difference <= _AGREE * sympy.Max(_size(ours), _size(theirs)):
        return True
    return bool(tolerance and difference <= sympy.Float(tolerance, _DIGITS) * _size(ours))


def _agree_by_half(ours: Complex, theirs: Complex, tolerance: float) -> bool:
    """Whether their real parts or their sizes agree: \\ln x^2 and 2\\ln x, \\sqrt[3]{x^2} and x^{2/3} at x < 0."""
    sizes = ((_size(ours), sympy.Integer(0)), (_size(theirs), sympy.Integer(0)))
    return _agree((ours[0], sympy.Integer(0)), (theirs[0], sympy.Integer(0)), tolerance) or _agree(*sizes, tolerance)
