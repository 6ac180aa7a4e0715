"""What decides whether a text follows a constraint: a function of `instruction.own`, or one of the checkers of
the package if-verifiable, loaded so that they neither download nor guess. For worker processes only.

Where the package's checkers that are used do otherwise than in the package:
- `nltk` is the stand-in of `instruction.language`,
- langdetect draws at random: it is seeded. A text whose language cannot be found ("12345") follows every language
  constraint of the original; here it follows none, or it would be a cheap way to a reward,
- `keywords:letter_frequency` counts any character, where the original replaces one that is no letter by a random
  letter,
- keywords, forbidden words and section names are taken literally, where the original reads them as regular
  expressions: there "C++" is found in every text with a C, and the forbidden "U.S." in none.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import ModuleType, SimpleNamespace
from typing import Protocol

import langdetect

from reprise.rewards.parsing import without_invisible
from reprise.rewards.verifiers.instruction import language
from reprise.rewards.verifiers.instruction.own import OWN

_PACKAGE = "if_verifiable"


class Checker(Protocol):
    """What the package's checkers have in common."""

    _letter: str  # of `keywords:letter_frequency`

    def __init__(self, instruction_id: str) -> None: ...

    def build_description(self, **kwargs: object) -> object: ...

    def check_following(self, value: str) -> bool: ...


def checker(name: str, kwargs: Mapping[str, object]) -> Callable[[str], bool]:
    """Whether a text follows the constraint. The text holds no invisible characters, so its arguments get none."""
    seen = {key: _seen(value) for key, value in kwargs.items()}
    if name in OWN:
        return partial(OWN[name], **seen)
    made = registry()[name](name)
    if name == "keywords:letter_frequency":  # in place of a character that is no letter, `build_description` draws one
        made.build_description(**{**seen, "letter": "a"})
        made._letter = str(seen["letter"]).lower()
    else:
        made.build_description(**_literal(name, seen))
    return made.check_following


def _seen(value: object) -> object:
    if isinstance(value, list):
        return [_seen(each) for each in value]
    return without_invisible(value) if isinstance(value, str) else value


def _literal(name: str, kwargs: Mapping[str, object]) -> Mapping[str, object]:
    """The arguments, where a word that a checker puts into a regular expression matches itself and nothing else."""
    match name, kwargs:
        case "keywords:existence", {"keywords": list(words)}:
            return {**kwargs, "keywords": [re.escape(word) for word in words]}
        case "keywords:frequency", {"keyword": str(word)}:
            return {**kwargs, "keyword": re.escape(word.strip())}
        case "keywords:forbidden_words", {"forbidden_words": list(words)}:
            return {**kwargs, "forbidden_words": [_whole_word(word) for word in words]}
        case "detectable_format:multiple_sections", {"section_spliter": str(word)}:
            return {**kwargs, "section_spliter": re.escape(word.strip())}
    return kwargs


def _whole_word(word: str) -> str:
    r"""A pattern for the word on its own, also between the two `\b` that the checker adds: they find no place to match
    beside a word that begins or ends with a punctuation mark, so both stand in branches that never match."""
    return rf"(?!)|(?<!\w){re.escape(word)}(?!\w)|(?!)"


@lru_cache(maxsize=1)
def registry() -> dict[str, type[Checker]]:
    """Checker classes by constraint id."""
    sys.modules.setdefault(_PACKAGE, _without_its_front_door())
    real, sys.modules["nltk"] = sys.modules["nltk"], language.nltk()
    try:
        ifeval, ifbench = (
            importlib.import_module(f"{_PACKAGE}.{part}.instructions_registry") for part in ("ifeval", "ifbench")
        )
    finally:
        sys.modules["nltk"] = real
    langdetect.DetectorFactory.seed = 0
    sys.modules[f"{_PACKAGE}.ifeval.instructions"].__dict__["langdetect"] = SimpleNamespace(
        detect=_detect, LangDetectException=langdetect.LangDetectException
    )
    return {**ifeval.INSTRUCTION_DICT, **ifbench.INSTRUCTION_DICT}


def _without_its_front_door() -> ModuleType:
    """The package without what its `__init__` imports: a data-set library with Arrow and pandas."""
    spec = importlib.util.find_spec(_PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = ModuleType(_PACKAGE)
    package.__path__ = list(spec.submodule_search_locations)
    return package


def _detect(text: str) -> str:
    try:
        language: str = langdetect.detect(text)
        return language
    except langdetect.LangDetectException:
        return "unknown"
