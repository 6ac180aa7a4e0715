r"""Is an answer a final one, or is there something left to carry out? A question restated is no answer to it.

Text only, on clean LaTeX: the library would carry out `\sum_{k=1}^{100} k` and `17\cdot 23`, and find them right. The
reference says how far a data set goes:

- A reference that is a number (`391`, `0.5`, `\frac{3}{4}`, a mixed number) takes a number: an integer, a decimal, also
  a repeating one, a fraction of two integers that is no integer itself, a mixed number, `a\cdot 10^n`.
- A reference that is another constant (`2\sqrt{2}`, `\frac{\pi}{4}`, `2^{100}-1`) takes a constant in any form with
  roots, powers and fractions, with no arithmetic between plain numbers left standing, unless the reference does that
  too (then about as much of it), and no more than about three times the operations of the reference.
- A reference with variables takes any expression, factored, expanded or neither.
- In all of these a command that stands for work to do (`\int`, `\lim`, `\gcd`, `\lfloor`, `\operatorname{…}`), a
  factorial, a binomial, a second matrix or a function of a constant (`\sin 30^\circ`) must be one that the reference
  uses, too. Of variables, factorials, binomials, `\max` and the like are closed forms: nobody can carry them out.
"""

from __future__ import annotations

import re

from reprise.rewards.verifiers.maths.numbers import number
from reprise.rewards.verifiers.maths.operations import work

_SIGN = r"[-+]? ?"
_INT = r"[0-9][0-9,]*"
_SIGNED = rf"(?:{_SIGN}{_INT}|\( ?{_SIGN}{_INT} ?\)|\{{ ?{_SIGN}{_INT} ?\}})"
_DECIMAL = rf"(?:{_INT}\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_TEN = r"10 ?\^ ?(?:\{ ?[-+]?[0-9]+ ?\}|[0-9]+)"
_FRACTION = rf"(?:\\frac ?\{{ ?{_SIGNED} ?\}} ?\{{ ?{_SIGNED} ?\}}|{_SIGNED} ?/ ?{_SIGNED})"
_MIXED = rf"\({_INT} ?\+ ?\\frac\{{{_INT}\}}\{{{_INT}\}}\)"
_REPEATING = r"[0-9]*\.[0-9]*\\(?:overline|bar|dot) ?\{[0-9]+\}(?:[0-9]*\\dot ?\{[0-9]\})?"
_SCIENTIFIC = rf"{_DECIMAL} ?(?:(?:\\cdot|\*) ?{_TEN})?"
_NUMBER = re.compile(rf"{_SIGN}(?:(?P<fraction>{_FRACTION})|{_MIXED}|{_REPEATING}|{_TEN}|{_SCIENTIFIC})")
_MIXED_ONLY = re.compile(rf"{_SIGN}{_MIXED}")
_AROUND = re.compile(r"(?P<sign>[-+]? ?)(?:\( ?(?P<round>[^()]*(?:\([^()]*\)[^()]*)*)\)|\{(?P<curly>[^{}]*)\})")

_COMMAND = re.compile(r"\\[a-zA-Z]+|\\begin\{[a-zA-Z]+\*?\}")
_GREEK = r"""alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau
    upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar"""
_FREE = frozenset(
    f"\\{name}"
    for name in f"""frac sqrt cdot pi exp infty circ text pm mp overline bar vec hat tilde dot overrightarrow angle
    triangle prime mathbb mathcal begin end emptyset in le ge ne cup cap setminus mid quad lvert rvert degree times
    parallel perp underline widehat {_GREEK}""".split()
)
_TRIGONOMETRIC = frozenset(
    f"\\{name}"
    for name in "sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc".split()  # noqa: SIM905
)
_HYPERBOLIC = frozenset(
    f"\\{name}"
    for name in "sinh cosh tanh coth arcsinh arccosh arctanh arsinh arcosh artanh".split()  # noqa: SIM905
)
_LOGARITHMIC = frozenset((r"\log", r"\ln", r"\lg"))
_ROUNDED = frozenset((r"\lfloor", r"\rfloor", r"\lceil", r"\rceil"))
_COUNTED = frozenset(("!", r"\binom"))
_FAMILIES = (_TRIGONOMETRIC, _HYPERBOLIC, _LOGARITHMIC, _ROUNDED, _COUNTED)
_OF_VARIABLES = frozenset((r"\max", r"\min")).union(*_FAMILIES)  # closed forms, unless of numbers
_DERIVATIVE = re.compile(r"\\frac ?\{ ?(?:d|\\partial)(?![a-zA-Z])[^{}]*\} ?\{ ?(?:d|\\partial) ?[a-zA-Z\\]")
_AT = re.compile(r"\| ?[_^]")  # |_{x=2}: to be put in
_MATRIX = re.compile(r"\\begin\{pmatrix\}((?:(?!\\begin).)*)\\end\{pmatrix\}", re.DOTALL)
_MATRIX_WORK = re.compile(r"\\end\{[a-zA-Z]*matrix\} ?[\^!']|\| ?\\begin|\\begin\{[vV]matrix")
_GREEK_VARIABLE = re.compile(rf"\\(?:{'|'.join(_GREEK.split())})(?![a-zA-Z])")
_NO_VARIABLES = re.compile(r"\\(?:text|begin|end|mathbb|operatorname)\{[^{}]*\}|\\[a-zA-Z]+|[0-9]e(?=[-+0-9])")
_OPERATIONS = 2  # that a constant may have beyond three times those of the reference


