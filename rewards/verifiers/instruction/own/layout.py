"""IFBench's `format` constraints that are checked here."""

from __future__ import annotations

import re
from itertools import pairwise

import emoji

from reprise.rewards.verifiers.instruction.language import sentence_tokenizer
from reprise.rewards.verifiers.instruction.own.reading import bare, ending, has_words, in_word, sentences, words

_PAIRS = {")": "(", "]": "[", "}": "{"}
_CURLY = str.maketrans("\u201c\u201d\u2018\u2019", "\"\"''")
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_BULLET = re.compile(r"\s*\*(?:\s+\S|[^*\s][^*]*\Z)")  # `*so*` and `**so**` are words with stress
_SUB_BULLET = re.compile(r"\s*-\s*[^\s-]")
_LETTERED = re.compile(r"\W*[aA]\W*[bB]\W*[cC]\W*")
_ITALICS = re.compile(r"<(i|em)>", re.IGNORECASE)
_MINOR = frozenset(
    """a an the and but or nor for so yet as at by in of off on per to up via vs from into like near
    onto out over past than with about above across after against along among around before behind
    below beneath beside between beyond down during except inside outside since through throughout
    toward towards under until upon within without if""".split()  # noqa: SIM905
)
_LABELS = ("My Answer:", "My Conclusion:", "Future Outlook:")
_UNFILLED = frozenset({"answer", "conclusion", "outlook"})


def parentheses(text: str) -> bool:
    """Brackets nested five deep, and each of the five closed by its own kind."""
    heights: list[tuple[str, int]] = []  # the open brackets, each with the height of what was closed within it
    for char in text:
        if char in "([{":
            heights.append((char, 0))
        elif char in _PAIRS:
            if not heights or heights[-1][0] != _PAIRS[char]:
                heights = []
                continue
            height = heights.pop()[1] + 1
            if height >= 5:
                return True
            if heights:
                heights[-1] = (heights[-1][0], max(heights[-1][1], height))
    return False


def quotes(text: str) -> bool:
    """Quotes three deep, double and single in turn, straight or curly, the innermost around a word. The apostrophe of
    `don't` is no quotation mark."""
    marks: list[tuple[str, int, int]] = []  # each open mark, its place, the height of what was closed within it
    text = _APOSTROPHE.sub("", text.translate(_CURLY))
    for place, char in enumerate(text):
        if char not in "\"'":
            continue
        if not marks or marks[-1][0] != char:
            marks.append((char, place, 0))
            continue
        _, start, within = marks.pop()
        height = within + 1 if within or has_words(text[start:place]) else 0
        if height >= 3:
            return True
        if marks:
            marks[-1] = (*marks[-1][:2], max(marks[-1][2], height))
    return False


def options(text: str, *, options: str) -> bool:
    """One of the options and nothing else. They are separated by a slash, by commas, or by `or` as a word."""
    parts = re.split("/", options) if "/" in options else re.split(r"\s*,\s*(?:or\s+)?|\s+or\s+", options)
    offered = [part.strip() for part in parts if has_words(part)]
    if _LETTERED.match(options):  # a), b), c): as they stand
        return text.strip() in offered
    text, *offered = (bare(each.translate(_CURLY)).casefold() for each in (text, *offered))
    return text in offered


def newline(text: str) -> bool:
    """Each word on a new line."""
    counts = [len(words(line)) for line in text.split("\n")]
    return max(counts) == 1


def emoji_at_ends(text: str) -> bool:
    """An emoji at the end of every sentence, before or after its full stop."""
    found = emoji.emoji_list(text)
    starts, ends = {each["match_start"] for each in found}, {each["match_end"] for each in found}
    spans = list(sentence_tokenizer().span_tokenize(text))
    if not any(map(str.isalpha, text)):
        return False  # no sentence
    for n, (start, end) in enumerate(spans):
        if not any(char.isalpha() for char in text[start:end]):
            continue  # an emoji by itself, or the number of a list's item
        while end > start and end not in ends and not in_word(text[end - 1]):
            end -= 1
        if end not in ends and not (n + 1 < len(spans) and spans[n + 1][0] in starts):
            return False
    return bool(found)


def line_indent(text: str) -> bool:
    """Each line is indented more than the one before. Blank lines are layout."""
    lines = [line.expandtabs() for line in text.split("\n") if line.strip()]
    indents = [len(line) - len(line.lstrip()) for line in lines]
    return len(indents) > 1 and all(one < other for one, other in pairwise(indents))


def quote_unquote(text: str) -> bool:
    """Every quoted phrase is followed by an explanation, and there is one. Punctuation explains nothing."""
    parts = text.translate(_CURLY).replace("'\"'", "").split('"')
    quoted, explained = parts[1::2], parts[2::2]
    return bool(quoted) and len(quoted) == len(explained) and all(map(has_words, quoted + explained))


def listed(text: str, *, sep: str) -> bool:
    """A list of at least two items, each after a `sep` that starts a line or, if longer than a character, stands by
    itself: the hyphen of `well-known` starts no item."""
    mark = re.escape(sep.strip())
    alone = rf"|(?<!\S){mark}(?!\S)" if len(sep.strip()) > 1 else ""
    return sum(map(has_words, re.split(rf"^[^\S\n]*{mark}{alone}", text, flags=re.MULTILINE)[1:])) >= 2


def thesis(text: str) -> bool:
    """A statement in HTML's italics with text after it. `<em>` is closed by `</em>`, which is no text."""
    opening = _ITALICS.search(text)
    if opening is None:
        return False
    statement, closed, rest = text[opening.end() :].partition(f"</{opening[1]}>")
    return bool(closed) and has_words(statement) and has_words(re.sub("<[^<>]*>", "", rest))


def sub_bullets(text: str) -> bool:
    """Bullets that start a line with `*`, each with a line below it that starts with `-`. Bold text is no bullet."""
    counts: list[int] = []  # sub-bullets of each bullet
    for line in text.split("\n"):
        if _BULLET.match(line):
            counts.append(0)
        elif counts and _SUB_BULLET.match(line):
            counts[-1] += 1
    return bool(counts) and all(counts)


def no_bullets_bullets(text: str) -> bool:
    """At least two sentences that end in a period, then at least two bullets. Blank lines are layout, bold text is no
    bullet, and more may follow."""
    lines = text.split("\n")
    bullets = [n for n, line in enumerate(lines) if _BULLET.match(line)]
    if len(bullets) < 2:
        return False
    before = sentences("\n".join(lines[: bullets[0]]))
    return sum(ending(sentence) == "." for sentence in before) >= 2


def title_case(text: str) -> bool:
    """The first letter of every *major* word is a capital: articles, conjunctions and prepositions may be small, and
    so may what follows an apostrophe. All capitals are no title case."""
    found = [word for word in words(text) if word[0].isalpha()]
    if not found or (len(found) > 1 and text.isupper()):
        return False
    small = [word for word in found[1:] if word.islower() and word not in _MINOR]
    return not small and not found[0].islower()


def output_template(text: str) -> bool:
    """The template's three labels, in its order and with nothing before them, each filled in."""
    if not text.lstrip(" \n*#_").startswith(_LABELS[0]):
        return False
    for label, after in zip(_LABELS, (*_LABELS[1:], None)):
        _, found, text = text.partition(label)
        filled = text if after is None else text.partition(after)[0]
        if not found or not has_words(filled) or bare(filled).casefold() in _UNFILLED:
            return False
    return True
