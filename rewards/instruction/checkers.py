"""The checkers of the package if-verifiable, loaded so that they neither download nor guess. For worker processes only.

Where they do otherwise than their package:
- `nltk` is the stand-in of `rewards.instruction.language`,
- langdetect draws at random: it is seeded. A text whose language cannot be told ("12345") follows every language
  constraint of the original; here it follows none, or it would be a cheap way to a reward,
- `keywords:letter_frequency` counts any character, where the original replaces one that is no letter by a random
  letter, and `repeat:repeat_span` may start at 0, where it draws a random start,
- keywords, forbidden words, section names and postscript markers are taken literally, where the original reads them as
  regular expressions: there "C++" is found in every text with a C, and the forbidden "U.S." in none.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import ModuleType, SimpleNamespace
from typing import Any

import langdetect

from rewards.instruction import language

_PACKAGE = "if_verifiable"

# Attributes of a checker that get the task's argument after the package has read another, harmless one.
_PINNED: Mapping[str, Sequence[tuple[str, str, Any]]] = {
    "keywords:letter_frequency": [("letter", "_letter", "a")],
    "repeat:repeat_span": [("n_start", "_n_start", 1)],
}


def checker(name: str, kwargs: Mapping[str, Any]) -> Any:
    """The checker of a constraint; its `check_following(text)` says whether the text follows it."""
    pinned = _PINNED.get(name, [])
    made = registry()[name](name)
    made.build_description(**_literal(name, {**kwargs, **{key: harmless for key, _, harmless in pinned}}))
    for key, attribute, _ in pinned:
        value = kwargs[key]
        setattr(made, attribute, value.lower() if isinstance(value, str) else value)
    return made


def _literal(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, where a word that a checker puts into a regular expression matches itself and nothing else."""
    match name:
        case "keywords:existence":
            return {**kwargs, "keywords": [re.escape(word) for word in kwargs["keywords"]]}
        case "keywords:frequency":
            return {**kwargs, "keyword": re.escape(kwargs["keyword"].strip())}
        case "keywords:forbidden_words":
            return {**kwargs, "forbidden_words": [_whole_word(word) for word in kwargs["forbidden_words"]]}
        case "detectable_format:multiple_sections":
            return {**kwargs, "section_spliter": re.escape(kwargs["section_spliter"].strip())}
        case "detectable_content:postscript" if kwargs["postscript_marker"].strip() not in ("P.S.", "P.P.S"):
            return {**kwargs, "postscript_marker": re.escape(kwargs["postscript_marker"].strip())}
    return dict(kwargs)


def _whole_word(word: str) -> str:
    r"""A pattern for the word on its own, also between the two `\b` that the checker adds: they find no place to match
    beside a word that begins or ends with a punctuation mark, so both stand in branches that never match."""
    return rf"(?!)|(?<!\w){re.escape(word)}(?!\w)|(?!)"


@lru_cache(maxsize=1)
def registry() -> dict[str, Any]:
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
        return langdetect.detect(text)
    except langdetect.LangDetectException:
        return "unknown"
