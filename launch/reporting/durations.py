"""How long something took, in words."""

from __future__ import annotations

import math


def duration(seconds: float) -> str:
    """`47s`, `3m20s`, `2h05m`; `–` if not known."""
    if not math.isfinite(seconds):
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    return f"{whole // 60}m{whole % 60:02}s" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02}m"
