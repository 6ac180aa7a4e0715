"""No text makes reading slow, which happens in the verifier's own process: no exponential time, whatever the text."""

import contextlib

import pytest

from reprise.rewards.verifiers.maths.characters import as_latex
from reprise.rewards.verifiers.maths.comparing import Comparison
from reprise.rewards.verifiers.maths.latex import _OTHER_SCRIPT, Unreadable, text_key
from reprise.rewards.verifiers.maths.numbers import NeedsLibrary, PlainArithmetic
from reprise.rewards.verifiers.maths.reading import read
from reprise.rewards.verifiers.maths.rules import MathsRules

NESTED = [
    r"\{x|x>1, *\}",
    r"\{x|x, *\}",
    "(a=1,b=2;c=3,*)",
    "{1,*}",
    "A(1,*)",
    "1:(*)",
    "(1 or *)",
    "]1,*[",
    r"√(*)",
    r"\sqrt{*}",
]


@pytest.mark.timeout(60)  # read twice at each depth, it would never end
@pytest.mark.parametrize("pair", NESTED)
@pytest.mark.parametrize("depth", [30, 59])
def test_what_is_nested_is_read_once(pair: str, depth: int) -> None:
    before, after = pair.split("*")
    with contextlib.suppress(Unreadable):
        read(before * depth + "1" + after * depth)


@pytest.mark.timeout(60)  # quadratic time would take hours
def test_runs_of_letters_and_raised_digits_take_linear_time() -> None:
    assert as_latex("²" * 200_000).startswith("^{222")
    assert as_latex("⁺" * 200_000).startswith("^{+++")
    assert _OTHER_SCRIPT.sub("", "x" * 200_000 + " été") == "x" * 200_000 + " "


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece",
    [
        "½",
        "³√",
        "√",
        "¹⁄₂",
        "$x$ ",
        "$",
        r"\(",
        "x>1 or ",
        "x=1,y=2;",
        "1 000 ",
        r",\!111",
        "<1,",
        "0x",
        "P(",
        "_{1}",
        "]1,",
    ],
)
def test_what_is_long_is_read_in_time(piece: str) -> None:
    text = (piece * 5000)[:5000]
    for variant in (text, f"x={text}", f"({text})"):
        with contextlib.suppress(Unreadable):
            read(variant)
        with contextlib.suppress(Unreadable):
            text_key(variant)


@pytest.mark.timeout(60)
def test_many_names_are_compared_in_time() -> None:
    reference = ", ".join(f"x_{{{i}}}={i}" for i in range(200))
    answer = ", ".join(f"x_{{{i}}}={i}" for i in reversed(range(200)))
    comparison = Comparison(MathsRules(), PlainArithmetic())
    [ours], [theirs] = read(reference, reference=True), read(answer)
    assert comparison.same(ours, theirs)
    with contextlib.suppress(NeedsLibrary):
        assert not comparison.same(ours, read(answer.replace("=199", "=198"))[0])
