"""What is read, form by form, in no worker."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprise.rewards.verifiers.maths.characters import as_latex
from reprise.rewards.verifiers.maths.forms import Builder, Clock, Form, Items, Ratio, Region, Relation, Value, Words
from reprise.rewards.verifiers.maths.latex import Unreadable, text_key
from reprise.rewards.verifiers.maths.names import name
from reprise.rewards.verifiers.maths.numerals import based, without_groups
from reprise.rewards.verifiers.maths.reading import read
from reprise.rewards.verifiers.maths.typed import undelimited


@pytest.mark.parametrize(
    ("latex", "form"),
    [
        ("12:30", Clock(12, 30)),
        (r"4:00\text{ p.m.}", Clock(4, 0, None, "p")),
        ("1:30:00", Clock(1, 30, 0)),
        ("12:75", Ratio(("12", "75"))),
        ("1:2:3", Ratio(("1", "2", "3"))),
        ("4.30", Value("4.30")),
        (r"\{x \in \mathbb{Z} \mid x>5\}", Builder(r"x\in\mathbb{Z}", Relation(("x", "5"), (">",), Value("5")))),
        ("(x,y)=(7,3)", Relation(("(x,y)", "(7,3)"), ("=",), read("(7,3)")[0])),
        ("x<1 or x>2", Region((read("x<1")[0], read("x>2")[0]), (r"\cup",))),
        ("{1,2}", Items("set", (Value("1"), Value("2")))),
        ("{5}", Value("5")),
        ("]1,2]", Items("tuple", (Value("1"), Value("2")), "(", "]")),
        (r"(-\infty,\infty)", Value(r"\mathbb{R}")),
        (r"p \land q", Words(r"p\landq")),
        ("9 (apples)", Value("9")),
        ("$125$ miles", Value("125", unit="mi")),
    ],
)
def test_the_form_is_what_was_written(latex: str, form: Form) -> None:
    assert read(latex)[0] == form


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("3√13", r"3\sqrt{13}"),
        ("√2/2", r"\sqrt{2}/2"),
        ("√x²", r"\sqrt{x}^{2}"),
        ("³√8", r"\sqrt[3]{8}"),
        ("2³√8", r"2^{3}\sqrt{8}"),
        ("x⁻¹²", "x^{-12}"),
        ("1½", r"1\frac{1}{2}"),
        ("（１，２）", "(1,2)"),
        ("𝑥∈ℝ", r"x\in \mathbb{R}"),
        ("①", "①"),
    ],
)
def test_characters_become_the_latex_that_prints_them(text: str, latex: str) -> None:
    assert as_latex(text) == latex


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"11,\! 111,\! 100", "11111100"),
        ("1{,}234", "1234"),
        ("3{,}14", "3.14"),
        ("1 234 567", "1234567"),
        ("1 234/567", "1 234/567"),
        (r"100,\,200", r"100,\,200"),
        ("100, 200", "100, 200"),
    ],
)
def test_groups_of_digits_are_one_number_and_lists_are_none(text: str, plain: str) -> None:
    assert without_groups(text) == plain


@pytest.mark.parametrize(
    ("value", "digits"),
    [("(52)_{8}", ("52", 8)), ("0x4e", ("4E", 16)), ("a_{12}", None), ("52_{0}", None), ("-(101)_{2}", ("-101", 2))],
)
def test_digits_in_a_base_are_no_letters_with_an_index(value: str, digits: tuple[str, int] | None) -> None:
    assert based(value) == digits


@pytest.mark.parametrize(
    ("side", "spelled"),
    [
        (r"m_{\max }", "m_{max}"),
        (r"\overline{AB}", "AB"),
        (r"\overline{z}", r"\overline{z}"),
        ("( x, y )", "(x,y)"),
        ("a : b", "a:b"),
        (r"\text{Area}", r"\text{area}"),
        ("x+y", None),
        ("x^2", None),
        (r"\pi", None),
        ("5", None),
    ],
)
def test_a_name_has_one_spelling(side: str, spelled: str | None) -> None:
    assert name(side) == spelled


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"$x=1$ or $x=2$", r"x=1 \text{ or } x=2"),
        ("$5 and $6", "$5 and $6"),
        (r"\$5", r"\$5"),
        ("$5", "$5"),
        (r"\(5\) miles", r"5 \text{ miles}"),
    ],
)
def test_dollars_mark_maths_or_are_money(text: str, plain: str) -> None:
    assert undelimited(text) == plain


@pytest.mark.parametrize("latex", [r"\-+", r"\\pm", r"\+-", r"\=>", "x\\\\pm 1", r"\pm"])
def test_a_sign_behind_a_backslash_is_not_taken_apart(latex: str) -> None:
    with contextlib.suppress(Unreadable):
        assert read(latex)


@given(
    st.text(alphabet="aB1 ,.:{}()_^√½²₂＝xX+", max_size=30),
    st.sampled_from(["${}$", r"\({}\)", r"\displaystyle {}", " {} "]),
)
def test_dollars_layout_and_spaces_around_a_text_do_not_change_its_key(text: str, dress: str) -> None:
    try:
        key = text_key(text)
    except Unreadable:
        return
    assert text_key(dress.format(text)) == key or not text.strip()
