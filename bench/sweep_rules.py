"""Why the maths verifier judges some cases of Math-Verify's suite otherwise than the suite expects.

Cases are named by file, test function and index: nothing of theirs stands here. docs/verifiers.md has the table.
"""

from __future__ import annotations

_NUMBERS = "test_all.test_number_extraction"
_NOTATION = "test_all.test_latex_notation"
_PERCENT = "test_all.test_percent_notation"
_MATH = "test_all.test_latex_notation_math"
_RELATIONS = "test_all.test_relations_math"
_MATRICES = "test_all.test_matrix_extraction"
_COMPLEX = "test_all.test_complex_math_expressions"
_EDGE = "test_all.test_math_extraction_edge_cases"
_MORE = "test_all.test_math_extraction_additional_cases"
_SETS = "test_all.test_set_rel_assymetry"
_BOXED = "test_boxed.test_boxed"
_NUMINA = "test_numina_cases.test_numina_cases"
_THOUGHTS = "test_open_thoughts.test_open_thoughts"
_STRICT = "test_strict.test_strict_variable_comparison"
_LISTS = "test_yujianll.test_string_extraction"

# name: (the rule in words, {file.function: indices of its parametrised cases, from 0})
RULES: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {
    "free text": (
        "the answer is what the box holds; nothing is searched for in prose",
        {_NUMBERS: (7, 13, 14, 15, 16), _EDGE: (0, 1, 6), _MORE: (1, 2, 4, 8)},
    ),
    "last box": (
        "the last box counts, and what stands beside it is not in it: 28 is not 28%",
        {_PERCENT: (5,), _EDGE: (13,), _MORE: (17,)},
    ),
    "exact": (
        "numbers are exact unless the task states a tolerance: 0.0833 is not 1/12",
        {_COMPLEX: (0, 7, 13)},
    ),
    "rounding": (
        "what stands behind an \\approx must be the rounding of a value that stands before it",
        {_RELATIONS: (13, 15, 16)},
    ),
    "true chains": (
        "a chain of equations must be true: 5+5+1 = 7 = 11 states nothing",
        {_RELATIONS: (10, 12, 21, 26, 27)},
    ),
    "left to do": (
        "nothing is left to carry out or to solve that the reference does not leave: 9+1 for 10, -x > -1 for x < 1",
        {_NOTATION: (4, 11), _RELATIONS: (17, 19), _MATRICES: (5, 6)},
    ),
    "decimal comma": (
        "a comma is no decimal point: 1000,99 is two numbers",
        {_NUMBERS: (5, 6, 17)},
    ),
    "structure": (
        "brackets and counts are part of an answer: (1,3) is not {1,3}, an item given twice is one too many",
        {_MORE: (7,), _NUMINA: (0, 19)},
    ),
    "several boxes": (
        'boxes are one answer if no words but "and" and "or" stand between them, and if anything does',
        {_MORE: (27,), _THOUGHTS: (14, 27)},
    ),
    "their options": (
        "what is an option there is settled here: f(x) is never f(y), an interval always the inequality that says it",
        {_STRICT: (1,), _SETS: (3,)},
    ),
    "no solving": (
        "nothing is solved: 1 ≤ |z| ≤ 3/2 is not compared with intervals",
        {_NUMINA: (3,)},
    ),
    "broken text": (
        "a box escaped twice or left open, a stray dollar: nothing is there, or the reference is refused when loaded",
        {_NOTATION: (9,), _MATH: (5,), _COMPLEX: (4,), _BOXED: (0, 1, 2), _NUMINA: (24,)},
    ),
    "their slip": (
        "the suite expects what is not so: 1 + 1/e for 1 - 1/e",
        {_LISTS: (9,)},
    ),
}
