r"""What equals what under the default rules: lists, sets, tuples and intervals, as (reference, answer)."""

from __future__ import annotations

EQUAL: list[tuple[str, str]] = [
    # bare lists
    ("1,2", "2, 1"),
    ("1, 2", r"1 \text{ and } 2"),
    ("1, 2", r"x=1 \text{ or } x=2"),
    ("1, 2", "x=1, x=2"),
    ("1, 2", "1; 2"),
    ("2, -2", r"\pm 2"),
    (r"\pm 2", "-2, 2"),
    (r"1\pm\sqrt{2}", r"1-\sqrt{2}, 1+\sqrt{2}"),
    (r"\frac{-1\pm\sqrt5}{2}", r"\frac{-1+\sqrt5}{2},\frac{-1-\sqrt5}{2}"),
    (r"x=\pm 2", "x=2, x=-2"),
    # sets
    (r"\{1,2\}", r"\{2,1\}"),
    (r"\{1,2\}", r"\{1,2,2\}"),
    (r"\{1,2\}", "1,2"),
    ("1,2", r"\{1,2\}"),
    (r"\{5\}", "5"),
    (r"\emptyset", r"\varnothing"),
    (r"\emptyset", r"\{\}"),
    # tuples and intervals
    ("(1,2)", "(1, 2)"),
    ("(1,2,3)", r"\langle 1,2,3\rangle"),
    ("(1,2)", r"\langle 1,2\rangle"),
    ("(1,2),(3,4)", "(3,4), (1,2)"),
    ("(1,000, 2,000)", "(1000, 2000)"),
    ("[0,1)", "[0,1.0)"),
    (r"(-\infty, 2)", r"(-\infty,2)"),
    (r"(0,1)\cup(2,3]", r"(2,3]\cup(0,1)"),
    (r"(0,1)\cup[1,2)", "(0,2)"),
    (r"\mathbb{R}\setminus\{0\}", r"(-\infty,0)\cup(0,\infty)"),
    ("x>2", r"(2,\infty)"),
    (r"(2,\infty)", "x>2"),
    (r"[1,2)", r"1\le x<2"),
    (r"[1,2)", r"x\in[1,2)"),
    ("x>2", "2<x"),
    (r"1<x<2", "2>x>1"),
    (r"x\neq 0", r"(-\infty,0)\cup(0,\infty)"),
    # sets in sets
    (r"\{\{1\},\{2\}\}", r"\{\{2\},\{1\}\}"),
    (r"\{\emptyset,\{1\}\}", r"\{\{1\},\{\}\}"),
    (r"x\in\{5\}", "5"),
    (r"\{(3,8)\}", "(3,8)"),
    # two points in one
    (r"(\pm1,0)", "(1,0),(-1,0)"),
    (r"(0,2\pm\sqrt{3})", r"(0,2-\sqrt3)\text{ and }(0,2+\sqrt3)"),
]

UNEQUAL: list[tuple[str, str]] = [
    # brackets, order, ends
    ("(1,2)", r"\{1,2\}"),
    (r"\{1,2\}", "(1,2)"),
    ("(1,2)", "1,2"),
    ("1,2", "(1,2)"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", "[1,2]"),
    ("[0,1)", "[0,1]"),
    ("[0,1)", "(0,1]"),
    ("(0,1)", r"(0,1)\cup(2,3)"),
    ("(1,2,3)", "(1,2)"),
    ("1,1,2", "1,2"),
    ("1,2", "1,1,2"),
    (r"\{1,2\}", r"\{1,2,3\}"),
    (r"\{1,2,3\}", r"\{1,2\}"),
    ("x>2", r"x\ge 2"),
    ("x>2", "x<2"),
    ("x>2", "y>2"),
    ("x>2", "-x>-2"),
    (r"(2,\infty)", r"x\ge 2"),
    (r"1<x<2", r"1<x\le 2"),
    (r"\emptyset", "0"),
    # sets in sets
    (r"\emptyset", r"\{\emptyset\}"),
    (r"\{\emptyset\}", r"\emptyset"),
    (r"\mathbb{R}", r"\{\mathbb{R}\}"),
    (r"\{\{1\},\{2\}\}", r"\{1,2\}"),
    ("(3,8)", r"(\{3\},8)"),
    (r"\{(3,8)\}", "[3,8]"),
    (r"\{(3,8)\}", "(8,3)"),
    # two points in one
    (r"(\pm1,0)", "(1,0)"),
    (r"(\pm1,0)", "(0,1),(0,-1)"),
    (r"(\pm1,\pm2)", "(1,2),(-1,-2)"),
]
