"""Reading answers: structure only, in no worker, whatever the text."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprise.rewards.verifiers.maths.comparing import Comparison
from reprise.rewards.verifiers.maths.forms import Form, Items, Region, Relation, Value, Words
from reprise.rewards.verifiers.maths.latex import Unreadable, clean
from reprise.rewards.verifiers.maths.numbers import NeedsLibrary, PlainArithmetic, number
from reprise.rewards.verifiers.maths.reading import read
from reprise.rewards.verifiers.maths.rules import MathsRules


@pytest.mark.parametrize(
    ("latex", "form"),
    [
        ("5", Value("5")),
        (r"10\%", Value("10", percent=True)),
        (r"5\text{ cm}", Value("5", unit="cm")),
        ("1010_2", Value("1010", base=2)),
        (r"\text{An even one!}", Words("an even one")),
        (r"\text{No solution!}", Value(r"\emptyset")),
        ("(1,2]", Items("tuple", (Value("1"), Value("2")), "(", "]")),
        (r"\{1,2\}", Items("set", (Value("1"), Value("2")))),
        ("1, 2", Items("list", (Value("1"), Value("2")))),
        (r"\pm x", Items("list", (Value("x"), Value("-x")))),
        (r"(0,1)\cup\{2\}", Region((read("(0,1)")[0], Items("set", (Value("2"),))), (r"\cup",))),
        ("x=5", Relation(("x", "5"), ("=",), Value("5"))),
        ("5<x", Relation(("x", "5"), (">",), Value("5"))),
        (r"\left(\dfrac12\right)", Value(r"\frac{1}{2}")),
    ],
)  # fmt: skip
def test_the_structure_is_what_was_written(latex: str, form: Form) -> None:
    assert read(latex)[0] == form


def test_a_comma_between_thousands_is_read_both_ways_in_an_answer_and_as_a_number_in_a_reference() -> None:
    listed = Items("list", (Value("1"), Value("234")))
    assert read("1,234") == [Value("1234"), listed]
    assert read("1,234", reference=True) == [Value("1234")]
    assert read("(1,234)", reference=True) == [Items("tuple", listed.items, "(", ")")]


@pytest.mark.parametrize(
    "latex",
    ["", " ", ")", "(", r"\{1", r"\frac{1}", "x^2=", "=", r"\%", "1 2", "x_2_3 4_5", "(" * 99 + ")" * 99, "," * 9],
)
def test_what_has_no_structure_is_unreadable(latex: str) -> None:
    with pytest.raises(Unreadable):
        read(latex)


PIECES = r"1 2 x ( ) [ ] { } \{ \} , ; = < \le \in \cup \pm \frac \sqrt ^ _ \text{ \text{cm} \% %"
PIECES += r" \$ $ € e+ 1e5 \\ & . - / | : '"
PIECES += (
    r" \begin{pmatrix} \end{pmatrix} \left \right \mid or and \langle \rangle \! ~ \boxed{ B (B) infinity \infty ½"
)


@given(st.lists(st.sampled_from([*PIECES.split(" "), " ", "\0", "\ud800", "٣", "\n"]), max_size=40).map("".join))
def test_any_text_is_read_or_unreadable_and_equals_itself(text: str) -> None:
    try:
        forms = read(text)
    except Unreadable:
        return
    comparison = Comparison(MathsRules(), PlainArithmetic())
    for form in forms:
        with contextlib.suppress(NeedsLibrary, Unreadable):
            assert comparison.same(form, form) or isinstance(form, Relation | Region)


@given(st.text(max_size=200))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    try:
        once = clean(text)
    except Unreadable:
        return
    assert number(once) == number(clean(once))


@pytest.mark.timeout(60)  # it was once exponential
@pytest.mark.parametrize(
    "piece", [*PIECES.split(" "), r"\text{a} ", "5 cm ", "1,000,", r"\frac12", r"\text{", "9", "a_"]
)
def test_reading_is_fast_even_at_the_greatest_length(piece: str) -> None:
    text = (piece * 5000)[:5000]
    for variant in (text, f"x={text}", f"({text})"):
        try:
            read(variant)
        except Unreadable:
            continue


@pytest.mark.timeout(60)  # it was once exponential
@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("5", r"\{" * 59 + "5" + r"\}" * 59),
        (r"\{" * 59 + "5" + r"\}" * 59, r"\{" * 58 + "5" + r"\}" * 58),
        (",".join(["1"] * 200), ", ".join(["1"] * 199 + ["2"])),
        (r"\{" + ",".join(["1"] * 200) + r"\}", ", ".join(["1.0"] * 199 + ["2"])),
        ("[1," * 59 + "2" + "]" * 59, "[1.0," * 59 + "2.0" + "]" * 59),
    ],
)
def test_comparing_is_fast_however_deep_or_long(reference: str, answer: str) -> None:
    comparison = Comparison(MathsRules(), PlainArithmetic())
    for ours in read(reference, reference=True):
        for theirs in read(answer):
            comparison.same(ours, theirs)


@pytest.mark.parametrize(
    ("latex", "value"),
    [("-3", "-3"), ("1.50", "3/2"), (r"-\frac{1}{2}", "-1/2"), ("1e3", "1000"), (r"2.5\cdot 10^{-1}", "1/4")],
)
def test_plain_numbers_are_exact(latex: str, value: str) -> None:
    assert str(number(latex)) == value


@pytest.mark.parametrize(
    "latex", ["", "x", "1/0", "1e99999", "1e999999999999", "9" * 5000, "1.2.3", "٣", "0x10", "1_0"]
)
def test_what_is_no_plain_number_is_none(latex: str) -> None:
    assert number(latex) is None
