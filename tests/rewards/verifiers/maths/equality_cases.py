r"""What equals what: (reference, answer) pairs under the default rules, and under each rule that a task may state.

Each topic has a file `cases_<topic>.py` with its EQUAL and UNEQUAL pairs.
"""

from __future__ import annotations

import cases_expressions
import cases_numbers
import cases_relations
import cases_structure
import cases_values
import cases_words
from cases_rules import BY_RULE

__all__ = ["BY_RULE", "EQUAL", "UNEQUAL"]

_TOPICS = (cases_numbers, cases_expressions, cases_relations, cases_structure, cases_words, cases_values)

EQUAL: list[tuple[str, str]] = [pair for topic in _TOPICS for pair in topic.EQUAL]
UNEQUAL: list[tuple[str, str]] = [pair for topic in _TOPICS for pair in topic.UNEQUAL]
