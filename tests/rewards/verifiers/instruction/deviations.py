"""Where our checkers differ from the package if-verifiable 0.1.2: one or more texts for each constraint."""

from typing import Any, NamedTuple


class Deviation(NamedTuple):
    """A text of which the package says the opposite of `follows`."""

    id: str
    kwargs: dict[str, Any]
    text: str
    follows: bool


def _of(name: str, follows: list[str], breaks: list[str], **kwargs: Any) -> list[Deviation]:
    return [
        Deviation(name, kwargs, text, truth) for truth, texts in ((True, follows), (False, breaks)) for text in texts
    ]


_AFRICA = """Zimbabwe Zambia Uganda Tunisia Togo Tanzania Sudan Somalia Seychelles Senegal Rwanda Nigeria Niger Namibia
Mozambique Morocco Mauritius Mauritania Mali Malawi Madagascar Libya Liberia Lesotho Kenya Ghana Gabon Ethiopia Eritrea
Egypt Djibouti Comoros Chad Cameroon Burundi Botswana Benin Angola Algeria""".split()  # noqa: SIM905
_MORE = [
    "São Tomé and Príncipe",
    "The Gambia",
    "Côte d'Ivoire",
    "Cabo Verde",
    "eSwatini",
    "Sierra Leone",
    "South Africa",
]
_MORE += ["South Sudan", "Guinea", "Guinea-Bissau", "Equatorial Guinea", "Burkina Faso", "DR Congo", "Congo"]
_FOLDED = {"São Tomé and Príncipe": "sao tome and principe", "Côte d'Ivoire": "cote d'ivoire"}
AFRICA = "\n".join(sorted(_AFRICA + _MORE, key=lambda name: (_FOLDED.get(name) or name).casefold(), reverse=True))
CAPITALS = (
    "Reykjavík, Helsinki, Oslo, Tallinn, Stockholm, Riga, Moscow, Copenhagen, Vilnius, Minsk, Dublin, Berlin, "
    "Amsterdam, Warsaw, London, Brussels, Kyiv, Prague, Luxembourg, Paris, Vienna, Bratislava, Budapest, Vaduz, "
    "Chișinău, Bern, Ljubljana, Zagreb."
)
QUESTIONS = "\n\n".join(
    f"**Question{' ' + str(n) if n % 2 else ''}:** Who painted it{' and when' * n}?\n"
    + "\n".join(f'{letter}) "One"' for letter in "ABCDE")
    for n in range(1, 5)
)
_CITIES = "ID, Country, City, Year, Count\n\n" + "\n".join(f"{n}, Italy, Rome, 200{n}, {n}" for n in range(7))
_HEADER = "ProductID,Category,Brand,Price,Stock\n"
_PRODUCTS = [f"{n},Tea,Green,2,{n}" for n in range(14)]
_SPECIAL = _HEADER + "\n".join(['1,Tea,"Green & Co",2,3', *_PRODUCTS[1:13]])
_STORY = " ".join(f"“{letter}nd so it went.”" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_KEYWORDS = {f"keyword{n}": word for n, word in enumerate(("art", "ebb", "ivy", "oak", "urn"), start=1)}
_COUNTED = "art " + "ebb " * 2 + "ivy " * 3 + "oak " * 5 + "urn " * 7
_PALINDROMES = "level radar civic kayak rotor refer madam tenet stats solos".split()  # noqa: SIM905

DEVIATIONS = [
    # IFEval
    *_of(
        "length_constraints:nth_paragraph_first_word",
        ["Harbours sleep.\n\n\n\nLamps burn.", "Harbours sleep.\n\n \n\n'Lamps' burn."],
        [],
        num_paragraphs=2,
        nth_paragraph=2,
        first_word="lamps",
    ),
    *_of(
        "length_constraints:nth_paragraph_first_word",
        ["Don't go."],
        [],
        num_paragraphs=1,
        nth_paragraph=1,
        first_word="don't",
    ),
    *_of("detectable_content:number_placeholders", [], ["[] [ ]"], num_placeholders=2),
    *_of("detectable_format:json_format", [], ["NaN", '{"a": Infinity}']),
    *_of("startend:quotation", [], ['""', '"..."']),
    *_of("punctuation:no_comma", [], ["这，那", "هذا، ذلك", "これ、それ"]),
    # IFBench: counts
    *_of("count:unique_word_count", [], ["one - two", "one two \u0301"], N=3),
    *_of("count:conjunctions", [], ["And then, and now and, and."], small_n=2),
    *_of("count:person_names", [], ["Miami and Available"], N=2),
    *_of("count:numbers", ["1,2", "from 10-20"], ["1,2 and 3"], N=2),
    *_of("count:words_japanese", [], ["Hi", "1 2 3 4 5 6", "one -"], N=3),
    *_of("count:pronouns", ["I'm sure that you're everybody."], [], N=4),
    *_of("count:keywords_multiple", [_COUNTED + "start"], [_COUNTED.replace("art", "start", 1)], **_KEYWORDS),
    *_of("ratio:sentence_type", ["It is Smith vs. Jones. She wept. Why?"], ["Hello there!", "…"]),
    *_of("ratio:sentence_balance", ["It is Smith vs. Jones. Is it? No!"], ["Hello there", "…"]),
    *_of("ratio:sentence_words", [], ["It ran. It sat. It hid."]),
    *_of(
        "sentence:alliteration_increment",
        ["One thing. “Big” bad dog.", "Big bad Ann and eats. Cat can come."],
        ["Hello there.", "Big bad. Ten tall men met."],
    ),
    *_of("sentence:keyword", [], ["One came. That was great. Bye."], word="eat", N=2),
    *_of("sentence:keyword", ["It is Smith vs. Jones. We eat fish."], [], word="eat", N=2),
    *_of("sentence:increment", ["One two. One — two three."], ["One two."], small_n=1),
    # IFBench: words
    *_of("words:alphabet", ["Yes — zebras are big"], ["Yes"]),
    *_of("words:vowel", ["A green\ntent"], ["a tent is ón ún", "1234"]),
    *_of("words:consonants", ["strong — plants"], []),
    *_of("words:palindrome", [" ".join(_PALINDROMES).replace(" ", "/")], ["12321 " * 10, "11111 " * 10]),
    *_of("words:prime_lengths", ["“to” the fifth — no"], ["?!"]),
    *_of("words:start_verb", ["“Explore” the world on foot.", "**Explore** the world on foot."], []),
    *_of("words:repeats", ["one — two — three"], ["the-the-the"], small_n=1),
    *_of("words:odd_even_syllables", ["cat — water"], ["cat", "?!"]),
    *_of("words:last_first", ["I like “tea”. Tea is hot."], ["It is so", "It is so."]),
    *_of("words:paragraph_last_first", ["Tea, my tea.", "“Tea” is my tea"], ["Tea", "?!\n..."]),
    *_of("words:no_consecutive", ["one — — two"], ["?!"]),
    *_of(
        "words:keywords_specific_position",
        ["It was dark. Harbor lamps burned.", "So, it was. “Harbor”, he said."],
        [],
        keyword="harbor",
        n=2,
        m=1,
    ),
    *_of("words:keywords_specific_position", ["Well, a harbor."], ["Well, harbor."], keyword="harbor", n=1, m=3),
    *_of(
        "words:words_position",
        ["Thick amber light and amber glow.", "An Amber light, amber glow!?", "“An amber”, amber glow"],
        ["amber amber is amber ."],
        keyword="amber",
    ),
    # IFBench: format
    *_of("format:parentheses", [], ["((((( x)", "([{([ one])"]),
    *_of(
        "format:quotes",
        ["“He said ‘she said “no” then’ so”", "\"'\"It's\" so' it's\""],
        ['"\'""\'"', "\"It's 'so'\" and \"it's 'no'\""],
    ),
    *_of("format:options", ["orange"], [], options="orange, red"),
    *_of("format:options", ["I don’t know."], [], options="I know or I don't know"),
    *_of("format:newline", ["one\n\u2014 two\nthree", "one\n \ntwo"], ["one two\n \nthree"]),
    *_of("format:emoji", ["Vive la France! 🇫🇷", "Well.🇫🇷"], ["So 😀s.", "😀"]),
    *_of("format:line_indent", ["one\n\n\n two"], ["one"]),
    *_of("format:quote_unquote", [], ["Hello", '"a", "b" means so']),
    *_of("format:list", [], ["A well-known, state-of-the-art thing", "-\n-"], sep="-"),
    *_of("format:list", [], ["SEPARATOR SEPARATOR"], sep="SEPARATOR"),
    *_of("format:thesis", [], ["<em>It is so.</em>", "<i>It is so.</em> Because"]),
    *_of(
        "format:sub-bullets",
        ["* **Harbor**\n  - lamps\n* **Town**\n  - roofs", "2 * 3 is 6.\n* one\n - a"],
        ["* well-known\n* state-of-the-art", "nothing - at all"],
    ),
    *_of(
        "format:no_bullets_bullets",
        ["One.\n\nTwo.\n\n* a\n\n* b", "One. Two.\n* a\n* b\nThat was it."],
        ["One! Two?\n* a\n* b", "One. Two.\n**a**\n**b**"],
    ),
    *_of("format:title_case", ["The Lord of the Rings", "Don't Go"], ["ALL IS WELL", "x"]),
    *_of(
        "format:output_template",
        [],
        [
            "My Answer: My Conclusion: Future Outlook:",
            "My Answer: [answer] My Conclusion: [conclusion] Future Outlook: [outlook]",
            "My Conclusion: b My Answer: a Future Outlook: c",
            "Sure! My Answer: a My Conclusion: b Future Outlook: c",
        ],
    ),
    # IFBench: repeat and custom
    *_of("repeat:repeat_change", [], ["Tell  me why", "tell me why", "! me why"], prompt_to_repeat="Tell me why"),
    *_of(
        "repeat:repeat_span",
        ["the harbor at night"],
        ["the harbor at"],
        prompt_to_repeat="describe the harbor at night and name every lamp you can see.",
        n_start=1,
        n_end=4,
    ),
    *_of("custom:mcq_count_length", [QUESTIONS], []),
    *_of("custom:reverse_newline", [], ["Zimbabwe\n" + "Zambia\n" * 52]),
    *_of("custom:word_reverse", [], ["eagle bald", "The bald eagle, eagle bald the"]),
    *_of("custom:character_reverse", [], ["The bald eagle, or elgae dlab"]),
    *_of("custom:sentence_alphabet", [_STORY], []),
    *_of("custom:european_capitals_sort", [CAPITALS], [CAPITALS.replace("Kyiv, ", "").removesuffix(".")]),
    *_of("custom:csv_city", [_CITIES], ["ID,Country,City,Year,Count\n" + "\n".join([",,,,"] * 7)]),
    *_of(
        "custom:csv_special_character",
        [_SPECIAL + "\n\n13,Tea,Green,2,3"],
        [_SPECIAL + "\n13,Tea,Green", _HEADER + '1,Tea,"a & b",2,3\n' + "x\n" * 13],
    ),
    *_of(
        "custom:csv_quotes",
        ['"StudentID"\t"Subject"\t"Grade"\t"Semester"\t"Score"\n\n' + '"1"\t"Art"\t"A"\t"1"\t"9"\n' * 3],
        ['"StudentID"\t"Subject"\t"Grade"\t"Semester"\t"Score"\n' + '""\t""\t""\t""\t""\n' * 3],
    ),
    *_of(
        "custom:date_format_list",
        ["1796-04-12, 1805-12-02."],
        ["1796-00-12, 1805-12-02", "1796-04-00, 1805-12-02", "1797-02-29, 1805-12-02", "1796-04-12"],
    ),
]
