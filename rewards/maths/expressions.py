r"""Values, read by math-verify's LaTeX parser (latex2sympy2_extended 1.11) and compared with sympy. Only in a worker.

math-verify's own `verify` is not asked. It ignores units, percent signs, the base of a number, primes and the case of
variables, takes `2t` for 2, the last side of any equation (`3=2` is 2), a pair for an interval and a list for a set,
rounds to six places where a decimal is involved and to 1e-15 where not (`10^{-20}\pi` is `10^{-21}\pi`), and adds
numbers side by side (`5(2)` is 7). Here two values are equal if they agree to 45 of 60 digits, for expressions with
variables at each of several points. sympy's `simplify`, which may run for ever, is not called.
"""

from __future__ import annotations

import random
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, _Latex2Sympy
from sympy.core.function import AppliedUndef

from rewards.maths.forms import Form, Items, Region, Value
from rewards.maths.latex import Unreadable
from rewards.maths.numbers import MAX_EXPONENT, close, number

_DIGITS = 60
_AGREE = sympy.Float("1e-45", _DIGITS)
_NOTHING = sympy.Float("1e-100", _DIGITS)
_POINTS = 10  # at which expressions with variables are compared
_NEEDED = 3  # of which at least so many must lie in the domain of both
_CONFIG = ConversionConfig(lowercase_symbols=False, interpret_as_mixed_fractions=False)
_INTEGER = re.compile(r"[0-9]+", re.ASCII)
_DECIMAL = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?", re.ASCII)
_FUNCTION_NAMES = frozenset("f g h p q u v w y F G H P Q R S T E".split())  # noqa: SIM905
_REPEATING = re.compile(r"([0-9]*)\.([0-9]*)\\(?:overline|bar|dot)\{([0-9]+)\}")


class UnreadableReference(Unreadable):
    """The task's own reference cannot be read."""


class _Reader(_Latex2Sympy):
    """The parser with what it does to numbers, products and bases put right. It evaluates no text."""

    def parse_number(self, text: str) -> sympy.Number:
        return literal(text)

    def convert_postfix_list(self, arr: list[Any], i: int = 0) -> Any:
        """Things side by side are a product; the library makes mixed numbers of them (`5(2)` is 7)."""
        factors = [self.convert_postfix(item) for item in arr[i:]]
        if len(factors) > 1 and not all(isinstance(factor, (sympy.Expr, sympy.MatrixBase)) for factor in factors):
            return super().convert_postfix_list(arr, i)
        product = factors[0]
        for factor in factors[1:]:
            matrices = any(getattr(side, "is_Matrix", False) for side in (product, factor))
            product = (self.mat_mul_flat if matrices else self.mul_flat)(product, factor)
        return product


class SympyArithmetic:
    """`rewards.maths.comparing.Arithmetic` for all that the parser reads."""

    def equal(self, reference: str, answer: str, scale: tuple[int, int], tolerance: float) -> bool:
        ours, theirs = _reference(reference), expression(answer)
        if isinstance(ours, sympy.MatrixBase) or isinstance(theirs, sympy.MatrixBase):
            return _same_matrix(ours, theirs, tolerance)
        if not isinstance(ours, sympy.Expr) or not isinstance(theirs, sympy.Expr):
            return bool(ours == theirs)
        return same(ours / scale[0], theirs / scale[1], tolerance)

    def varies(self, latex: str) -> bool:
        try:
            return bool(expression(latex).free_symbols)
        except Unreadable:
            return True  # the name of something, perhaps

    def proportion(self, reference: tuple[str, str], answer: tuple[str, str]) -> int:
        ours = _difference(*(_reference(side) for side in reference))
        theirs = _difference(*(expression(side) for side in answer))
        if ours is None or theirs is None or ours.free_symbols != theirs.free_symbols or not ours.free_symbols:
            return 0
        for point in _points(ours.free_symbols):
            upper, lower = _at(theirs, point), _at(ours, point)
            if upper is None or lower is None or abs(lower) < _NOTHING or abs(upper) < _NOTHING:
                continue
            factor = sympy.nsimplify(sympy.re(upper / lower), rational=True, tolerance=1e-30)
            return int(sympy.sign(factor)) if factor != 0 and same(theirs, factor * ours, 0.0) else 0
        return 0

    def same_region(self, reference: Form, answer: Form) -> bool:
        theirs = _region(answer, expression)
        ours = _region(reference, _reference)
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


