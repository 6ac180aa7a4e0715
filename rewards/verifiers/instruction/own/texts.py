"""IFBench's `custom` and `repeat` constraints that are checked here: texts of which the prompt says all."""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

from reprise.rewards.verifiers.instruction.own.reading import has_words, plain, sentences, words

_CAPITALS = """reykjavik helsinki oslo tallinn stockholm riga moscow copenhagen vilnius minsk dublin berlin
    amsterdam warsaw london brussels kyiv prague luxembourg paris vienna bratislava budapest vaduz
    chisinau bern ljubljana zagreb""".split()  # noqa: SIM905
_OTHER_NAMES = {"kiev": "kyiv", "luxembourg city": "luxembourg", "berne": "bern"}
# Countries of Africa with one common name; most of a list of all 54 is among them.
_AFRICA = frozenset(
    """zimbabwe zambia uganda tunisia togo tanzania sudan somalia seychelles senegal rwanda nigeria niger namibia
    mozambique morocco mauritius mauritania mali malawi madagascar libya liberia lesotho kenya ghana gabon ethiopia
    eritrea egypt djibouti comoros chad cameroon burundi botswana benin angola algeria""".split()  # noqa: SIM905
)
_QUESTION = re.compile(r"[\s*#>_-]*Question\b[\s*#_]*\d*[\s*_]*[.):;-]*", re.MULTILINE)
_OPTION = re.compile(r"[\s*_>-]*\(?([A-Ea-e])[.):]\W*\w")
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_LIFE = (date(1769, 8, 15), date(1821, 5, 5))  # Napoleon's


def repeat_change(text: str, *, prompt_to_repeat: str) -> bool:
    """The request word for word, but another word first; other spacing or case does not make it another."""
    asked, given = prompt_to_repeat.split(), text.split()
    changed = bool(given) and has_words(given[0]) and given[0].casefold() != asked[0].casefold()
    return changed and given[1:] == asked[1:]


def repeat_span(text: str, *, prompt_to_repeat: str, n_start: int, n_end: int) -> bool:
    """The words from index n_start to n_end, *including* both, counted from 0 and split by white space."""
    return text.casefold().split() == prompt_to_repeat.casefold().split()[n_start : n_end + 1]


def mcq_count_length(text: str) -> bool:
    """Four questions that start with the label `Question` (a number may follow) and grow, each with options A to E
    once; nothing before them."""
    lines = text.split("\n")
    starts = [n for n, line in enumerate(lines) if _QUESTION.match(line)]
    if len(starts) != 4 or has_words("".join(lines[: starts[0]])):
        return False
    lengths = []
    for start, end in zip(starts, [*starts[1:], len(lines)]):
        question = [_QUESTION.sub("", lines[start], count=1), *lines[start + 1 : end]]
        options = [(n, match[1].lower()) for n, line in enumerate(question) if (match := _OPTION.match(line))]
        if sorted(letter for _, letter in options) != list("abcde"):
            return False
        lengths.append(len(" ".join(question[: options[0][0]]).strip()))
    return all(one < other for one, other in zip([0, *lengths], lengths))


def reverse_newline(text: str) -> bool:
    """Countries of Africa from Zimbabwe on, each on a new line, in reverse alphabetical order: at least 52 lines, all
    different, most of them names that have no other spelling."""
    lines = [plain(" ".join(words(line))).casefold() for line in text.split("\n") if has_words(line)]
    start = next((n for n, line in enumerate(lines) if "zimbabwe" in line), len(lines))
    named = lines[start:]
    known = sum(line in _AFRICA for line in named)
    return len(named) >= 52 and known >= len(_AFRICA) - 4 and named == sorted(set(named), reverse=True)


def word_reverse(text: str) -> bool:
    """A sentence about the bald eagle, its words in reverse order."""
    given = words(text.casefold())
    return len(given) > 2 and "bald eagle" in " ".join(given[::-1]) and "bald eagle" not in " ".join(given)


def character_reverse(text: str) -> bool:
    """A sentence about the bald eagle, its letters in reverse order, and not as they should be besides."""
    return "elgae dlab" in text.casefold() and "bald eagle" not in text.casefold()


def sentence_alphabet(text: str) -> bool:
    """26 sentences whose first words start with the letters of the alphabet, also within quotation marks."""
    return [words(sentence)[0][0].casefold() for sentence in sentences(text)] == list("abcdefghijklmnopqrstuvwxyz")


def european_capitals_sort(text: str) -> bool:
    """The capitals north of 45 degrees from north to south, separated by commas. Kyiv (50.45) is one of them."""
    given = [" ".join(words(plain(name).casefold())) for name in text.split(",") if has_words(name)]
    return [_OTHER_NAMES.get(name, name) for name in given] == _CAPITALS


def csv_city(text: str) -> bool:
    """Comma-delimited, the columns as asked for, seven rows, no field empty. A blank line is no row."""
    return _table(read_fields(text, ","), ["ID", "Country", "City", "Year", "Count"], 7)


def csv_special_character(text: str) -> bool:
    """Fourteen rows, all of five fields, one field in double quotes with a special character in it."""
    rows = read_fields(text, ",")
    special = any(field.quoted and re.search(r"[^\w\s]", field.text) for row in rows[1:] for field in row)
    return special and _table(rows, ["ProductID", "Category", "Brand", "Price", "Stock"], 14)


def csv_quotes(text: str) -> bool:
    """Tab-delimited, three rows, each single field in double quotes."""
    rows = read_fields(text, "\t")
    quoted = all(field.quoted for row in rows for field in row)
    return quoted and _table(rows, ["StudentID", "Subject", "Grade", "Semester", "Score"], 3)


class Field(NamedTuple):
    text: str
    quoted: bool


def read_fields(text: str, delimiter: str) -> list[list[Field]]:
    """The rows of a CSV text that are not blank. Within double quotes may stand delimiters, line breaks and `""`."""
    quotes_or_rest = (
        rf'[^\S\n{delimiter}]*(?:"((?:[^"]|"")*)"[^\S\n{delimiter}]*|([^{delimiter}\n]*))({delimiter}|\n|\Z)'
    )
    rows: list[list[Field]] = [[]]
    place, pattern = 0, re.compile(quotes_or_rest)
    while place <= len(text):
        match = pattern.match(text, place)
        if match is None:  # something stands behind a closing quotation mark
            return []
        quoted = match[1] is not None
        rows[-1].append(Field((match[1] if quoted else match[2]).strip(), quoted))
        if match[3] == "\n":
            rows.append([])
        if not match[3]:
            break
        place = match.end()
    return [row for row in rows if any(field.text or field.quoted for field in row)]


def _table(rows: list[list[Field]], header: list[str], count: int) -> bool:
    whole = len(rows) == count + 1 and [field.text for field in rows[0]] == header
    return whole and all(len(row) == len(header) and all(field.text for field in row) for row in rows)


def date_format_list(text: str) -> bool:
    """Dates of Napoleon's life as YYYY-MM-DD, at least two and different, separated by commas; a final full stop is
    punctuation. There is no month 00."""
    parts = [part.strip() for part in text.strip().removesuffix(".").split(",")]
    try:
        given = [date(*map(int, match.groups())) if (match := _DATE.fullmatch(part)) else None for part in parts]
    except ValueError:
        return False
    return 1 < len(given) == len(set(given)) and all(day and _LIFE[0] <= day <= _LIFE[1] for day in given)
