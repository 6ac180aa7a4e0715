r"""What was written: the structures that an answer may have.

`(1,2)`, `\{1,2\}` and `1,2` hold the same two numbers and are three different answers. A mathematics library forgets
the difference when it reads them, so the structure is read here (`reading`), and only the values go to the library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Value:
    """An expression, in clean LaTeX; with `percent`, that many hundredths; `base` other than 10: digits, no number."""

    latex: str
    percent: bool = False
    unit: str = ""
    base: int = 10


@dataclass(frozen=True, slots=True)
class Words:
    """Text that is no expression, in lower case without punctuation ("no solution")."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    r"""Several forms: a `list` (`1, 2`), a `set` (`\{1,2\}`), or a `tuple`, whose brackets say if it may be an interval
    (`(` or `[` on the left, `)` or `]` on the right)."""

    kind: Literal["list", "set", "tuple"]
    items: tuple[Form, ...]
    left: str = ""
    right: str = ""


@dataclass(frozen=True, slots=True)
class Region:
    r"""Sets put together by `\cup`, `\cap` and `\setminus`, left to right."""

    parts: tuple[Form, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """`left = right`, `a < x < b`, `x in S`: sides as clean LaTeX and what stands between them."""

    sides: tuple[str, ...]
    operators: tuple[str, ...]
    last: Form = field(compare=False)


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day or a duration: `12:30`, `4:00 p.m.` (`half` is `a`, `p` or nothing), `1:30:00`.

    Without `half`, and in lowest terms, it may be a ratio (`4:25`) that only looks like one.
    """

    hour: int
    minute: int
    second: int | None = None
    half: str = ""


@dataclass(frozen=True, slots=True)
class Ratio:
    """`1:2:3`, `1 to 2`: parts in clean LaTeX, which only count in relation to each other."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Builder:
    r"""`\{x \in \mathbb{Z} \mid x > 5\}`: what the members look like, in clean LaTeX, and what holds for them."""

    member: str
    condition: Form


Form = Value | Words | Items | Region | Relation | Clock | Ratio | Builder