def is_final(reference: str, answer: str, approximate: bool = False) -> bool:
    """Whether the answer's clean LaTeX leaves nothing to carry out that the reference's does not leave, too.

    approximate  a decimal reference stands for a value near it, such as `\\pi` for 3.14
    """
    if is_number(reference) and not (approximate and "." in reference):
        return is_number(answer, integer=_is_integer(reference))
    if is_number(answer):
        return True
    entries, others = _entries(reference), _entries(answer)
    if entries and len(entries) == len(others):
        return all(is_final(a, b, approximate) for a, b in zip(entries, others, strict=True))
    if not same_tools(reference, answer):
        return False
    if varies(reference):
        return True
    ours, theirs = work(reference), work(answer)
    arithmetic = 2 * ours.arithmetic + 3 if ours.arithmetic else 0
    return theirs.arithmetic <= arithmetic and theirs.operations <= 3 * ours.operations + _OPERATIONS


def is_final_part(reference: str, part: str) -> bool:
    """Whether a part of an answer, such as the end of an interval, leaves nothing to carry out that the parts of the
    reference (joined by commas) do not leave."""
    if is_number(part):
        return True
    if number(_plain_fraction(part)) is not None:
        return False  # a division to carry out
    return same_tools(reference, part) and (not work(part).arithmetic or bool(work(reference).arithmetic))


def is_number(latex: str, integer: bool = False) -> bool:
    r"""Whether it is a number as one writes results: `-5`, `0.5`, `\frac{2}{4}`, `1\frac{1}{2}`, `3\cdot 10^8`.

    A fraction that is an integer is a division to carry out; `integer`: any fraction is.
    """
    text = latex.strip()
    for _ in range(3):  # -(5), ((5))
        around = _AROUND.fullmatch(text)
        inside = around and (around["round"] if around["round"] is not None else around["curly"]).strip()
        if around is None or not inside or (around["sign"].strip() and inside[0] in "+-"):
            break
        if _MIXED_ONLY.fullmatch(text):
            break
        text = around["sign"].strip() + inside
    match = _NUMBER.fullmatch(text)
    if match is None:
        return False
    if match["fraction"] is None:
        return True
    value = number(_plain_fraction(text))
    return not integer and (value is None or value.denominator != 1)


def same_tools(reference: str, answer: str) -> bool:
    """Whether each kind of work that the answer leaves to do is one that the reference leaves, too."""
    for pattern in (_DERIVATIVE, _AT, _MATRIX_WORK):
        if pattern.search(answer) and not pattern.search(reference):
            return False
    if answer.count(r"\begin{") > max(1, reference.count(r"\begin{")):
        return False
    ours = _tools(reference)
    for tool in _tools(answer) - ours:
        alike = any(tool in family and ours & family for family in _FAMILIES)
        if not alike and not (tool in _OF_VARIABLES and varies(reference) and _of_variables(tool, answer)):
            return False
    return True


def varies(latex: str) -> bool:
    """Whether variables seem to occur: letters other than e and i, Greek ones other than pi."""
    if _GREEK_VARIABLE.search(latex):
        return True
    return any(letter not in "ei" for letter in re.findall("[a-zA-Z]", _NO_VARIABLES.sub(" ", latex)))


def _is_integer(latex: str) -> bool:
    value = number(latex)
    return value is not None and value.denominator == 1


def _plain_fraction(text: str) -> str:
    """Without brackets, spaces and commas, except the braces of `\frac`."""
    plain = re.sub(r"[ (),]", "", text)
    return plain if r"\frac" in plain else re.sub("[{}]", "", plain)


def _entries(latex: str) -> list[str]:
    """The entries of a matrix that is written out."""
    matrix = _MATRIX.fullmatch(latex.strip())
    return [entry.strip() for entry in re.split(r"&|\\\\", matrix[1])] if matrix else []


def _tools(latex: str) -> set[str]:
    found = {command for command in _COMMAND.findall(latex) if command not in _FREE}
    found |= {f"operatorname {name}" for name in re.findall(r"\\operatorname ?\{([^{}]*)\}", latex)}
    if "!" in latex:
        found.add("!")
    return found


def _of_variables(tool: str, latex: str) -> bool:
    """Whether a variable stands right behind each occurrence of the command, or in front of each `!`."""
    if tool == "!":
        return all(varies(_before(latex[: match.start()])) for match in re.finditer("!", latex))
    begins = [match.end() for match in re.finditer(re.escape(tool) + "(?![a-zA-Z])", latex)]
    if tool in (r"\rfloor", r"\rceil"):  # it is the opening one that is looked at
        return True
    return all(varies(_behind(latex[begin:])) for begin in begins)


def _before(text: str) -> str:
    text = text.rstrip()
    if not text.endswith((")", "}")):
        return text[-1:]
    depth = 0
    for position in range(len(text) - 1, -1, -1):
        depth += (text[position] in ")}") - (text[position] in "({")
        if depth == 0:
            return text[position:]
    return text


def _behind(text: str) -> str:
    """The argument of a command: the brackets behind it, or all up to the next sign, comma or closing bracket."""
    text = re.sub(r"^ ?(?:[\^_] ?(?:\{[^{}]*\}|[^{} ]))+", "", text).lstrip()
    bracketed, depth = text.startswith(("(", "{", "[")), 0
    for position, character in enumerate(text):
        ends = character not in "({[" if bracketed else character in "+-=,)]}" or text.startswith(r"\r", position)
        if depth == 0 and position and ends:
            return text[:position]
        depth += (character in "({[") - (character in ")}]")
    return text
