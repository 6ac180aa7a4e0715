"""Where an answer stands in a response: the exact rules."""

import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprise.rewards.parsing import (
    after_reasoning,
    extract_tag,
    find_answer,
    last_boxed,
    last_boxes,
    last_code_block,
    without_invisible,
)


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
    ("text", "code"),
    [
        ("```\nx = 1\n```", "x = 1"),
        ("```python\nx = 1\ny = 2\n```", "x = 1\ny = 2"),
        ("First\n```py\na\n```\nno, better\n~~~ python 3\nb\n~~~\nDone.", "b"),
        ("```\na\n```\n```\nb", "a"),
        ("```\na", None),
        ("```", None),
        ("x = 1", None),
        ("", None),
        ("```\n```", ""),
        ("```\n\n  a\n\n```", "\n  a\n"),
        ("```\r\na\r\nb\r\n```\r\n", "a\nb"),
        ("````\n```\na\n```\n````", "```\na\n```"),
        ("~~~\n```\na\n~~~", "```\na"),
        ("```\na\n`````", "a"),
        ("```\na\n```python\nb\n```", "a\n```python\nb"),
        ("```\na\n``` \t", "a"),
        ("```a`b\nc\n```\nd\n```", "d"),
        ("``\na\n``", None),
        ("```x = 1```", None),
        ("text ```\na\n```", None),
        ("1. so\n\n    ```python\n    def f():\n        return 1\n\n  g()\n    ```", "def f():\n    return 1\n\ng()"),
        (
            '```\ndef f():\n    "\n    ```\n    f()\n    ```\n    "\n```',
            'def f():\n    "\n    ```\n    f()\n    ```\n    "',
        ),
        ("```\nx = '\u2028'\n```", "x = '\u2028'"),
        ("<think>```\na\n```</think>\n```\nb\n```", "b"),
        ("<think>\n```\na\n```\n</think>so", None),
        ("<think>\n```\na\n```\n", None),
    ],
)
def test_the_last_closed_code_block_is_the_program(text: str, code: str | None) -> None:
    assert last_code_block(text) == code


@given(st.lists(st.text("`~ abc\t\\\"'"), max_size=20), st.text(max_size=100), st.text(max_size=100))
def test_a_program_comes_out_of_a_long_enough_fence_as_it_went_in(lines: list[str], before: str, after: str) -> None:
    program = "\n".join(lines)
    before = before.replace("`", "'").replace("~", "-").replace("<think>", "")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", program)), default=0))
    text = f"{before}\n{fence}python\n{program}\n{fence}\n{after.replace('`', '').replace('~', '')}"
    assert last_code_block(text) == (program if lines else "")


@pytest.mark.parametrize(
    ("markers", "text", "answer"),
    [
        (("<reasoning>", "</reasoning>"), "<reasoning>a</reasoning>b", "b"),
        (("<reasoning>", "</reasoning>"), "<reasoning>a", None),
        (("<reasoning>", "</reasoning>"), "<think>a</think>b", "<think>a</think>b"),
        (("[THINK]", "[/THINK]"), "a[/THINK]b", "b"),
        (None, "<think>b", "<think>b"),
    ],
)
def test_other_chat_templates_mark_reasoning_otherwise(markers, text: str, answer: str | None) -> None:
    assert after_reasoning(text, markers) == answer
    boxed = None if answer is None else "1"
    assert find_answer(text + r"\boxed{1}", False, "boxed", "ans", markers) == boxed


@pytest.mark.timeout(60)  # quadratic time would take hours
@pytest.mark.parametrize(
    "text",
    [r"\boxed{" * 50_000, "<ans>" * 50_000, "<ans>a" * 50_000, "{" * 300_000, "\\" * 300_000, "```\n~~~" * 50_000],
)
def test_parsing_is_linear_in_the_text(text: str) -> None:
    assert (extract_tag(text, "ans"), last_boxed(text), last_code_block(text)) == (None, None, None)


def test_what_nobody_sees_is_nothing() -> None:
    assert without_invisible("\u200b1\u2060\ufeff2\u00ad\u202e3\ufe0f\U000e0041") == "123"
    assert without_invisible("a b\tc\n\u00a0\u3000é٣") == "a b\tc\n\u00a0\u3000é٣"


def test_every_format_character_is_invisible_but_those_with_a_shape() -> None:
    formats = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) == "Cf"]
    shaped = [each for each in formats if without_invisible(each)]
    assert {unicodedata.name(each).split()[0] for each in shaped} == {"ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN"}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{3} and \boxed{-3}", "3, -3"),
        (r"so $\boxed{3}$ or $\boxed{-3}$.", "3, -3"),
        (r"\(\boxed{3}\), \(\boxed{4}\) and \(\boxed{5}\)", "3, 4, 5"),
        (r"\boxed{3}, and \boxed{4}", "3, 4"),
        (r"\boxed{3};\boxed{4}", "3, 4"),
        (r"**\boxed{3}** and" + "\n" + r"**\boxed{4}**", "3, 4"),
        (r"$\boxed{3}\text{ and }\boxed{4}$", "3, 4"),
        (r"$x = \boxed{3}$, $y = \boxed{4}$", "x = 3, y = 4"),
        (r"$x_1=\boxed{3}$ and $x_2=\boxed{4}$", "x_1 = 3, x_2 = 4"),
        (r"$\boxed{3}$, $y = \boxed{4}$", "3, 4"),
        (r"\boxed{(1,2)} and \boxed{(3,4)} are the points", "(1,2), (3,4)"),
        (r"\boxed{2}, then \boxed{3}", "3"),
        (r"\boxed{2} wait \boxed{3}", "3"),
        (r"\boxed{2} or rather \boxed{3}", "3"),
        (r"\boxed{2} or, better, \boxed{3}", "3"),
        (r"\boxed{2}. \boxed{3}", "3"),
        (r"\boxed{2}," + "\n\n" + r"\boxed{3}", "3"),
        (r"\boxed{2}" + "\n" + r"\boxed{3}", "3"),
        (r"\boxed{2}, , \boxed{3}", "3"),
        (r"\boxed{1}; wait \boxed{2} and \boxed{3}", "2, 3"),
        (r"\boxed{\boxed{2} and \boxed{3}}", "2, 3"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed{2} and \boxed{3", "2"),
        (r"\boxed{2} band \boxed{3}", "3"),
        (r"x = \boxed{3}", "3"),
        (r"<think>\boxed{2} and </think>\boxed{3}", "3"),
        ("none", None),
        (r"</think><think>\boxed{3}", r"3"),
    ],
)
def test_boxes_that_are_enumerated_are_one_answer(text: str, answer: str | None) -> None:
    assert last_boxes(text) == answer


@given(st.lists(st.sampled_from([r"\boxed{", r"\fbox{", "{", "}", "\\", "1", "and", ",", " ", "$", "x=", "\n"])))
def test_enumerated_boxes_end_with_the_last_one(pieces: list[str]) -> None:
    text = "".join(pieces)
    last, listed = last_boxed(text, None), last_boxes(text, None)
    assert listed == last or (last is not None and listed is not None and listed.endswith(last))


@pytest.mark.timeout(60)  # quadratic time would take minutes, and gigabytes
def test_boxes_are_read_in_linear_time() -> None:
    for text in (
        r"\boxed{" * 30_000,
        r"\boxed{" * 60_000 + "}" * 60_000,
        r"\boxed{1}, " * 400_000,
        "x_" * 50_000 + r"\boxed{1}",
        " " * 100_000 + r"\boxed{1}",
    ):
        last_boxes(text)
