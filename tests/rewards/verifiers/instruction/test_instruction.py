"""The instruction verifier: all 83 constraints of IFEval and IFBench, offline, on honest and hostile answers."""

from __future__ import annotations

import inspect
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importable import importable
from instruction_examples import EXAMPLES, Example

from reprise.core.errors import UserError
from reprise.core.types import Task
from reprise.rewards.base import Answer
from reprise.rewards.verifiers.instruction.checkers import registry
from reprise.rewards.verifiers.instruction.constraints import CONSTRAINTS, IFBENCH, IFEVAL, Followed, constraints_of
from reprise.rewards.verifiers.instruction.language import STOP_WORDS, pos_tag, sentence_tokenizer, word_tokenize
from reprise.rewards.verifiers.instruction.verifier import InstructionVerifier
from reprise.rewards.verifiers.instruction.worker import handle, loose_variants
from reprise.rewards.workers.requests import pack

NO_COMMA = {"id": "punctuation:no_comma", "kwargs": {}}
THREE_WORDS = {"id": "length_constraints:number_words", "kwargs": {"num_words": 3, "relation": "at least"}}


def task(*constraints: Any) -> Task:
    return Task("t1", "?", "writing", "instruction", {"constraints": list(constraints)})


def answer(text: str, *constraints: Any, truncated: bool = False) -> Answer:
    return Answer(task(*constraints), text, truncated)


def followed(name: str, kwargs: dict[str, Any], text: str) -> Followed:
    [found] = handle(pack({"text": text, "constraints": [[name, kwargs]]}))
    return found


# The constraints


def test_there_are_25_constraints_of_ifeval_and_58_of_ifbench_and_no_name_is_in_both() -> None:
    assert (len(IFEVAL), len(IFBENCH), len(CONSTRAINTS)) == (25, 58, 83)


def test_the_constraints_and_their_arguments_are_those_of_the_package() -> None:
    def takes(cls: Any) -> set[str]:
        parameters = inspect.signature(cls.build_description).parameters.values()
        return {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {"self"}

    assert {name: takes(cls) for name, cls in registry().items()} == {
        name: set(kinds) for name, kinds in CONSTRAINTS.items()
    }


def test_every_constraint_has_an_example() -> None:
    assert sorted(example.id for example in EXAMPLES) == sorted(CONSTRAINTS)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.id for example in EXAMPLES])
def test_every_checker_separates_an_answer_that_follows_from_one_that_does_not(example: Example) -> None:
    constraints_of(task({"id": example.id, "kwargs": example.kwargs}))
    assert followed(example.id, example.kwargs, example.follows) == {"strict": True, "loose": True}
    assert not followed(example.id, example.kwargs, example.breaks)["strict"]


def test_no_checker_follows_from_nothing() -> None:
    assert [e.id for e in EXAMPLES for blank in ("", " \n ") if followed(e.id, e.kwargs, blank)["loose"]] == []


def test_no_checker_draws_at_random_once_all_arguments_are_there() -> None:
    random.seed(0)
    untouched = random.getstate()
    for example in EXAMPLES:
        followed(example.id, example.kwargs, example.follows)
        assert random.getstate() == untouched, example.id


def test_nothing_is_downloaded_or_looked_up_on_disk_or_in_the_network(tmp_path: Path) -> None:
    script = """
import socket, sys
def refuse(*_, **__): raise SystemExit("the network was asked for")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from reprise.rewards.verifiers.instruction.worker import handle
from reprise.rewards.workers.requests import pack
from instruction_examples import EXAMPLES
assert all(handle(pack({"text": e.follows, "constraints": [[e.id, e.kwargs]]}))[0]["strict"] for e in EXAMPLES)
assert "datasets" not in sys.modules
"""
    with importable() as folder:
        path = f"{folder}:{Path(__file__).parent}"
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "HOME": str(tmp_path), "NLTK_DATA": "/none"}
        done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


# What replaces NLTK's data


def test_sentences_are_split_as_punkt_does() -> None:
    text = "Dr. Smith of Acme Inc. paid $3.50 in Nov. 1990. He left at 5 p.m. yesterday! Did he? E.g. so."
    assert sentence_tokenizer().tokenize(text) == [
        "Dr. Smith of Acme Inc. paid $3.50 in Nov. 1990.",
        "He left at 5 p.m. yesterday!",
        "Did he?",
        "E.g.",
        "so.",
    ]


