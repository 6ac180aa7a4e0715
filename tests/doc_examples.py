"""The examples of docs/extending.md."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def examples() -> dict[str, str]:
    """The files that extending.md has its reader write, by their names."""
    text = (ROOT / "docs" / "extending.md").read_text()
    return {m[1]: m[2] for m in re.finditer(r"^```\w+ (\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)}
