"""Words, sentences and lines as a reader sees them. All functions take linear time."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from reprise.rewards.verifiers.instruction.language import sentence_tokenizer

# Between words: white space, slashes, dashes longer than a hyphen, ellipses. A hyphen or apostrophe is within a word.
_GAPS = re.compile(r"(?:[\s/|\u2012-\u2015\u2026]|--|\.\.)+")
_BLANK_LINES = re.compile(r"\A(?:[^\S\n]*\n)+")
_CLOSERS = "\"'\u201d\u2019\u00bb\u203a)]}*_~` "  # may stand behind the mark that ends a sentence


@lru_cache(maxsize=4096)
def in_word(char: str) -> bool:
    """Whether the character is a letter, a digit, or a mark on one."""
    return unicodedata.category(char)[0] in "LNM"


def bare(token: str) -> str:
    """A token without the punctuation stuck to its ends; empty if it is nothing else."""
    first, last = 0, len(token)
    while first < last and not in_word(token[first]):
        first += 1
    while last > first and not in_word(token[last - 1]):
        last -= 1
    return token[first:last]


def tokens(text: str) -> list[str]:
    """The words with whatever sticks to them; what is only punctuation is no word."""
    return [token for token in _GAPS.split(text) if has_words(token)]


def words(text: str) -> list[str]:
    """The words, without the punctuation around them."""
    return [bare(token) for token in tokens(text)]


def only_letters(word: str) -> str:
    """A word without the punctuation inside it: `don't` has four characters."""
    return "".join(filter(in_word, word))


def trimmed(text: str) -> str:
    """The text without blank lines before it and white space after it; how far its first line is indented stays."""
    return _BLANK_LINES.sub("", text).rstrip()


def has_words(text: str) -> bool:
    """Whether there is any letter or digit."""
    return any(map(str.isalnum, text))


@lru_cache(maxsize=16)
def sentences(text: str) -> tuple[str, ...]:
    """The sentences; `1.` and what else holds no letter is none. Cached, because several constraints ask for them."""
    found = sentence_tokenizer().tokenize(text)
    return tuple(each for each in found if any(char.isalpha() for char in each))


def ending(sentence: str) -> str:
    """The mark that ends a sentence, before closing quotes and brackets; empty if there is none."""
    return sentence.rstrip().rstrip(_CLOSERS)[-1:]


def whole(keyword: str) -> re.Pattern[str]:
    """A pattern for a keyword that stands by itself, whatever its case: `eat` is not in `great`."""
    return re.compile(rf"(?<!\w){re.escape(keyword.strip())}(?!\w)", re.IGNORECASE)


def is_keyword(token: str, keyword: str) -> bool:
    """Whether a token is the keyword, whatever its case and the punctuation around it."""
    return bare(token).casefold() == bare(keyword).casefold() and keyword.strip().casefold() in token.casefold()


def plain(text: str) -> str:
    """The text in ASCII, without accents."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
