"""The constraints that a task may name, and the arguments each of them needs.

The 25 ids of IFEval and the 58 of IFBench share no name, so they form one namespace and are written as in the public
data. The package's own checkers make up an argument that is missing or that they do not understand, at random: here
such a constraint is refused when the data set is read. This module imports none of the checkers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal, NotRequired, TypedDict

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from reprise.core.errors import UserError
from reprise.core.hints import did_you_mean, refuse_unknown
from reprise.core.types import Task


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint of a task: the checker's id and all its arguments."""

    id: str
    kwargs: dict[str, object]


class Followed(TypedDict):
    """Whether the text follows one constraint; `error` names the exception of a checker that raised."""

    strict: bool
    loose: bool
    error: NotRequired[str]


def _integral(value: object) -> object:
    """Data sets whose columns mix kinds hold whole numbers as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _one_character(text: str) -> str:
    if len(text) != 1 or len(text.lower()) != 1 or text.isspace():
        raise ValueError("it must be one character")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it must not be blank")
    return text


Kind = TypeAdapter[object]
_Strict = Field(strict=True)
_Text = Annotated[str, _Strict, AfterValidator(_not_blank)]
COUNT = Kind(Annotated[int, BeforeValidator(_integral), Field(strict=True, ge=0)])
ORDINAL = Kind(Annotated[int, BeforeValidator(_integral), Field(strict=True, ge=1)])
COORDINATING = Kind(Annotated[int, BeforeValidator(_integral), Field(strict=True, ge=1, le=7)])
LISTED_NAMES = Kind(Annotated[int, BeforeValidator(_integral), Field(strict=True, ge=1, le=50)])
PERCENT = Kind(Annotated[int, BeforeValidator(_integral), Field(strict=True, ge=0, le=100)])
TEXT = Kind(_Text)
TEXTS = Kind(Annotated[list[_Text], Field(strict=True, min_length=1)])
LETTER = Kind(Annotated[str, _Strict, AfterValidator(_one_character)])
RELATION = Kind(Literal["less than", "at least"])
LANGUAGE = Kind(
    Literal[
        "ar", "bg", "bn", "de", "en", "es", "fa", "fi", "fr", "gu", "he", "hi", "it", "ja", "kn", "ko", "ml", "mr",
        "ne", "pa", "pl", "pt", "ru", "sw", "ta", "te", "th", "uk", "ur", "vi",
    ]
)  # fmt: skip

Kinds = Mapping[str, Kind]  # by argument
_NONE: Kinds = {}

IFEVAL: Mapping[str, Kinds] = {
    "keywords:existence": {"keywords": TEXTS},
    "keywords:frequency": {"keyword": TEXT, "frequency": ORDINAL, "relation": RELATION},
    "keywords:forbidden_words": {"forbidden_words": TEXTS},
    "keywords:letter_frequency": {"letter": LETTER, "let_frequency": ORDINAL, "let_relation": RELATION},
    "language:response_language": {"language": LANGUAGE},
    "length_constraints:number_sentences": {"num_sentences": ORDINAL, "relation": RELATION},
    "length_constraints:number_paragraphs": {"num_paragraphs": ORDINAL},
    "length_constraints:number_words": {"num_words": ORDINAL, "relation": RELATION},
    "length_constraints:nth_paragraph_first_word": {
        "num_paragraphs": ORDINAL,
        "nth_paragraph": ORDINAL,
        "first_word": TEXT,
    },
    "detectable_content:number_placeholders": {"num_placeholders": ORDINAL},
    "detectable_content:postscript": {"postscript_marker": TEXT},
    "detectable_format:number_bullet_lists": {"num_bullets": COUNT},
    "detectable_format:constrained_response": _NONE,
    "detectable_format:number_highlighted_sections": {"num_highlights": ORDINAL},
    "detectable_format:multiple_sections": {"section_spliter": TEXT, "num_sections": ORDINAL},
    "detectable_format:json_format": _NONE,
    "detectable_format:title": _NONE,
    "combination:two_responses": _NONE,
    "combination:repeat_prompt": {"prompt_to_repeat": TEXT},
    "startend:end_checker": {"end_phrase": TEXT},
    "startend:quotation": _NONE,
    "change_case:capital_word_frequency": {"capital_frequency": ORDINAL, "capital_relation": RELATION},
    "change_case:english_capital": _NONE,
    "change_case:english_lowercase": _NONE,
    "punctuation:no_comma": _NONE,
}

IFBENCH: Mapping[str, Kinds] = {
    "count:word_count_range": {"min_words": COUNT, "max_words": ORDINAL},
    "count:unique_word_count": {"N": ORDINAL},
    "count:conjunctions": {"small_n": COORDINATING},
    "count:person_names": {"N": LISTED_NAMES},
    "count:numbers": {"N": COUNT},
    "count:punctuation": _NONE,
    "count:words_japanese": {"N": ORDINAL},
    "count:pronouns": {"N": ORDINAL},
    "count:keywords_multiple": {f"keyword{n}": TEXT for n in range(1, 6)},
    "ratio:stop_words": {"percentage": PERCENT},
    "ratio:sentence_type": _NONE,
    "ratio:sentence_balance": _NONE,
    "ratio:overlap": {"reference_text": TEXT, "percentage": PERCENT},
    "ratio:sentence_words": _NONE,
    "sentence:alliteration_increment": _NONE,
    "sentence:keyword": {"word": TEXT, "N": ORDINAL},
    "sentence:increment": {"small_n": COUNT},
    "words:alphabet": _NONE,
    "words:vowel": _NONE,
    "words:consonants": _NONE,
    "words:palindrome": _NONE,
    "words:prime_lengths": _NONE,
    "words:start_verb": _NONE,
    "words:repeats": {"small_n": ORDINAL},
    "words:odd_even_syllables": _NONE,
    "words:last_first": _NONE,
    "words:paragraph_last_first": _NONE,
    "words:no_consecutive": _NONE,
    "words:keywords_specific_position": {"keyword": TEXT, "n": ORDINAL, "m": ORDINAL},
    "words:words_position": {"keyword": TEXT},
    "format:parentheses": _NONE,
    "format:quotes": _NONE,
    "format:options": {"options": TEXT},
    "format:newline": _NONE,
    "format:emoji": _NONE,
    "format:line_indent": _NONE,
    "format:quote_unquote": _NONE,
    "format:list": {"sep": TEXT},
    "format:thesis": _NONE,
    "format:sub-bullets": _NONE,
    "format:no_bullets_bullets": _NONE,
    "format:title_case": _NONE,
    "format:output_template": _NONE,
    "format:no_whitespace": _NONE,
    "repeat:repeat_change": {"prompt_to_repeat": TEXT},
    "repeat:repeat_simple": _NONE,
    "repeat:repeat_span": {"prompt_to_repeat": TEXT, "n_start": COUNT, "n_end": COUNT},
    "custom:multiples": _NONE,
    "custom:mcq_count_length": _NONE,
    "custom:reverse_newline": _NONE,
    "custom:word_reverse": _NONE,
    "custom:character_reverse": _NONE,
    "custom:sentence_alphabet": _NONE,
    "custom:european_capitals_sort": _NONE,
    "custom:csv_city": _NONE,
    "custom:csv_special_character": _NONE,
    "custom:csv_quotes": _NONE,
    "custom:date_format_list": _NONE,
}

CONSTRAINTS: Mapping[str, Kinds] = {**IFEVAL, **IFBENCH}

# Pairs of arguments of which the first may not be larger than the second.
_ORDERED = {
    "length_constraints:nth_paragraph_first_word": ("nth_paragraph", "num_paragraphs"),
    "count:word_count_range": ("min_words", "max_words"),
    "repeat:repeat_span": ("n_start", "n_end"),
}

_FORM = (
    '{"constraints": [{"id": "length_constraints:number_words", "kwargs": {"num_words": 50, "relation": "at least"}}]}'
)


def constraints_of(task: Task) -> list[Constraint]:
    """The constraints in `task.answer`. UserError names constraint and argument if they cannot be checked."""
    try:
        return _constraints(json.dumps(task.answer, sort_keys=True))
    except (TypeError, ValueError) as error:
        raise UserError(f"task {task.id!r}: {error}") from error


@lru_cache(maxsize=256)
def _constraints(answer_json: str) -> list[Constraint]:
    """ValueError says what is wrong. Cached, because a task is checked again with each of its answers."""
    answer = json.loads(answer_json)
    if not isinstance(answer, dict) or not isinstance(answer.get("constraints"), list) or not answer["constraints"]:
        raise ValueError(f"answer must hold a list of constraints such as {_FORM}")
    refuse_unknown(answer, ["constraints"], "answer")
    return [_constraint(entry, f"answer.constraints[{n}]") for n, entry in enumerate(answer["constraints"])]


def _constraint(entry: object, where: str) -> Constraint:
    if not isinstance(entry, dict) or "id" not in entry:
        raise ValueError(f'{where} must be an object with "id" and "kwargs", not {entry!r}')
    refuse_unknown(entry, ["id", "kwargs"], where)
    name, given = entry["id"], entry.get("kwargs")
    if not isinstance(name, str) or name not in CONSTRAINTS:
        raise ValueError(f"{where}.id: there is no constraint {name!r}{did_you_mean(str(name), CONSTRAINTS)}")
    if given is not None and not isinstance(given, dict):
        raise ValueError(f"{where}.kwargs must be an object, not {given!r}")
    kwargs = {key: value for key, value in (given or {}).items() if value is not None}
    kinds = CONSTRAINTS[name]
    takes = f"{name} takes {', '.join(kinds) or 'none'}"
    for key in kwargs:
        if key not in kinds:
            raise ValueError(f"{where}.kwargs.{key}: unknown{did_you_mean(key, kinds)}; {takes}")
    for key in kinds:
        if key not in kwargs:
            raise ValueError(f"{where}.kwargs.{key}: missing; {takes}")
    checked = {key: _checked(kinds[key], kwargs[key], f"{where}.kwargs.{key}") for key in kinds}
    numbers = {key: value for key, value in checked.items() if isinstance(value, int)}
    if name in _ORDERED:
        low, high = _ORDERED[name]
        if numbers[low] > numbers[high]:
            raise ValueError(f"{where}.kwargs.{low}: {numbers[low]} is more than {high}, {numbers[high]} ({name})")
    if name == "repeat:repeat_span" and numbers["n_end"] >= (count := len(str(checked["prompt_to_repeat"]).split())):
        raise ValueError(f"{where}.kwargs.n_end: {numbers['n_end']} is no index of its {count} words, counted from 0")
    return Constraint(name, checked)


def _checked(kind: Kind, value: object, where: str) -> object:
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{where}: {error.errors()[0]['msg']}, not {value!r}") from error
