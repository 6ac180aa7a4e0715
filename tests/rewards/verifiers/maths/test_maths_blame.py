"""Nothing that an answer says makes it an infra error, and no box holds two guesses, whatever it is made of."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from reprise.core.types import Status, Task, Verdict
from reprise.rewards.base import Answer
from reprise.rewards.verifiers.maths import MathsVerifier

pytestmark = pytest.mark.slow

REFERENCES = [
    "5", r"\frac{1}{2}", "0.5", r"\sqrt{2}", r"\pi", "x+1", "x^2+y^2=1", "x=5", "y=2x+1", "x>3", "1<x<2", r"x \ne 2",
    "(1,2)", "[0,1)", r"(0,1)\cup(2,3)", r"(-\infty,2]", r"\{1,2\}", "1,2", r"\pm 2", r"x \in \{1,2\}", r"\emptyset",
    r"\begin{pmatrix}1\\2\end{pmatrix}", r"A=\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\text{no solution}", "B",
    "1010_2", r"10\%", r"5\text{ cm}", r"x \approx 1.31", r"\sqrt{2} \approx 1.41", "2^5=32", "12:30", "1:2:3",
    "f(x)=x^2", "x+y=1", r"(x,y)=(7,3)", r"x_1=2, x_2=3", r"\infty", r"\sum_{k=1}^{n} k", "3+2i", r"\{x \mid x>2\}",
    "10^{10^{10}}", "f'(x)", r"m_{\max}=n^2", r"x<1 \text{ or } x>2", r"\mathbb{R}", "e^x", r"\frac{dy}{dx}=2x", "n!",
    r"\ln 2", "|x|",
]  # fmt: skip

ATOMS = [
    "5", "0", "x", "y", "n", "i", "e", r"\pi", r"\infty", r"-\infty", "1/0", r"\frac{0}{0}", r"\emptyset",
    r"\mathbb{R}", r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\text{no}",
    r"\text{cm}", "i^i", "B", r"\sum_{n=1}^\infty n", r"\int_0^1 x dx", r"\lim_{x\to 0}\frac{1}{x}", r"\frac{d}{dx}",
    "f(x)", "f", "x'", r"\vec{v}", "10^{10^{10}}", r"(0,1)", r"[0,\infty)", r"\{1,2\}", "10^{-400}", "12:30",
    "1010_2", r"\max(x,y)", r"\gcd(4,6)", "٣", r"\sin", r"\log_0 5", r"\log_1 5", r"\binom{n}{k}",
    r"\operatorname{rank}", r"\sqrt[0]{2}", r"\lfloor x\rfloor", "", r"x_{1}", r"\det\begin{pmatrix}1\end{pmatrix}",
    r"|\begin{pmatrix}1\\2\end{pmatrix}|", r"\zeta(1)", r"\Gamma(0)",
]  # fmt: skip
JOINTS = [
    "+", "-", r"\cdot ", "/", "^", "=", "<", r"\le ", r"\ne ", r"\in ", r"\approx ", ",", r"\cup ", r"\cap ", r"\pm ",
    "", r"\setminus ", r"\text{ or }", r"\text{ and }", ":", "!", r"\%", r"\equiv ", r"\to ", "|", r"\mid ", "_", " ",
    ";",
]  # fmt: skip
FRAMES = [
    "{}", "x={}", "({},1)", r"\{{{}\}}", r"\frac{{1}}{{{}}}", r"\sqrt{{{}}}", "[{},2)", r"\sin({})", "|{}|",
    "2^{{{}}}", r"({})\cup(2,3)", "{}=1", "x>{}", r"\begin{{pmatrix}}{}\\2\end{{pmatrix}}", "f({})", "y={}+x",
    r"{}\approx 1.31", r"{}\text{{ cm}}", "({})^{{-1}}", "{},{}", "{}<x<{}", r"x\in({},{})", r"\log_{{{}}}{{{}}}",
    r"(x,y)=({},{})",
]  # fmt: skip


@pytest.fixture(scope="module")
def maths() -> Iterator[MathsVerifier]:
    verifier = MathsVerifier(processes=2, cpu_s=2.0)
    verifier.start()
    yield verifier
    verifier.close()


def written(rng: random.Random) -> str:
    def part() -> str:
        pieces = [rng.choice(ATOMS)]
        while rng.random() < 0.4:
            pieces += [rng.choice(JOINTS), rng.choice(ATOMS)]
        return "".join(pieces)

    frame = rng.choice(FRAMES)
    return frame.format(*(part() for _ in range(2)))


def verify(maths: MathsVerifier, reference: str, contents: list[str], rules: dict[str, object]) -> list[Verdict]:
    task = Task("t", "?", "maths", "math", reference, {"math": rules})
    return maths.verify([Answer(task, rf"\boxed{{{content}}}") for content in contents])


@pytest.mark.parametrize("evaluate", [False, True])
def test_no_answer_is_an_infra_error_or_raises(maths: MathsVerifier, evaluate: bool) -> None:
    rng = random.Random(f"blame {evaluate}")
    for reference in REFERENCES:
        contents = [written(rng) for _ in range(10)]
        verdicts = verify(maths, reference, contents, {"evaluate": evaluate, "tolerance": rng.choice([0.0, 0.01])})
        for content, verdict in zip(contents, verdicts, strict=True):
            assert verdict.status is not Status.INFRA_ERROR, (reference, content, verdict.detail)


def test_these_references_are_all_verified(maths: MathsVerifier) -> None:
    tasks = [Task(str(i), "?", "maths", "math", reference) for i, reference in enumerate(REFERENCES)]
    for task in tasks:
        maths.check_task(task)
    assert maths.check_tasks(tasks, lambda _: None) == {}


CANDIDATES = ["500", "501", "502"]
SEVERAL = [
    r"{} \approx {}", r"{} \approx {} \approx {}", "{}={}", "x={}={}", "{}=x={}", "{},{}", "{};{}",
    r"{} \text{{ or }} {}", "{} or {}", "{} and {}", r"{}\lor {}", r"\{{{},{}\}}", "({},{})", "[{},{}]", r"{}\cup {}",
    r"{}\cap {}", "{}:{}", "{}/{}", r"\{{{}\}}\cup\{{{}\}}", r"{} \pm {}", r"\pm {}", "{}<x<{}", r"x\in\{{{},{}\}}",
    r"{}\text{{ ({})}}", r"{}\text{{ {}}}", r"{}\quad {}", "{} {}", "{}|{}", r"{}\mid {}", r"{}\to {}",
    r"{}\Rightarrow {}", r"{}\ne {}", r"{}\equiv {}", "{}_{{{}}}", r"\begin{{cases}}{}\\{}\end{{cases}}",
    r"\begin{{pmatrix}}{}\\{}\end{{pmatrix}}", r"{}\%,{}", "{},{},", ",{},{}", "{}-{}",
    r"{} \text{{ cm or }} {}\text{{ cm}}", "x={},x={}", "x={}, y={}", r"{}.{}", "{}'{}",
    r"\boxed{{{}}} or \boxed{{{}}}", r"{}{{{}}}", r"{}\tag{{{}}}", r"{} % {}", r"{} \\ {}", "A. {} B. {}",
    "{} (or {})", r"\frac{{{}}}{{{}}}", "{}\n{}", r"{}\sim {}", r"{}\cong {}", r"{}\le x\le {}", "{}<{}",
    r"\text{{{} or {}}}", r"\text{{{}}}\text{{{}}}", "~{}~{}",
]  # fmt: skip


@pytest.mark.parametrize("rules", [{}, {"evaluate": True}, {"tolerance": 0.0001, "units": "optional"}])
def test_no_box_is_right_for_two_references(maths: MathsVerifier, rules: dict[str, object]) -> None:
    contents = [frame.format(*CANDIDATES) for frame in SEVERAL]
    right = [[v.score == 1 for v in verify(maths, reference, contents, rules)] for reference in CANDIDATES]
    several = [content for content, *scores in zip(contents, *right, strict=True) if sum(scores) > 1]
    assert several == []
