r"""Values, read by math-verify's LaTeX parser (latex2sympy2_extended 1.11). Only in a worker.

math-verify's own `verify` is not asked. It ignores units, percent signs, the base of a number, primes and the case of
variables, takes `2t` for 2, the last side of any equation (`3=2` is 2), a pair for an interval and a list for a set,
rounds to six places where a decimal is involved and to 1e-15 where not (`10^{-20}\pi` is `10^{-21}\pi`), and adds
numbers side by side (`5(2)` is 7). sympy's `simplify`, which may never end, is not called.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, _Latex2Sympy
from sympy.core.function import AppliedUndef

from reprise.rewards.verifiers.maths.latex import Unreadable
from reprise.rewards.verifiers.maths.numbers import MAX_EXPONENT, number

_CONFIG = ConversionConfig(lowercase_symbols=False, interpret_as_mixed_fractions=False)
_INTEGER = re.compile(r"[0-9]+", re.ASCII)
_DECIMAL = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?", re.ASCII)
_FUNCTION_NAMES = frozenset("f g h p q u v w y F G H P Q R S T E".split())  # noqa: SIM905
_REPEATING = re.compile(r"([0-9]*)\.([0-9]*)\\(?:overline|bar|dot)\{([0-9]+)\}")
_COEFFICIENT = re.compile(r"(?<![0-9a-zA-Z})\].^_/])([0-9]+) ?/ ?([0-9]+)(?= ?[a-zA-Z(\\])(?! ?\\(?:cdot|end|text))")
_ODD_ROOT = re.compile(
    r"\\sqrt\[ ?([0-9]{0,3}[13579]) ?\]\{ ?- ?([0-9.]+|\\frac\{[0-9]+\}\{[0-9]+\})\}"
)  # the real one
_DIFFERENTIAL = re.compile(
    r"\\i+nt(?![a-zA-Z])|\\oint|\\frac ?\{ ?d(?: ?\^ ?\{?[0-9]\}?)?[ a-zA-Z]*\} ?\{ ?d"
    r"|(?<![a-zA-Z])d ?[a-zA-Z]? ?/ ?d ?[a-zA-Z]"
)
_LETTER_D = re.compile(r"\\(?:begin|end|operatorname|text|mathbb)\{[^{}]*\}|\\[a-zA-Z]+|_\{[^{}]*\}|d(?! ?_|\([^()]*,)")
_GAMMA = re.compile(r"\\([gG])amma(?![a-zA-Z]| ?\()(?: ?_\{([a-zA-Z0-9]+)\})?")  # no function without a bracket
_MAX_BITS = 70_000  # of a power that is written out; 2^{2024} has 2025
_MAX_FACTORIAL = 3_000

Expression: TypeAlias = sympy.Expr | sympy.MatrixBase | sympy.MatrixExpr | sympy.Set


class UnreadableReference(Unreadable):
    """The task's own reference cannot be read."""


class Huge(sympy.Symbol):  # type: ignore[misc]
    """An integer that is too large to compute with, by its name: it is equal to itself and to nothing else."""


class _Reader(_Latex2Sympy):  # type: ignore[misc]
    """The parser with what it does to numbers, products and bases put right. It evaluates no text."""

    def parse_number(self, text: str) -> sympy.Number:
        return literal(text)

    def convert_postfix_list(self, arr: list[object], i: int = 0) -> Expression:
        """Things side by side are a product; the library makes mixed numbers of them (`5(2)` is 7)."""
        factors = [self.convert_postfix(item) for item in arr[i:]]
        if len(factors) > 1 and not all(isinstance(factor, (sympy.Expr, sympy.MatrixBase)) for factor in factors):
            return super().convert_postfix_list(arr, i)
        product = factors[0]
        for factor in factors[1:]:
            matrices = any(getattr(side, "is_Matrix", False) for side in (product, factor))
            product = (self.mat_mul_flat if matrices else self.mul_flat)(product, factor)
        return product


