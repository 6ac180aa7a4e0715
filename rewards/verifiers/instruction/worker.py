"""What an instruction worker process does: which constraints does a text follow? Only `rewards.workers` runs this."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from reprise.rewards.parsing import has_visible
from reprise.rewards.verifiers.instruction.checkers import checker
from reprise.rewards.verifiers.instruction.constraints import Followed
from reprise.rewards.verifiers.instruction.own.reading import trimmed
from reprise.rewards.workers.requests import unpack

_INDENTED = "format:line_indent"  # the one constraint for which it matters how far the first line is indented


def handle(packed: str) -> list[Followed]:
    """Packed `{"text": str, "constraints": [[id, kwargs]]}` -> what is said of each. One that raises says no."""
    request = unpack(packed)
    random.seed(0)  # nothing is drawn when all arguments are there; if a checker draws after all, then always the same
    variants = loose_variants(request["text"])
    return [_follows(name, kwargs, variants) for name, kwargs in request["constraints"]]


def loose_variants(text: str) -> list[str]:
    """IFEval's eight variants without repetitions, the text itself first.

    As it is, without its first line, without its last, without both; each with and without asterisks.
    """
    lines = text.split("\n")
    shortened = [trimmed("\n".join(part)) for part in (lines[1:], lines[:-1], lines[1:-1])]
    bodies = [trimmed(text), *shortened]
    return list(dict.fromkeys([*bodies, *(body.replace("*", "") for body in bodies)]))


def _follows(name: str, kwargs: Mapping[str, object], variants: list[str]) -> Followed:
    follows = checker(name, kwargs)  # outside of what follows: what it raises is not the text's doing
    strict, error = _ask(follows, name, variants[0])
    loose = strict or any(_ask(follows, name, variant)[0] for variant in variants[1:])
    return {"strict": strict, "loose": loose, "error": error} if error else {"strict": strict, "loose": loose}


def _ask(follows: Callable[[str], bool], name: str, text: str) -> tuple[bool, str]:
    text = text if name == _INDENTED else text.strip()
    if not has_visible(text):
        return False, ""
    try:
        return bool(follows(text)), ""
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the checkers index into words and lines that a text may not have
        return False, type(error).__name__
