"""IFBench's `words` constraints: what each word must be like, and where a word must stand.

A text without a word follows none of them, and where words, sentences or lines are compared there must be two.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from itertools import pairwise

import syllapy

from reprise.rewards.verifiers.instruction import language
from reprise.rewards.verifiers.instruction.own.reading import is_keyword, only_letters, plain, sentences, tokens, words

_CLUSTER = re.compile("[bcdfghjklmnpqrstvwxyz]{2}")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_LONGEST = 1000  # characters; no word that is longer has a prime length that anybody would count


def alphabet(text: str) -> bool:
    """Each word starts with the next letter of the alphabet, A after Z."""
    initials = [word[0].casefold() for word in words(text)]
    if len(initials) < 2 or not set(initials) <= set(string.ascii_lowercase):
        return False
    return all((ord(other) - ord(one)) % 26 == 1 for one, other in pairwise(initials))


def vowel(text: str) -> bool:
    """One paragraph whose words have only three types of vowels. A line break ends no paragraph, é is an e."""
    one = len([part for part in _BLANK_LINE.split(text) if part.strip()]) == 1
    letters = plain(text).lower()
    return one and any(map(str.isalpha, letters)) and len(set(letters) & set("aeiou")) <= 3


def consonants(text: str) -> bool:
    """Each word has two consonants together. A dash is no word."""
    found = words(text.lower())
    return bool(found) and all(map(_CLUSTER.search, found))


def palindrome(text: str) -> bool:
    """At least ten palindromes of at least five letters. `12321` is no word; `level,radar` are two."""
    long: list[str] = re.findall(r"[^\W\d_]{5,}", text.lower())
    return sum(word == word[::-1] for word in long) >= 10


def prime_lengths(text: str) -> bool:
    """Each word has a prime number of characters, not counting any kind of punctuation."""
    lengths = [len(only_letters(word)) for word in words(text)]
    return bool(lengths) and all(map(_is_prime, lengths))


def _is_prime(number: int) -> bool:
    return 1 < number <= _LONGEST and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def start_verb(text: str) -> bool:
    """Starts with a verb, also within quotation marks or asterisks."""
    start = next((n for n, char in enumerate(text) if char.isalpha()), len(text))
    tagged = language.pos_tag(language.word_tokenize(text[start : start + 1000]))
    return bool(tagged) and "VB" in tagged[0][1]


def repeats(text: str, *, small_n: int) -> bool:
    """No word more than small_n times, nor as a part of one with hyphens."""
    counts = Counter(words(text.casefold().replace("-", " ")))
    return bool(counts) and max(counts.values()) <= small_n


def odd_even_syllables(text: str) -> bool:
    """Words with odd and even numbers of syllables alternate."""
    parities = [syllapy.count(only_letters(word).lower()) % 2 for word in words(text)]
    return len(parities) > 1 and all(one != other for one, other in pairwise(parities))


def last_first(text: str) -> bool:
    """The last word of each sentence is the first of the next, whatever punctuation sticks to them."""
    found = [words(sentence.casefold()) for sentence in sentences(text)]
    return len(found) > 1 and all(one[-1] == other[0] for one, other in pairwise(found))


def paragraph_last_first(text: str) -> bool:
    """Each paragraph (a line) ends with the word it started with, whatever punctuation sticks to them."""
    found = [words(line.casefold()) for line in text.split("\n")]
    return any(len(each) > 1 for each in found) and all(each[0] == each[-1] for each in found if each)


def no_consecutive(text: str) -> bool:
    """No two consecutive words share the first letter."""
    initials = [word[0] for word in words(text.casefold())]
    return bool(initials) and all(one != other for one, other in pairwise(initials))


def keywords_specific_position(text: str, *, keyword: str, n: int, m: int) -> bool:
    """The m-th word of the n-th sentence is the keyword, whatever its case and punctuation."""
    found = sentences(text)
    return len(found) >= n and _stands_at(tokens(found[n - 1]), m - 1, keyword)


def words_position(text: str, *, keyword: str) -> bool:
    """The second and the second to last word are the keyword. A final full stop is no word."""
    found, length = tokens(text), len(keyword.split())
    return len(found) > length + 1 and all(_stands_at(found, place, keyword) for place in (1, len(found) - 1 - length))


def _stands_at(found: list[str], place: int, keyword: str) -> bool:
    parts = keyword.split()
    there = found[place : place + len(parts)]
    return len(there) == len(parts) and all(map(is_keyword, there, parts))