def test_words_are_split_as_nltk_does() -> None:
    assert word_tokenize("Don't go. It's $5, ok?") == ["Do", "n't", "go", ".", "It", "'s", "$", "5", ",", "ok", "?"]


def test_the_stop_words_are_nltks_198() -> None:
    assert len(STOP_WORDS) == 198
    assert {"the", "don't", "yourselves", "ve"} <= STOP_WORDS
    assert not {"one", "would", "tree"} & STOP_WORDS


@pytest.mark.parametrize("verb", ["Write a poem.", "Explore the world.", "run fast", "Is it?", "Running is fun."])
def test_a_verb_at_the_start_is_recognised(verb: str) -> None:
    assert pos_tag(word_tokenize(verb))[0][1].startswith("VB")


@pytest.mark.parametrize(
    "other", ["The cat sat.", "Sure, here it is.", "Paris is big.", "Water is wet.", "12 apes", "!"]
)
def test_another_word_at_the_start_is_no_verb(other: str) -> None:
    assert not pos_tag(word_tokenize(other))[0][1].startswith("VB")


# Where the original would guess


def test_a_text_without_a_language_follows_no_language_constraint() -> None:
    assert not followed("language:response_language", {"language": "fr"}, "12345 !!")["loose"]


def test_any_character_is_counted_and_a_span_may_start_at_0() -> None:
    count = {"letter": "#", "let_frequency": 2, "let_relation": "at least"}
    assert [followed("keywords:letter_frequency", count, text)["strict"] for text in ("# a\n# b", "# aaa")] == [
        True,
        False,
    ]
    span = {"prompt_to_repeat": "a b c d", "n_start": 0, "n_end": 1}
    assert [followed("repeat:repeat_span", span, text)["strict"] for text in ("a b", "b c")] == [True, False]


@pytest.mark.parametrize(
    ("name", "kwargs", "follows", "breaks"),
    [
        ("keywords:existence", {"keywords": ["C++"]}, "I like C++.", "I like C."),
        ("keywords:frequency", {"keyword": "a.b", "frequency": 1, "relation": "at least"}, "a.b", "acb"),
        ("keywords:forbidden_words", {"forbidden_words": ["U.S.", "C++"]}, "USA and C", "The U.S. is big."),
        ("keywords:forbidden_words", {"forbidden_words": ["C++"]}, "C++x", "I like c++"),
        ("keywords:forbidden_words", {"forbidden_words": ["no"]}, "another nose", "I say no!"),
        ("detectable_content:postscript", {"postscript_marker": "(N.B.)"}, "Bye.\n(n.b.) so", "Bye.\nNxBx so"),
        (
            "detectable_format:multiple_sections",
            {"section_spliter": "Day (x)", "num_sections": 1},
            "Day (x) 1",
            "Day 1",
        ),
    ],
)
def test_words_are_taken_literally(name: str, kwargs: dict[str, Any], follows: str, breaks: str) -> None:
    assert [followed(name, kwargs, text)["strict"] for text in (follows, breaks)] == [True, False]


def test_the_loose_variants_are_ifevals_eight() -> None:
    assert loose_variants("*a*\nb\nc") == ["*a*\nb\nc", "b\nc", "*a*\nb", "b", "a\nb\nc", "a\nb"]
    assert loose_variants("a") == ["a", ""]


@given(st.text(max_size=200))
def test_what_is_followed_strictly_is_followed_loosely(text: str) -> None:
    constraints = [
        ["punctuation:no_comma", {}],
        ["words:vowel", {}],
        ["format:newline", {}],
        ["startend:quotation", {}],
    ]
    found = handle(pack({"text": text, "constraints": constraints}))
    assert all(each["loose"] for each in found if each["strict"])


def test_a_checker_that_raises_says_that_the_text_does_not_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(text: str) -> bool:
        raise IndexError(text)

    monkeypatch.setattr("reprise.rewards.verifiers.instruction.checkers.OWN", {"format:newline": raises})
    assert followed("format:newline", {}, "123") == {"strict": False, "loose": False, "error": "IndexError"}


