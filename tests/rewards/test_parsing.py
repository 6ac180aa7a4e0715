"""Where an answer stands in a response: the exact rules."""

import time

import pytest

from rewards.parsing import after_reasoning, extract_tag, find_answer, last_boxed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("plain", "plain"),
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),
        ("<think>a</think>b<think>c</think>d", "d"),
        ("<think>never ended", None),
        ("a</think>", ""),
    ],
)
def test_the_answer_part_follows_the_last_end_of_reasoning(text: str, answer: str | None) -> None:
    assert after_reasoning(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<ans>5</ans>", "5"),
        ("<think><ans>1</ans></think><ans>2</ans>", "2"),
        ("<ans>1</ans></think>", None),
        ("<ans>1</ans> or <ans>2</ans>", "2"),
        ("<ans>1</ans> or <ans>2", "1"),
        ("<ans>1</ans>2</ans>", "1"),
        ("<ans>1<ans>2</ans>", "2"),
        ("<ans> a\nb </ans>", " a\nb "),
        ("<ans></ans>", ""),
        ("<ANS>5</ANS>", None),
        ("<ans x>5</ans>", None),
        ("</ans>5<ans>", None),
        ("5", None),
        ("", None),
        ("<think>5", None),
    ],
)
def test_the_last_well_formed_element_is_the_answer(text: str, answer: str | None) -> None:
    assert extract_tag(text, "ans") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{1} wait \boxed{2}", "2"),
        (r"\boxed{1} wait \boxed{2", "1"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed {4}", "4"),
        (r"\fbox{5}", "5"),
        (r"{ \boxed{6}", "6"),
        (r"} \boxed{7}", "7"),
        (r"\\boxed{8}", None),
        (r"\boxed{}", ""),
        (r"\boxed 9", None),
        (r"<think>\boxed{1}</think>", None),
        (r"<think>\boxed{1}", None),
        ("1", None),
    ],
)
def test_the_last_balanced_box_is_the_answer(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


def test_the_whole_text_is_an_answer_only_if_it_is_whole() -> None:
    assert find_answer("<think>x</think> 5 ", False, "text", "ans") == " 5 "
    assert find_answer("<think>x</think> 5 ", True, "text", "ans") is None
    assert find_answer("<think>x</think> ", False, "text", "ans") is None


@pytest.mark.parametrize(
    "text", [r"\boxed{" * 50_000, "<ans>" * 50_000, "<ans>a" * 50_000, "{" * 300_000, "\\" * 300_000]
)
def test_parsing_is_linear_in_the_text(text: str) -> None:
    began = time.process_time()
    assert (extract_tag(text, "ans"), last_boxed(text)) == (None, None)
    assert time.process_time() - began < 1.0