@lru_cache(maxsize=2048)
def expression(latex: str) -> Expression:
    """The value of clean LaTeX: a sympy expression, matrix or set; `nan` if it is undefined (`1/0`, `\\infty-\\infty`).

    `Unreadable` if the parser does not take it.
    """
    plain = number(latex)
    if plain is not None:
        return sympy.Rational(plain.numerator, plain.denominator)
    try:
        parsed = _Reader(config=_CONFIG, convert_degrees=True).parse(_for_the_parser(latex))
        if not isinstance(parsed, (sympy.Expr, sympy.MatrixBase, sympy.MatrixExpr, sympy.Set)):
            raise Unreadable(f"not a value but a {type(parsed).__name__}")
        return _settled(parsed)
    except _Undefined:
        return sympy.nan
    except (MemoryError, Unreadable):
        raise
    except Exception as error:
        raise Unreadable(str(error).partition("\n")[0][:100] or type(error).__name__) from error


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


def is_matrix(value: object) -> bool:
    """Whether it is a matrix written out (which sympy also takes for an expression)."""
    return isinstance(value, sympy.MatrixBase)


def is_value(value: object) -> bool:
    """Whether it is a number or an expression of numbers and variables."""
    return isinstance(value, sympy.Expr) and not is_matrix(value) and not isinstance(value, sympy.MatrixExpr)


def is_defined(value: Expression) -> bool:
    """Whether nothing in it is undefined."""
    return not value.has(sympy.nan, sympy.zoo)


def _for_the_parser(latex: str) -> str:
    """What the parser takes for something else, put in words that it knows.

    Primes, capital I, E with an index and d become names of their own (it drops the primes, and takes the letters for
    sqrt(-1), for a power of ten and for a differential); `2/3x` is read from left to right, as `\\frac{2}{3}x`.
    """
    text = _REPEATING.sub(_repeating, latex)
    text = re.sub(r"([a-zA-Z])('+)", lambda match: f"{match[1]}_{{{9990 + len(match[2])}}}", text)
    if "'" in text:
        raise Unreadable("a prime behind something that is no letter")
    text = re.sub(r"(?<![a-zA-Z\\])I(?![a-zA-Z_])", "Q_{9990} ", text)
    text = re.sub(r"(?<![a-zA-Z\\])E_\{?([a-zA-Z0-9]+)\}?", r"Q_{9980\1} ", text)
    if not _DIFFERENTIAL.search(text):
        text = _LETTER_D.sub(lambda match: match[0] if len(match[0]) > 1 else "Q_{9970} ", text)
    text = _GAMMA.sub(lambda match: f"Q_{{{9971 if match[1] == 'g' else 9972}{match[2] or ''}}} ", text)
    text = re.sub(r"\\operatorname ?\{((?:arc)?(?:sin|cos|tan|cot|sec|csc))\}", r"\\\1 ", text)
    text = re.sub(r"\\lg(?![a-zA-Z])", r"\\log_{10} ", text)
    text = _ODD_ROOT.sub(r"(-\\sqrt[\1]{\2})", text)
    text = _COEFFICIENT.sub(r"\\frac{\1}{\2}", text)
    return text.replace("[", "(").replace("]", ")") if r"\sqrt[" not in text and r"\begin" not in text else text


def _repeating(match: re.Match[str]) -> str:
    """0.1\\overline{6} as a fraction."""
    whole, fixed, cycle = match.groups()
    scale = 10 ** len(fixed)
    numerator = int((whole or "0") + fixed) * (10 ** len(cycle) - 1) + int(cycle)
    return rf"\frac{{{numerator}}}{{{scale * (10 ** len(cycle) - 1)}}}"


class _Undefined(Exception):
    """A division by 0, arithmetic with infinity and the like."""