# Tasks that cannot be verified


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (None, "answer must hold a list of constraints"),
        ({"constraints": []}, "answer must hold a list of constraints"),
        ({"constraints": [NO_COMMA], "mode": "loose"}, "answer.mode: unknown"),
        ({"constraints": [NO_COMMA, 5]}, r"answer.constraints\[1\] must be an object"),
        (
            {"constraints": [{"id": "punctuation:no_commas"}]},
            r"constraints\[0\].id: there is no constraint .*did you mean 'punctuation:no_comma'",
        ),
        (
            {"constraints": [{"id": "length_constraints:number_words", "kwargs": {"num_words": 5}}]},
            r"kwargs.relation: missing; length_constraints:number_words takes num_words, relation",
        ),
        (
            {
                "constraints": [
                    {"id": "length_constraints:number_words", "kwargs": {"num_word": 5, "relation": "at least"}}
                ]
            },
            r"kwargs.num_word: unknown \(did you mean 'num_words'\?\)",
        ),
        ({"constraints": [{"id": "punctuation:no_comma", "kwargs": {"n": 1}}]}, "takes none"),
        ({"constraints": [{"id": "count:numbers", "kwargs": {"N": -1}}]}, "kwargs.N: .*greater than or equal to 0"),
        ({"constraints": [{"id": "count:numbers", "kwargs": {"N": True}}]}, "kwargs.N: .*valid integer"),
        ({"constraints": [{"id": "count:numbers", "kwargs": {"N": 1.5}}]}, "kwargs.N: "),
        ({"constraints": [{"id": "count:words_japanese", "kwargs": {"N": 0}}]}, "kwargs.N: "),
        (
            {"constraints": [{"id": "language:response_language", "kwargs": {"language": "xx"}}]},
            "kwargs.language: .*'de'",
        ),
        ({"constraints": [{"id": "keywords:existence", "kwargs": {"keywords": ["a", " "]}}]}, "must not be blank"),
        ({"constraints": [{"id": "keywords:existence", "kwargs": {"keywords": []}}]}, "kwargs.keywords: "),
        (
            {"constraints": [{"id": "count:word_count_range", "kwargs": {"min_words": 9, "max_words": 3}}]},
            "kwargs.min_words: 9 is more than max_words, 3",
        ),
        # Followed by every text, or by none.
        ({"constraints": [{"id": "count:pronouns", "kwargs": {"N": 0}}]}, "kwargs.N: "),
        ({"constraints": [{"id": "count:person_names", "kwargs": {"N": 51}}]}, "kwargs.N: .*less than or equal to 50"),
        ({"constraints": [{"id": "count:conjunctions", "kwargs": {"small_n": 8}}]}, "kwargs.small_n: "),
        (
            {
                "constraints": [
                    {"id": "keywords:frequency", "kwargs": {"keyword": "a", "frequency": 0, "relation": "at least"}}
                ]
            },
            "kwargs.frequency: ",
        ),
        (
            {
                "constraints": [
                    {"id": "repeat:repeat_span", "kwargs": {"prompt_to_repeat": "a b", "n_start": 0, "n_end": 2}}
                ]
            },
            "kwargs.n_end: 2 is no index of its 2 words, counted from 0",
        ),
    ],
)
def test_a_task_whose_constraints_cannot_be_checked_is_refused(reference: Any, message: str) -> None:
    with pytest.raises(UserError, match=rf"task 't1': .*{message}"):
        InstructionVerifier().check_task(Task("t1", "?", "writing", "instruction", reference))


def test_nulls_and_whole_floats_of_the_public_data_are_understood() -> None:
    [constraint] = constraints_of(
        task({"id": "count:numbers", "kwargs": {"N": 2.0, "keyword": None, "relation": None}})
    )
    assert (constraint.kwargs, type(constraint.kwargs["N"])) == ({"N": 2}, int)
    assert constraints_of(task({"id": "punctuation:no_comma", "kwargs": None}, {"id": "format:newline"}))


@pytest.mark.parametrize("args", [{"mode": "lose"}, {"partial": 1}, {"processes": 0}, {"cpu_s": 9.0, "wall_s": 1.0}])
def test_bad_arguments_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"mode|partial|processes|wall_s"):
        InstructionVerifier(**args)