@lru_cache(maxsize=512)
def expression(latex: str) -> Any:
    """The value of clean LaTeX: a sympy expression, matrix or set. `Unreadable` if the parser does not take it."""
    plain = number(latex)
    if plain is not None:
        return sympy.Rational(plain.numerator, plain.denominator)
    try:
        parsed = _Reader(config=_CONFIG, convert_degrees=True).parse(_for_the_parser(latex))
        if not isinstance(parsed, (sympy.Expr, sympy.MatrixBase, sympy.MatrixExpr, sympy.Set)):
            raise Unreadable(f"not a value but a {type(parsed).__name__}")
        return _settled(parsed)
    except (MemoryError, Unreadable):
        raise
    except Exception as error:
        raise Unreadable(f"{type(error).__name__}: {str(error)[:100]}") from error


def literal(text: str) -> sympy.Number:
    """A number literal of the LaTeX grammar, exactly, and without `eval`. `Unreadable` if it is something else."""
    text = text.replace(",", "")
    if _INTEGER.fullmatch(text):
        return sympy.Integer(int(text))
    match = _DECIMAL.fullmatch(text)
    if match is None or abs(int(match[1] or 0)) > MAX_EXPONENT:
        raise Unreadable(f"not a number: {text[:50]!r}")
    exact = Fraction(text)
    return sympy.Rational(exact.numerator, exact.denominator)


def same(reference: sympy.Expr, answer: sympy.Expr, tolerance: float) -> bool:
    """Whether two expressions are equal: exactly for rational numbers, else to 45 digits, at points if they vary."""
    if reference == answer:
        return True
    if reference.has(sympy.nan, sympy.zoo) or answer.has(sympy.nan, sympy.zoo):
        return False
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
        agree = _agree(ours, theirs, tolerance)
        if symbols and not (_is_real(ours) and _is_real(theirs)):
            complex_only.append(agree)
            continue
        if not agree:
            return False
        compared += 1
    if not symbols:
        return compared > 0
    # Where too few points are real, complex ones count too; elsewhere they do not: branches differ outside the domain.
    return compared >= _NEEDED or (compared + len(complex_only) >= _NEEDED and all(complex_only))


def _reference(latex: str) -> Any:
    try:
        return expression(latex)
    except Unreadable as error:
        raise UnreadableReference(str(error)) from error


def _for_the_parser(latex: str) -> str:
    """Prime and capital I become names of their own: the parser drops the one and takes the other for sqrt(-1)."""
    text = _REPEATING.sub(_repeating, latex)
    text = re.sub(r"([a-zA-Z])('+)", lambda match: f"{match[1]}_{{{9990 + len(match[2])}}}", text)
    text = re.sub(r"(?<![a-zA-Z\\])I(?![a-zA-Z_])", "Q_{9990} ", text)
    return text.replace("[", "(").replace("]", ")") if r"\sqrt[" not in text and r"\begin" not in text else text


def _repeating(match: re.Match[str]) -> str:
    """0.1\\overline{6} as a fraction."""
    whole, fixed, cycle = match.groups()
    scale = 10 ** len(fixed)
    numerator = int((whole or "0") + fixed) * (10 ** len(cycle) - 1) + int(cycle)
    return rf"\frac{{{numerator}}}{{{scale * (10 ** len(cycle) - 1)}}}"