def _settled(parsed: Expression) -> Expression:
    """Everything carried out, i the imaginary unit, k(x) a product."""
    if isinstance(parsed, sympy.Set):
        return parsed
    settled = _carried_out(parsed)
    if isinstance(settled, sympy.MatrixExpr):
        settled = settled.as_explicit()
    if isinstance(settled, sympy.MatrixBase):
        settled = settled.as_immutable()
    imaginary = [symbol for symbol in settled.free_symbols if symbol.name == "i"]
    if imaginary:
        settled = _carried_out(settled.xreplace(dict.fromkeys(imaginary, sympy.I)))
    products = {
        call: sympy.Symbol(call.func.__name__) * call.args[0]
        for call in settled.atoms(AppliedUndef)
        if len(call.args) == 1 and len(call.func.__name__) == 1 and call.func.__name__ not in _FUNCTION_NAMES
    }
    return settled.xreplace(products) if products else settled


def _carried_out(node: sympy.Basic) -> sympy.Basic:
    """The value of an expression that was parsed without being evaluated, from the inside to the outside.

    sympy's own `doit` computes `10^{10^{10}}` digit by digit, and lets what is undefined vanish: 1/(1/0) is 0 to it.
    """
    if isinstance(node, sympy.MatrixBase):
        return node.applyfunc(_carried_out)
    if not node.args:
        value = node
    elif isinstance(node, (sympy.Add, sympy.Mul, sympy.Pow, sympy.Function)):
        arguments = [_carried_out(argument) for argument in node.args]
        if not all(is_value(argument) for argument in arguments):
            return _of_matrices(node, arguments)
        _check_infinities(node, arguments)
        if isinstance(node, sympy.Pow):
            value = _power(*arguments)
        elif isinstance(node, sympy.factorial) and arguments[0].is_Integer and arguments[0] > _MAX_FACTORIAL:
            value = Huge(f"factorial of {arguments[0]}")
        else:
            value = node.func(*arguments)
    elif isinstance(node, sympy.Derivative) and node.expr.is_Symbol and node.expr not in node.variables:
        value = sympy.Symbol(f"derivative {node.expr} {node.variables}")  # dy/dx, of a y that nobody knows
    elif isinstance(node, (sympy.Sum, sympy.Product)):
        value = _series(node)
    else:
        value = node.doit()
    if value in (sympy.nan, sympy.zoo):
        raise _Undefined
    return value


def _series(node: sympy.Sum | sympy.Product) -> sympy.Expr:
    """The value of a sum or product; where sympy finds none, a name, the same for the same one with another index."""
    try:
        return node.doit()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - among others, it asks for `eval` (`verifiers.maths.worker`)
        function = _carried_out(node.function)
        renamed = node.func(function, *node.limits).xreplace(node.canonical_variables)
        return sympy.Symbol(str(renamed))


def _of_matrices(node: sympy.Basic, arguments: list[sympy.Basic]) -> sympy.Basic:
    if not isinstance(node, sympy.Function):
        return node.doit()
    if isinstance(node, sympy.Abs) and is_matrix(arguments[0]) and arguments[0].is_square:
        return arguments[0].det()
    raise Unreadable("a function of a matrix")


def _check_infinities(node: sympy.Expr, arguments: list[sympy.Expr]) -> None:
    r"""Only a sign may stand before `\infty`."""
    infinite = [argument for argument in arguments if argument.is_infinite]
    if infinite and not (node.is_Mul and len(infinite) == 1 and all(a in (1, -1, *infinite) for a in arguments)):
        raise _Undefined


def _power(base: sympy.Expr, exponent: sympy.Expr) -> sympy.Expr:
    """base ** exponent, with an exponent that would make it too large to write out as a name."""
    if not exponent.is_Rational or abs(exponent) < 500 or base in (0, 1, -1):
        return sympy.Pow(base, exponent)
    bits = max(int(base.p).bit_length(), int(base.q).bit_length()) if base.is_Rational else 16
    if bits * abs(exponent) <= _MAX_BITS:
        return sympy.Pow(base, exponent)
    if base.is_Integer and (root := sympy.perfect_power(int(base))):
        base, exponent = sympy.Integer(root[0]), exponent * root[1]  # 100^n is 10^{2n}
    sign = 1 if exponent > 0 else -1
    return sympy.Pow(base, sign * Huge(f"number {abs(exponent)}", positive=True))
