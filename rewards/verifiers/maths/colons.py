r"""What a colon stands in: times of day (`12:30`, `4:00\text{ p.m.}`) and ratios (`1:2:3`, `1 to 2`).

`12:30` is a time, `1:2` a ratio, and `4:25` may be either. Two numbers that could be hours (to 24) and minutes (two
digits) count as a time: another pair is another time, whatever its quotient. If they are in lowest terms, as ratios are
given, then what can be no time (`4/25`, `40:250`) is compared with them as a ratio.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import gcd
from typing import TYPE_CHECKING

from reprise.rewards.verifiers.maths.forms import Clock, Form, Ratio, Value, Words
from reprise.rewards.verifiers.maths.latex import Unreadable, plain_words, split
from reprise.rewards.verifiers.maths.written import is_number

if TYPE_CHECKING:
    from reprise.rewards.verifiers.maths.comparing import Comparison

_HALF = r"(?:\\text\{\s*)?(?P<half>[AaPp])\.? ?[Mm]\.?\s*\}?"
_CLOCK = re.compile(
    rf"(?P<hour>[01]?[0-9]|2[0-4])(?P<point>[:.])(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9]))?(?:\s*{_HALF})?"
    rf"|(?P<full>0?[1-9]|1[0-2])\s*{_HALF.replace('half', 'half_of_full')}"
)
_TO = re.compile(r"\\text\{\s*to\s*\}|(?<=[0-9})])\s+to\s+(?=[0-9\\(])")


def clock(text: str) -> Clock | None:
    """The time that a whole text is. `4.30` needs a.m. or p.m. to be one, and so does `4`."""
    match = _CLOCK.fullmatch(text)
    if match is None or (match["point"] == "." and not match["half"]):
        return None
    half = (match["half"] or match["half_of_full"] or "").lower()
    if half and not 1 <= int(match["hour"] or match["full"]) <= 12:
        return None
    second = int(match["second"]) if match["second"] else None
    return Clock(int(match["hour"] or match["full"]), int(match["minute"] or 0), second, half)


def ratio(text: str, read: Callable[[str], Form]) -> Form | None:
    """The ratio that a whole text is, `read` its parts; None if it has no colon, words if a part is no value."""
    pieces, found = split(_TO.sub(":", text), frozenset(":"))
    if not found:
        return None
    if not all(pieces):
        raise Unreadable("a part of a ratio is missing")
    parts = [read(piece) for piece in pieces]
    units = {part.unit for part in parts if isinstance(part, Value)}
    if all(isinstance(part, Value) and not part.percent and part.base == 10 for part in parts) and len(units) == 1:
        return Ratio(tuple(part.latex for part in parts if isinstance(part, Value)))
    return Words(plain_words(text))


def same_colon(comparison: Comparison, reference: Form, answer: Form) -> bool:
    """Whether two forms agree of which one is a time or a ratio. A ratio of two equals its quotient."""
    if isinstance(answer, Ratio) and isinstance(reference, Clock):
        answer = clock(":".join(part.strip() for part in answer.parts)) or answer
    if isinstance(reference, Clock) and isinstance(answer, Clock):
        return _same_time(reference, answer)
    ours, theirs = _terms(reference), _terms(answer)
    if ours is None or theirs is None or (len(ours) != len(theirs) and 1 not in (len(ours), len(theirs))):
        return False
    if isinstance(reference, Clock) and (reference.second is not None or reference.minute < 10):
        return False  # no ratio is written 9:05
    if isinstance(reference, Clock) and gcd(reference.hour, reference.minute) != 1:
        return False
    if not comparison.rules.evaluate and all(map(is_number, ours)) and not all(map(is_number, theirs)):
        return False

    def equal(upper: str, lower: str) -> bool:
        return comparison.arithmetic.equal(upper, lower, (1, 1), comparison.rules.tolerance)

    if len(ours) == 1 or len(theirs) == 1:
        return len(ours) + len(theirs) == 3 and equal(_quotient(*ours), _quotient(*theirs))
    pairs = zip(ours, ours[1:], theirs, theirs[1:])  # a part of 0 makes its quotient undefined, and that equals nothing
    return all(equal(_quotient(a, b), _quotient(c, d)) for a, b, c, d in pairs)


def _terms(form: Form) -> tuple[str, ...] | None:
    if isinstance(form, Clock):
        seconds = () if form.second is None else (str(form.second),)
        return None if form.half else (str(form.hour), str(form.minute), *seconds)
    if isinstance(form, Ratio):
        return form.parts
    return (form.latex,) if isinstance(form, Value) and not (form.unit or form.percent) and form.base == 10 else None


def _quotient(upper: str, lower: str = "") -> str:
    return rf"\frac{{{upper}}}{{{lower}}}" if lower else upper


def _same_time(reference: Clock, answer: Clock) -> bool:
    """A mark in the answer is ignored if the reference has none and could have either; a missing one is wrong."""
    if (reference.second is None) != (answer.second is None) and not (reference.half and answer.half):
        return False
    if reference.half and not answer.half and 1 <= answer.hour <= 12:
        return False
    if answer.half and not reference.half and 1 <= reference.hour <= 12:
        reference = Clock(reference.hour, reference.minute, reference.second, answer.half)
    return _second_of_day(reference) == _second_of_day(answer)


def _second_of_day(time: Clock) -> int:
    hour = time.hour % 12 + 12 * (time.half == "p") if time.half else time.hour
    return hour * 3600 + time.minute * 60 + (time.second or 0)
