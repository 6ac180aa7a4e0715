"""Constraints that are checked here and not by the package if-verifiable, because its checkers say otherwise than the
prompts that data sets put before a model, let nothing pass for something, or take quadratic time.

docs/instruction.md has one line for each, with the reason; what is not listed is the package's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reprise.rewards.verifiers.instruction.own import counts, ifeval, layout, texts, wording

OWN: Mapping[str, Callable[..., bool]] = {
    # IFEval
    "length_constraints:nth_paragraph_first_word": ifeval.nth_paragraph_first_word,
    "detectable_content:number_placeholders": ifeval.number_placeholders,
    "detectable_content:postscript": ifeval.postscript,
    "detectable_format:number_bullet_lists": ifeval.number_bullet_lists,
    "detectable_format:json_format": ifeval.json_format,
    "detectable_format:title": ifeval.title,
    "startend:quotation": ifeval.quotation,
    "punctuation:no_comma": ifeval.no_comma,
    # IFBench
    "count:unique_word_count": counts.unique_word_count,
    "count:conjunctions": counts.conjunctions,
    "count:person_names": counts.person_names,
    "count:numbers": counts.numbers,
    "count:words_japanese": counts.words_japanese,
    "count:pronouns": counts.pronouns,
    "count:keywords_multiple": counts.keywords_multiple,
    "ratio:sentence_type": counts.sentence_type,
    "ratio:sentence_balance": counts.sentence_balance,
    "ratio:sentence_words": counts.sentence_words,
    "sentence:alliteration_increment": counts.alliteration_increment,
    "sentence:keyword": counts.keyword,
    "sentence:increment": counts.increment,
    "words:alphabet": wording.alphabet,
    "words:vowel": wording.vowel,
    "words:consonants": wording.consonants,
    "words:palindrome": wording.palindrome,
    "words:prime_lengths": wording.prime_lengths,
    "words:start_verb": wording.start_verb,
    "words:repeats": wording.repeats,
    "words:odd_even_syllables": wording.odd_even_syllables,
    "words:last_first": wording.last_first,
    "words:paragraph_last_first": wording.paragraph_last_first,
    "words:no_consecutive": wording.no_consecutive,
    "words:keywords_specific_position": wording.keywords_specific_position,
    "words:words_position": wording.words_position,
    "format:parentheses": layout.parentheses,
    "format:quotes": layout.quotes,
    "format:options": layout.options,
    "format:newline": layout.newline,
    "format:emoji": layout.emoji_at_ends,
    "format:line_indent": layout.line_indent,
    "format:quote_unquote": layout.quote_unquote,
    "format:list": layout.listed,
    "format:thesis": layout.thesis,
    "format:sub-bullets": layout.sub_bullets,
    "format:no_bullets_bullets": layout.no_bullets_bullets,
    "format:title_case": layout.title_case,
    "format:output_template": layout.output_template,
    "repeat:repeat_change": texts.repeat_change,
    "repeat:repeat_span": texts.repeat_span,
    "custom:mcq_count_length": texts.mcq_count_length,
    "custom:reverse_newline": texts.reverse_newline,
    "custom:word_reverse": texts.word_reverse,
    "custom:character_reverse": texts.character_reverse,
    "custom:sentence_alphabet": texts.sentence_alphabet,
    "custom:european_capitals_sort": texts.european_capitals_sort,
    "custom:csv_city": texts.csv_city,
    "custom:csv_special_character": texts.csv_special_character,
    "custom:csv_quotes": texts.csv_quotes,
    "custom:date_format_list": texts.date_format_list,
}