def _settled(parsed: Any) -> Any:
    """Sums, limits, products of matrices and the like carried out, i the imaginary unit, k(x) a product."""
    if isinstance(parsed, sympy.Set):
        return parsed
    settled = parsed.doit()
    if isinstance(settled, sympy.MatrixExpr):
        settled = settled.as_explicit()
    if isinstance(settled, sympy.MatrixBase):
        settled = settled.as_immutable()
    imaginary = [symbol for symbol in settled.free_symbols if symbol.name == "i"]
    settled = settled.subs(dict.fromkeys(imaginary, sympy.I))
    products = {
        call: sympy.Symbol(call.func.__name__) * call.args[0]
        for call in settled.atoms(AppliedUndef)
        if len(call.args) == 1 and len(call.func.__name__) == 1 and call.func.__name__ not in _FUNCTION_NAMES
    }
    return settled.xreplace(products) if products else settled


def _without_functions(*expressions: sympy.Expr) -> tuple[sympy.Expr, ...]:
    """Calls of functions that nobody knows (`f(x)`) as variables, the same one for the same call."""
    calls = sorted(set().union(*(one.atoms(AppliedUndef) for one in expressions)), key=str)
    names = {call: sympy.Symbol(f"call_{number}") for number, call in enumerate(calls)}
    return tuple(one.xreplace(names) for one in expressions)


def _same_matrix(ours: Any, theirs: Any, tolerance: float) -> bool:
    if not isinstance(ours, sympy.MatrixBase) or not isinstance(theirs, sympy.MatrixBase) or ours.shape != theirs.shape:
        return False
    return all(same(a, b, tolerance) for a, b in zip(ours.flat(), theirs.flat()))


def _difference(left: Any, right: Any) -> sympy.Expr | None:
    if not isinstance(left, sympy.Expr) or not isinstance(right, sympy.Expr):
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
    for number_ in range(_POINTS):
        low, high = (1, 300) if number_ < 4 else (-300, 300) if number_ < 6 else (-49, 49)
        points.append({symbol: sympy.Rational(random_.randint(low, high) * 2 + 1, 101) for symbol in ordered})
    return points


def _at(expr: sympy.Expr, point: dict[sympy.Symbol, sympy.Rational]) -> Any:
    """The value at a point to 60 digits; None where there is none."""
    try:
        value = (expr.subs(point) if point else expr).evalf(_DIGITS, maxn=400)
    except (ArithmeticError, TypeError, ValueError, NotImplementedError):
        return None
    if not value.is_number or value.has(sympy.nan, sympy.zoo, sympy.oo) or not (value.is_Float or value.is_Number):
        parts = value.as_real_imag() if value.is_number and not value.has(sympy.nan, sympy.zoo, sympy.oo) else ()
        return value if parts and all(part.is_Number for part in parts) else None
    return value


def _is_real(value: Any) -> bool:
    _, imaginary = value.as_real_imag()
    return bool(abs(imaginary) <= _AGREE * (1 + abs(value)))


def _agree(ours: Any, theirs: Any, tolerance: float) -> bool:
    difference, size = abs(ours - theirs), max(abs(ours), abs(theirs))
    if size < _NOTHING:
        return True
    return bool(difference <= _AGREE * size or difference <= sympy.Float(tolerance, _DIGITS) * abs(ours))


def _region(form: Form, read: Any) -> sympy.Set | None:
    """The set of numbers that a form describes; None if it describes none."""
    if isinstance(form, Region):
        parts = [_region(part, read) for part in form.parts]
        if any(part is None for part in parts):
            return None
        whole: Any = parts[0]
        for operator, part in zip(form.operators, parts[1:]):
            whole = {r"\cup": whole.union, r"\cap": whole.intersect, r"\setminus": lambda p, w=whole: w - p}[operator](
                part
            )
        return whole
    if isinstance(form, Items):
        values = [read(item.latex) if isinstance(item, Value) else None for item in form.items]
        if not all(isinstance(value, sympy.Expr) and value.is_extended_real for value in values):
            return None
        if form.kind == "set":
            return sympy.FiniteSet(*values)
        if form.kind == "tuple" and len(values) == 2:
            return sympy.Interval(*values, left_open=form.left == "(", right_open=form.right == ")")
        return None
    value = read(form.latex) if isinstance(form, Value) else None
    return value if isinstance(value, sympy.Set) else None
