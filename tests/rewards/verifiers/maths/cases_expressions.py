r"""What equals what under the default rules: values and expressions, as (reference, answer)."""

from __future__ import annotations

EQUAL: list[tuple[str, str]] = [
    # roots, constants, functions
    (r"\sqrt{8}", r"2\sqrt{2}"),
    (r"\sqrt3", r"\sqrt{3}"),
    (r"\sqrt{2}", "sqrt(2)"),
    (r"\sqrt{2}", "√2"),
    (r"\sqrt{2}", "2^{1/2}"),
    (r"\sqrt{2}", "2^(1/2)"),
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
    (r"\sqrt{2}+\sqrt{3}", r"\sqrt{5+2\sqrt{6}}"),
    (r"2\pi", "2π"),
    (r"2\pi", "2pi"),
    (r"\frac{2\pi}{3}", r"2\pi/3"),
    ("e", r"\mathrm{e}"),
    ("e^2", r"\exp(2)"),
    (r"\ln 2", r"\ln(2)"),
    (r"\sum_{i=1}^{10} i", "55"),
    (r"\int_0^1 x dx", "0.5"),
    (r"\infty", r"+\infty"),
    (r"\infty", "∞"),
    (r"\infty", r"\text{infinity}"),
    # complex numbers
    ("i", r"\sqrt{-1}"),
    (r"\sqrt{-1}", "i"),
    ("3+2i", "2i+3"),
    # expressions
    ("x+1", "1+x"),
    ("x^2+2x+1", "(x+1)^2"),
    ("2x", "2 x"),
    ("2x", r"2\cdot x"),
    ("xy", "yx"),
    ("x(x+1)", "x^2+x"),
    ("k(x+1)", "kx+k"),
    (r"\frac{x}{2}", r"\frac{1}{2}x"),
    (r"\frac{x^2-1}{x-1}", "x+1"),
    (r"\sin^2 x + \cos^2 x", "1"),
    (r"2\sin x\cos x", r"\sin 2x"),
    (r"\ln(x^2)", r"2\ln x"),
    (r"\sqrt{x^2}", "|x|"),
    ("f(x)+1", "1+f(x)"),
    ("x^2 + C", "C + x^2"),
    ("x_1+x_2", "x_2+x_1"),
    ("f'(x)", "f'(x)"),
    # matrices
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix}1&2\\3&4\end{bmatrix}"),
    (r"\begin{pmatrix}2\\4\end{pmatrix}", r"2\begin{pmatrix}1\\2\end{pmatrix}"),
    (r"\begin{pmatrix}1&2\end{pmatrix}", r"\left[\begin{array}{cc}1&2\end{array}\right]"),
    (r"\begin{pmatrix}x\\0.5\end{pmatrix}", r"\begin{pmatrix}x\\ \frac12\end{pmatrix}"),
    # d is a variable, unless something is integrated or derived
    (r"2d\sqrt{3}", r"2\sqrt{3}d"),
    (r"\pi d h", r"\pi hd"),
    ("dx", "xd"),
    (r"d\sin\theta", r"\sin(\theta)d"),
    (r"\begin{pmatrix}a&b\\c&d\end{pmatrix}", r"\begin{bmatrix}a&b\\c&d\end{bmatrix}"),
    # gamma is one, too
    (r"\gamma^2-1", r"(\gamma-1)(\gamma+1)"),
    (r"\gamma mc^2", r"mc^2\gamma"),
    (r"\gamma_1+1", r"1+\gamma_{1}"),
    (r"\hat{p}(1-\hat{p})", r"\hat p-\hat p^2"),
]

UNEQUAL: list[tuple[str, str]] = [
    # matrices
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}"),
    (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)"),
    (r"\begin{pmatrix}1\end{pmatrix}", "1"),
    # d is a variable
    (r"2d\sqrt{3}", r"2D\sqrt{3}"),
    ("dx", "dy"),
    (r"\begin{pmatrix}a&b\\c&d\end{pmatrix}", r"\begin{pmatrix}a&c\\b&d\end{pmatrix}"),
    (r"\gamma^2-1", r"(\Gamma-1)(\Gamma+1)"),
    (r"\gamma_1+1", r"\gamma_2+1"),
    (r"\hat{p}(1-\hat{p})", r"\hat p-p^2"),
]
