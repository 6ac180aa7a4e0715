"""Why the maths verifier judges some cases of Math-Verify's suite otherwise than the suite expects."""

from __future__ import annotations

# name: (the rule in words, {file.function: indices of its parametrised cases, from 0})
RULES: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {}
