"""How many operations an expression holds, and how many of them are arithmetic between plain numbers. Text only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Work:
    """arithmetic  operations between plain numbers, which one could carry out (a fraction of integers is none)
    operations  all operations
    """

    arithmetic: int
    operations: int


@lru_cache(maxsize=1024)
def work(latex: str) -> Work:
    """What clean LaTeX leaves to carry out."""
    counter = _Counter(latex)
    counter.sum(frozenset())
    return Work(counter.arithmetic, counter.operations)


_PIECE = re.compile(r"[0-9][0-9,]*\.?[0-9]*|\.[0-9]+|\\[a-zA-Z]+|\\.|[^\s]")
_CLOSE = {"(": ")", "{": "}", "[": "]", r"\{": r"\}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil", "|": "|"}

_ENVIRONMENT = re.compile(r"\\(begin|end)\{[a-zA-Z]*\*?\}")
_FUNCTION = re.compile(r"\\(?:log|ln|lg|exp|(?:arc|ar)?(?:sin|cos|tan|cot|sec|csc)h?)")
_SEPARATORS = frozenset(("=", "<", ">", ",", ";", "&", "\\\\"))


class _Counter:
    """Counts while it goes once through the text. Each method returns what a part is: "integer", "ten" (a power of
    ten), "plain" (another rational number) or "" (anything else)."""

    def __init__(self, latex: str) -> None:
        self._pieces = _PIECE.findall(_ENVIRONMENT.sub(lambda match: "(" if match[1] == "begin" else ")", latex))
        self._at = 0
        self.arithmetic = self.operations = 0

    def sum(self, until: frozenset[str]) -> str:
        terms: list[str] = []
        several = False
        while (piece := self._peek()) and piece not in until:
            if piece in _SEPARATORS:
                self._added(terms)
                terms, several = [], True
            if piece in _SEPARATORS or piece in ("+", "-"):
                self._take()
                continue
            terms.append(self._product(until))
        self._added(terms)
        if several or not terms or not all(terms):
            return ""
        return terms[0] if len(terms) == 1 else "plain"

    def _added(self, terms: list[str]) -> None:
        self._count(len(terms) - 1, sum(bool(term) for term in terms) - 1)

    def _product(self, until: frozenset[str]) -> str:
        above, below = [self._factor(until)], list[str]()
        while (piece := self._peek()) and piece not in until and piece not in ("+", "-", *_SEPARATORS):
            if piece in (r"\cdot", "*", "/"):
                self._take()
                while self._peek() in ("+", "-") and self._peek() not in until:
                    self._take()
                if not self._peek() or self._peek() in until:
                    break
            (below if piece == "/" else above).append(self._factor(until))
        plain, divisors = [kind for kind in above if kind], [kind for kind in below if kind]
        scientific = len(plain) == 2 and "ten" in plain  # 3\cdot 10^8
        fraction = not divisors or {*plain, *divisors} <= {"integer", "ten"}
        self._count(len(above) + len(below) - 1, len(plain) - 1 - scientific)
        self._count(0, len(divisors) - fraction)
        if len(plain) + len(divisors) < len(above) + len(below):
            return ""
        return plain[0] if len(plain) == 1 and not divisors else "plain"

    def _factor(self, until: frozenset[str]) -> str:
        kind, text = self._base()
        while self._peek() in ("^", "!", "_"):
            operator = self._take()
            if operator == "!":
                self._count(1, 1 if kind else 0)
                continue
            exponent = self._base()[0]
            if operator == "_":
                continue
            is_integer = kind != "" and exponent == "integer"
            self._count(1, 1 if is_integer and text != "10" else 0)
            kind = ("ten" if text == "10" else "plain") if is_integer else ""
        return kind

    def _base(self) -> tuple[str, str]:
        piece = self._take()
        if piece[:1].isdigit() or piece[:1] == ".":
            return ("plain" if "." in piece else "integer"), piece
        if piece in _CLOSE:
            inside = self.sum(frozenset({_CLOSE[piece]}))
            self._take()
            if piece == "|" and inside:
                self._count(1, 1)
            return inside, ""
        if _FUNCTION.fullmatch(piece):
            while self._peek() in ("^", "_"):
                self._take()
                self._base()
            self._count(1, 0)
            self._factor(frozenset())
            return "", ""
        if piece == r"\frac":
            upper, lower = self._base()[0], self._base()[0]
            both = bool(upper and lower)
            self._count(1, 1 if both and not upper == lower == "integer" else 0)
            return ("plain" if both else ""), ""
        if piece in (r"\sqrt", r"\binom"):
            if piece == r"\sqrt" and self._peek() == "[":
                self._base()
            kinds = [self._base()[0] for _ in range(2 if piece == r"\binom" else 1)]
            self._count(1, 1 if piece == r"\binom" and all(kinds) else 0)
            return ("plain" if piece == r"\binom" and all(kinds) else ""), ""
        return "", piece

    def _count(self, operations: int, arithmetic: int) -> None:
        self.operations += max(0, operations)
        self.arithmetic += max(0, arithmetic)

    def _peek(self) -> str:
        return self._pieces[self._at] if self._at < len(self._pieces) else ""

    def _take(self) -> str:
        piece = self._peek()
        self._at += 1
        return piece
