r"""What equals what under the default rules: equations, inequalities and what they state, as (reference, answer)."""

from __future__ import annotations

EQUAL: list[tuple[str, str]] = [
    # equations and assignments
    ("5", "x=5"),
    ("x=5", "5"),
    ("5", "x = 2+3 = 5"),
    ("2", "1+1=2"),
    ("5", "5=x"),
    ("x=5", "5=x"),
    ("y=2x+1", "2x+1"),
    ("y=2x+1", "y=1+2x"),
    ("y=2x+1", "2x-y+1=0"),
    ("2x+3y=6", "4x+6y=12"),
    ("x^2+y^2=1", "1=x^2+y^2"),
    ("f(x)=x^2", "x^2"),
    (r"45", r"\angle ABC = 45^\circ"),
    ("5", r"\text{Area} = 5"),
    ("25", "a^2+b^2=25"),
    (r"\sqrt{2}", r"\sqrt{2} \approx 1.41"),
    (r"\sqrt{2}", r"x = \sqrt{2} \approx 1.4142"),
    ("1.41", r"\sqrt{2} \approx 1.41"),
    (r"\sqrt{2}\approx 1.41", r"\sqrt{2}"),
    (r"5\text{ cm}", r"5.0\text{ cm}\approx 5"),
    (r"\frac{\pi}{2}-\arccos x", r"\arcsin x"),
    ("a_n=2n+1", "2n+1"),
    ("x^10", "x^{10}"),
    (r"\frac{1}{x}", "1/x"),
]

UNEQUAL: list[tuple[str, str]] = [
    # equations
    ("5", r"5\approx 6"),
    ("6", r"5\approx 6"),
    ("3.14", r"\pi = 3.14"),
    ("5", "0=5"),
    # equations
    ("2", "3=2"),
    ("5", "x=5=6"),
    ("5", "x=2=5"),
    ("x=5", "y=5"),
    ("x=5", "x=6"),
    ("x^2+y^2=1", "1"),
    ("x^2+y^2=1", "x^2-y^2=1"),
    ("x^2=4", "x=2"),
    ("x=x+1", "y=y+1"),
    ("2x+3y=6", "2x+3y=7"),
]
