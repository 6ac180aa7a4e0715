"""Constraints that are checked here and not by the package: what differs, and that docs/instruction.md says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from deviations import AFRICA, CAPITALS, DEVIATIONS, QUESTIONS, Deviation

from reprise.rewards.verifiers.instruction.checkers import checker, registry
from reprise.rewards.verifiers.instruction.constraints import CONSTRAINTS
from reprise.rewards.verifiers.instruction.own import OWN

PAGE = Path(__file__).parents[4] / "docs" / "instruction.md"
LINEAR = {"detectable_content:postscript", "detectable_format:number_bullet_lists", "detectable_format:title"}
SHOWN = [f"{one.id} {n}" for n, one in enumerate(DEVIATIONS)]


def of_the_package(name: str, kwargs: dict[str, Any], text: str) -> bool:
    made = registry()[name](name)
    made.build_description(**kwargs)
    try:
        return bool(made.check_following(text))
    except (IndexError, ValueError):
        return False


@pytest.mark.parametrize("one", DEVIATIONS, ids=SHOWN)
def test_the_prompt_is_followed_where_the_package_says_otherwise(one: Deviation) -> None:
    assert checker(one.id, one.kwargs)(one.text) is one.follows
    assert of_the_package(one.id, one.kwargs, one.text) is not one.follows


def test_everything_that_is_checked_here_has_a_text_of_which_the_package_says_otherwise_or_is_linear() -> None:
    assert set(OWN) <= set(CONSTRAINTS)
    assert {one.id for one in DEVIATIONS} | LINEAR == set(OWN)


def test_the_page_lists_every_constraint_that_is_checked_here() -> None:
    listed = re.findall(r"^\| `([a-z_]+:[a-z_-]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(OWN)


@pytest.mark.parametrize(
    ("name", "kwargs", "texts"),
    [
        (
            "detectable_format:title",
            {},
            ["<<Joy>>", "<<>>", "<< >>", "<<<>>", "<<a", "a>>", "<<a\nb>>", ">><<", "x <<a>> >>"],
        ),
        (
            "detectable_format:number_bullet_lists",
            {"num_bullets": 2},
            ["* a\n* b", "- a\n * b", "\n\n * a\n\n\n- b", "** a\n* b\n* c", "*\n* b", "*\n\n* b", "--\n-", "* a"],
        ),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}, ["a p.s. b", "p. s.", "ps.", "P.S", "p.\ns."]),
        ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["p.p.s", "p. p. s", "p.s.", "\n P.P.S. x"]),
    ],
)
def test_what_is_rewritten_for_its_speed_says_what_the_package_says(name: str, kwargs: Any, texts: list[str]) -> None:
    said = [checker(name, kwargs)(text) for text in texts]
    assert said == [of_the_package(name, kwargs, text) for text in texts]
    assert set(said) == {True, False}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("custom:reverse_newline", AFRICA),
        ("custom:reverse_newline", "\n".join(f"- {line}" for line in AFRICA.split("\n"))),
        ("custom:european_capitals_sort", CAPITALS.replace("Kyiv", "Kiev").replace("Luxembourg", "Luxembourg City")),
        ("custom:mcq_count_length", QUESTIONS.replace("**", "")),
    ],
)
def test_long_answers_that_are_right(name: str, text: str) -> None:
    assert checker(name, {})(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("custom:reverse_newline", AFRICA.replace("Mali\n", "Mali\nMalawi\n")),
        ("custom:reverse_newline", "\n".join(sorted(AFRICA.split("\n")))),
        ("custom:mcq_count_length", "Sure:\n" + QUESTIONS),
        ("custom:mcq_count_length", QUESTIONS.replace("E)", "D)", 1)),
        ("custom:csv_special_character", "ProductID,Category,Brand,Price,Stock\n" + "1,Tea,Green & Co,2,3\n" * 14),
        ("custom:csv_quotes", "StudentID\tSubject\tGrade\tSemester\tScore\n" + '"1"\t"Art"\t"A"\t"1"\t"9"\n' * 3),
        ("format:parentheses", "([{([ one)]}])"),
        ("format:list", "one SEPARATORtwo SEPARATORthree"),
    ],
)
def test_long_answers_that_are_wrong(name: str, text: str) -> None:
    kwargs = {"sep": "SEPARATOR"} if name == "format:list" else {}
    assert not checker(name, kwargs)(text)
