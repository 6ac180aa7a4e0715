"""IFBench's `count`, `ratio` and `sentence` constraints that are checked here."""

from __future__ import annotations

import re
from itertools import pairwise

from reprise.rewards.verifiers.instruction.own.reading import ending, sentences, whole, words

_CONJUNCTIONS = frozenset({"and", "but", "for", "nor", "or", "so", "yet"})
_PEOPLE = """Emma Liam Sophia Jackson Olivia Noah Ava Lucas Isabella Mason Mia Ethan Charlotte Alexander Amelia Benjamin
    Harper Leo Zoe Daniel Chloe Samuel Lily Matthew Grace Owen Abigail Gabriel Ella Jacob Scarlett Nathan Victoria
    Elijah Layla Nicholas Audrey David Hannah Christopher Penelope Thomas Nora Andrew Aria Joseph Claire Ryan Stella
    Jonathan""".split()  # noqa: SIM905
_PRONOUNS = frozenset(
    """i me my mine myself we us our ours ourselves ourself you your yours yourself yourselves he him his himself she
    her hers herself it its itself they them their theirs themselves themself one oneself this that these those who
    whom whose which what whoever whomever whichever whatever anybody anyone anything everybody everyone everything
    nobody nothing somebody someone something each either neither both all some any none another other others few
    many several such""".split()  # noqa: SIM905
)
_NUMBER = re.compile(r"(?<!\d)(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)*")
_JAPANESE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


def unique_word_count(text: str, *, N: int) -> bool:
    """At least N unique words. A lone dash is no word."""
    return len({word.casefold() for word in words(text)}) >= N


def conjunctions(text: str, *, small_n: int) -> bool:
    """At least small_n *different* coordinating conjunctions: `and`, `And` and `and,` are one."""
    return len({word.casefold() for word in words(text)} & _CONJUNCTIONS) >= small_n


def person_names(text: str, *, N: int) -> bool:
    """At least N different names of the list: Mia is not in Miami."""
    found = set(re.findall(r"\w+", text))
    return sum(name in found for name in _PEOPLE) >= N


def numbers(text: str, *, N: int) -> bool:
    """Exactly N numbers: 1,000.50 is one, `1, 2` and `1,2` and `1-2` are two."""
    return len(_NUMBER.findall(text)) == N


def words_japanese(text: str, *, N: int) -> bool:
    """Every N-th word in Japanese, a number counting as in any language; there must be one that is Japanese."""
    every = words(text)[N - 1 :: N]
    return any(map(_JAPANESE.search, every)) and all(word.isdigit() or _JAPANESE.search(word) for word in every)


def pronouns(text: str, *, N: int) -> bool:
    """At least N pronouns, also in `I'm`, and of all kinds: personal, demonstrative, relative, indefinite."""
    heads = (re.split("['\u2019]", word.casefold(), maxsplit=1)[0] for word in words(text))
    return sum(head in _PRONOUNS for head in heads) >= N


def keywords_multiple(text: str, *, keyword1: str, keyword2: str, keyword3: str, keyword4: str, keyword5: str) -> bool:
    """The keywords once, twice, three, five and seven times: `art` is not in `start`."""
    wanted = zip((keyword1, keyword2, keyword3, keyword4, keyword5), (1, 2, 3, 5, 7), strict=True)
    return all(len(whole(keyword).findall(text)) == count for keyword, count in wanted)


def sentence_type(text: str) -> bool:
    """Two declarative sentences to one interrogative; of nothing there is no ratio."""
    ends = [ending(sentence) for sentence in sentences(text)]
    return ends.count(".") == 2 * ends.count("?") > 0


def sentence_balance(text: str) -> bool:
    """As many declarative as interrogative and exclamatory sentences; of nothing there is no balance."""
    ends = [ending(sentence) for sentence in sentences(text)]
    return ends.count(".") == ends.count("?") == ends.count("!") > 0


def sentence_words(text: str) -> bool:
    """Three sentences of the same number of characters, and all words different."""
    found = sentences(text)
    every = [word.casefold() for word in words(text)]
    return len(found) == 3 and len({len(each.strip()) for each in found}) == 1 and len(set(every)) == len(every)


def alliteration_increment(text: str) -> bool:
    """Each sentence has a longer sequence of consecutive alliterative words than the one before; there are two."""
    lengths = [_longest_alliteration(sentence) for sentence in sentences(text)]
    return len(lengths) > 1 and all(one < other for one, other in pairwise(lengths))


def _longest_alliteration(sentence: str) -> int:
    """The most words in a row that begin alike; 0 if there are no two."""
    longest = length = 1
    initials = [word[0] for word in words(sentence.casefold())]
    for one, other in pairwise(initials):
        length = length + 1 if one == other else 1
        longest = max(longest, length)
    return longest if longest > 1 else 0


def keyword(text: str, *, word: str, N: int) -> bool:
    """The N-th sentence holds the keyword: `eat` is not in `great`."""
    found = sentences(text)
    return len(found) >= N and whole(word).search(found[N - 1]) is not None


def increment(text: str, *, small_n: int) -> bool:
    """Each sentence has exactly small_n words more than the one before; there are two."""
    lengths = [len(words(sentence)) for sentence in sentences(text)]
    return len(lengths) > 1 and all(other - one == small_n for one, other in pairwise(lengths))
