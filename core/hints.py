"""What was probably meant by a name that is not known."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def nearest(wrong: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The known name that is most like the wrong one; None if none reaches the cutoff, 1 being the same."""
    return next(iter(get_close_matches(wrong, list(known), n=1, cutoff=cutoff)), None)


def did_you_mean(wrong: str, known: Iterable[str], around: str = " ({})") -> str:
    """`around` with "did you mean 'x'?" in it, or nothing if no known name is near."""
    near = nearest(wrong, known)
    return around.format(f"did you mean {near!r}?") if near else ""


def refuse_unknown(given: Iterable[str], known: Collection[str], where: str) -> None:
    """ValueError naming the first of the `given` keys of the record at `where` that is not `known`."""
    for key in given:
        if key not in known:
            hint = did_you_mean(key, known)
            raise ValueError(f"{where}.{key}: unknown{hint}; only {', '.join(known)} may stand here")
