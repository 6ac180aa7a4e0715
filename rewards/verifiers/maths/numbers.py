"""Arithmetic on plain numbers, in the verifier's own process: most answers are numbers and need no worker."""

from __future__ import annotations

import re
from fractions import Fraction

from reprise.rewards.verifiers.maths.forms import Form

_INTEGER = r"[-+]?\s*[0-9]+"
_DECIMAL = re.compile(r"([-+]?)\s*([0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,9}))?")
_FRACTION = re.compile(rf"([-+]?)\s*\\frac\{{\s*({_INTEGER})\s*\}}\{{\s*({_INTEGER})\s*\}}|({_INTEGER})\s*/\s*([0-9]+)")
_POWER_OF_TEN = re.compile(r"(.*[0-9.])\s*(?:\\cdot|\*)\s*10\s*\^\s*(?:\{\s*([+-]?[0-9]{1,9})\s*\}|([0-9]{1,9}))")
MAX_DIGITS = 4_000  # Python converts no more than 4,300 at once
MAX_EXPONENT = 5_000  # of ten; beyond it a short text would make a number of megabytes


class NeedsLibrary(Exception):
    """More than plain numbers: a worker has to look at it."""


class PlainArithmetic:
    """`rewards.verifiers.maths.comparing.Arithmetic` for rational numbers; anything else raises `NeedsLibrary`."""

    def equal(self, reference: str, answer: str, scale: tuple[int, int], tolerance: float) -> bool:
        ours, theirs = number(reference), number(answer)
        if ours is None or theirs is None:
            raise NeedsLibrary
        return close(ours / scale[0], theirs / scale[1], tolerance)

    def varies(self, latex: str) -> bool:
        if number(latex) is None:
            raise NeedsLibrary
        return False

    def rounds_to(self, exact: str, rounded: Fraction, half: Fraction) -> bool:
        raise NeedsLibrary

    def proportion(self, reference: tuple[str, str], answer: tuple[str, str]) -> int:
        raise NeedsLibrary

    def same_region(self, reference: Form, answer: Form) -> bool:
        raise NeedsLibrary

    def matrix_entries(self, latex: str) -> list[str] | None:
        if number(latex) is None:
            raise NeedsLibrary
        return None

    def fault(self, latex: str) -> str | None:
        if number(latex) is None:
            raise NeedsLibrary
        return None


def close(reference: Fraction, answer: Fraction, tolerance: float) -> bool:
    """Whether they differ by at most `tolerance` times the reference; 0: not at all."""
    return reference == answer or abs(reference - answer) <= Fraction(tolerance) * abs(reference)


def number(latex: str) -> Fraction | None:
    r"""The value of an integer, a decimal (exact: 0.1 is 1/10), `\frac{a}{b}`, `a/b`, `1e6` or `2\cdot 10^{6}`.

    None if it is something else, has a denominator of 0 or an exponent beyond MAX_EXPONENT.
    """
    text = latex.strip()
    if len(text) > MAX_DIGITS:
        return None
    power = _POWER_OF_TEN.fullmatch(text)
    if power:
        exponent = int(power[2] or power[3])
        mantissa = _decimal(power[1].strip()) if abs(exponent) <= MAX_EXPONENT else None
        return None if mantissa is None else mantissa * Fraction(10) ** exponent
    fraction = _FRACTION.fullmatch(text)
    if fraction:
        sign, upper, lower = (fraction[1], fraction[2], fraction[3]) if fraction[3] else ("", fraction[4], fraction[5])
        top, bottom = int(upper.replace(" ", "")), int(lower.replace(" ", ""))
        return None if bottom == 0 else Fraction(-top if sign == "-" else top, bottom)
    return _decimal(text)


def _decimal(text: str) -> Fraction | None:
    match = _DECIMAL.fullmatch(text)
    if match is None or abs(int(match[3] or 0)) > MAX_EXPONENT:
        return None
    value = Fraction(match[2].rstrip(".")) * Fraction(10) ** int(match[3] or 0)
    return -value if match[1] == "-" else value
