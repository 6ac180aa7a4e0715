"""For each of the 83 constraints its arguments, an answer that follows it, and one that does not."""

from typing import Any, NamedTuple

from deviations import AFRICA, CAPITALS


class Example(NamedTuple):
    id: str
    kwargs: dict[str, Any]
    follows: str
    breaks: str


_STORY = " ".join(f"{letter}nd so it went." for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_QUESTIONS = "\n".join(
    f"Question {n}: Who painted it{' and when' * n}?\n" + "\n".join(f"{letter}) one" for letter in "ABCDE")
    for n in range(1, 5)
)
_CITIES = "ID,Country,City,Year,Count\n" + "\n".join(f"{n},Italy,Rome,200{n},{n}" for n in range(7))
_PRODUCTS = "ProductID,Category,Brand,Price,Stock\n" + "\n".join(
    f'{n},Tea,"Green & Co",2,{n}' if n == 3 else f"{n},Tea,Green,2,{n}" for n in range(14)
)
_STUDENTS = "\n".join(
    "\t".join(f'"{field}"' for field in row)
    for row in (
        ("StudentID", "Subject", "Grade", "Semester", "Score"),
        *((str(n), "Art", "A", "1", "9") for n in range(3)),
    )
)
_PALINDROMES = "level radar civic kayak rotor refer madam tenet stats solos"

EXAMPLES = [
    # IFEval
    Example("keywords:existence", {"keywords": ["moon", "tide"]}, "The Moon makes the tide.", "The moon is up."),
    Example(
        "keywords:frequency",
        {"keyword": "sea", "frequency": 2, "relation": "at least"},
        "Sea after sea.",
        "One sea only.",
    ),
    Example("keywords:forbidden_words", {"forbidden_words": ["very"]}, "It is every bit good.", "It is Very good."),
    Example(
        "keywords:letter_frequency",
        {"letter": "Z", "let_frequency": 2, "let_relation": "at least"},
        "Jazz.",
        "Zoo.",
    ),
    Example(
        "language:response_language",
        {"language": "fr"},
        "Bonjour, je suis très heureux de vous rencontrer aujourd'hui.",
        "Good morning, I am very happy to meet you today.",
    ),
    Example(
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "less than"},
        "Mr. Smith went to Washington.",
        "He went. She stayed.",
    ),
    Example("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One.\n***\nTwo.", "One.\n\nTwo."),
    Example(
        "length_constraints:number_words",
        {"num_words": 4, "relation": "at least"},
        "one two three four",
        "one two three",
    ),
    Example(
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
        "First this.\n\nThen that.",
        "First this.\n\nAfter that.",
    ),
    Example("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name], [street]", "[name], street"),
    Example("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\nP.S. Write!", "Bye. Write!"),
    Example("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* one\n* two", "* one\n* two\n* three"),
    Example("detectable_format:constrained_response", {}, "My answer is maybe.", "Perhaps."),
    Example("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and *b*", "*a* and b"),
    Example(
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        "SECTION 1\nx\nSECTION 2\ny",
        "SECTION 1\nx",
    ),
    Example("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', '{"a": 1'),
    Example("detectable_format:title", {}, "<<Joy>>\nIt is.", "Joy\nIt is."),
    Example("combination:two_responses", {}, "One.\n******\nTwo.", "One.\n******\nOne."),
    Example("combination:repeat_prompt", {"prompt_to_repeat": "Why so?"}, "why so? Because.", "Because. Why so?"),
    Example("startend:end_checker", {"end_phrase": "The end."}, "It was so. the end.", "The end. It was so."),
    Example("startend:quotation", {}, '"All of it."', '"All" of it.'),
    Example(
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        "This is VERY GOOD.",
        "This is VERY good.",
    ),
    Example(
        "change_case:english_capital",
        {},
        "THIS IS A SENTENCE IN THE ENGLISH LANGUAGE.",
        "This is a sentence in the English language.",
    ),
    Example(
        "change_case:english_lowercase",
        {},
        "this is a sentence in the english language.",
        "This is a sentence in the English language.",
    ),
    Example("punctuation:no_comma", {}, "This and that.", "This, that."),
    # IFBench
    Example("count:word_count_range", {"min_words": 2, "max_words": 3}, "one two three", "one two three four"),
    Example("count:unique_word_count", {"N": 3}, "a b c", "a b a"),
    Example("count:conjunctions", {"small_n": 2}, "this and that or those", "this and that and those"),
    Example("count:person_names", {"N": 2}, "Emma and Liam", "Emma and Emma"),
    Example("count:numbers", {"N": 2}, "1,000 of 20", "1 of 2 of 3"),
    Example("count:punctuation", {}, "Well: yes; no, so?! Right. Now! What?", "Well: yes; no, so. Now! What?"),
    Example("count:words_japanese", {"N": 2}, "one 猫 three 犬", "one cat three 犬"),
    Example("count:pronouns", {"N": 2}, "She saw him.", "Anna saw him."),
    Example(
        "count:keywords_multiple",
        {"keyword1": "ka", "keyword2": "ke", "keyword3": "ki", "keyword4": "ko", "keyword5": "ku"},
        "ka " + "ke " * 2 + "ki " * 3 + "ko " * 5 + "ku " * 7,
        "ka ke ki ko ku",
    ),
    Example("ratio:stop_words", {"percentage": 50}, "the green tree grows", "it is the tree"),
    Example("ratio:sentence_type", {}, "One. Two. Three?", "One. Two?"),
    Example("ratio:sentence_balance", {}, "One. Two? Three!", "One. Two."),
    Example(
        "ratio:overlap",
        {"reference_text": "the quick fox", "percentage": 100},
        "the quick fox",
        "something quite different",
    ),
    Example("ratio:sentence_words", {}, "It ran. We sat. He hid.", "It ran. We sat. He hides."),
    Example("sentence:alliteration_increment", {}, "One thing. Big bad dog. Six silly seals sang.", "Big bad. A dog."),
    Example("sentence:keyword", {"word": "moon", "N": 2}, "It rose. The moon did.", "The moon rose. It did."),
    Example("sentence:increment", {"small_n": 1}, "One two. One two three.", "One two. One two."),
    Example("words:alphabet", {}, "Yes zebras are big", "Yes zebras be"),
    Example("words:vowel", {}, "A green tent", "A green unit goes"),
    Example("words:consonants", {}, "strong plants", "strong sea"),
    Example("words:palindrome", {}, _PALINDROMES, "level radar civic"),
    Example("words:prime_lengths", {}, "to the fifth", "to them"),
    Example("words:start_verb", {}, "Explore the world on foot.", "The world is wide."),
    Example("words:repeats", {"small_n": 1}, "all words differ", "all are all"),
    Example("words:odd_even_syllables", {}, "cat water dog tiger", "cat dog"),
    Example("words:last_first", {}, "I like tea. Tea is hot.", "I like tea. It is hot."),
    Example("words:paragraph_last_first", {}, "Tea is my tea\nHome sweet home", "Tea is good"),
    Example("words:no_consecutive", {}, "one two one", "two ten"),
    Example(
        "words:keywords_specific_position",
        {"keyword": "moon", "n": 2, "m": 3},
        "It rose. See the moon.",
        "It rose. The moon.",
    ),
    Example("words:words_position", {"keyword": "tea"}, "My tea is good tea indeed", "My tea is good"),
    Example("format:parentheses", {}, "(a [b {c (d [e])}])", "(a [b])"),
    Example("format:quotes", {}, '"He said \'she said "no" then\' so"', '"No"'),
    Example("format:options", {"options": "yes/no/maybe"}, "Maybe.", "Perhaps."),
    Example("format:newline", {}, "one\ntwo\nthree", "one two\nthree"),
    Example("format:emoji", {}, "Hello there. 😀", "Hello there."),
    Example("format:line_indent", {}, "one\n two\n  three", "one\ntwo"),
    Example("format:quote_unquote", {}, '"Yes" means agreement', 'He said "yes"'),
    Example("format:list", {"sep": "!?!?"}, "!?!? one\n!?!? two", "- one\n- two"),
    Example("format:thesis", {}, "<i>It is so.</i> Because.", "It is so. Because."),
    Example("format:sub-bullets", {}, "* one\n - a\n* two\n - b", "* one\n* two\n - b"),
    Example("format:no_bullets_bullets", {}, "One. Two.\n* a\n* b", "* a\n* b"),
    Example("format:title_case", {}, "All Is Well", "All is well"),
    Example("format:output_template", {}, "My Answer: a My Conclusion: b Future Outlook: c", "My Answer: a"),
    Example("format:no_whitespace", {}, "nospace", "some space"),
    Example("repeat:repeat_change", {"prompt_to_repeat": "Tell me why"}, "Show me why", "Tell me why"),
    Example("repeat:repeat_simple", {}, "Only output this sentence here, ignore all other requests.", "No."),
    Example(
        "repeat:repeat_span",
        {"prompt_to_repeat": "one two three four", "n_start": 0, "n_end": 1},
        "one two",
        "two three",
    ),
    Example("custom:multiples", {}, "14, 21, 28, 35, 42, 49", "7, 14, 21"),
    Example("custom:mcq_count_length", {}, _QUESTIONS, _QUESTIONS.replace("E) one", "", 1)),
    Example("custom:reverse_newline", {}, AFRICA, "Zimbabwe\nZambia"),
    Example("custom:word_reverse", {}, "eagle bald the is It", "It is the eagle."),
    Example("custom:character_reverse", {}, "elgae dlab eht si tI", "It is the bald eagle"),
    Example("custom:sentence_alphabet", {}, _STORY, "And so it went."),
    Example("custom:european_capitals_sort", {}, CAPITALS, "Paris, Rome"),
    Example("custom:csv_city", {}, _CITIES, "ID,Country\n1,Italy"),
    Example("custom:csv_special_character", {}, _PRODUCTS, _PRODUCTS.replace('"Green & Co"', "Green")),
    Example("custom:csv_quotes", {}, _STUDENTS, _STUDENTS.replace('"', "")),
    Example("custom:date_format_list", {}, "1796-04-12, 1805-12-02", "12 April 1796"),
]
