r"""What equals what under each rule that a task may state."""

from __future__ import annotations

# rule, reference, answer, equal
BY_RULE: list[tuple[dict[str, object], str, str, bool]] = [
    ({"percent": "fraction"}, r"10\%", "0.1", True),
    ({"percent": "fraction"}, "0.1", r"10\%", True),
    ({"percent": "fraction"}, r"\frac{1}{3}", r"33\frac{1}{3}\%", True),
    ({"percent": "fraction"}, r"10\%", "10", False),
    ({"percent": "ignore"}, "10", r"10\%", True),
    ({"percent": "ignore"}, r"10\%", "10", True),
    ({"percent": "ignore"}, r"10\%", "0.1", False),
    ({"order": "fixed"}, "1,2", "1, 2", True),
    ({"order": "fixed"}, "1,2", "2,1", False),
    ({"order": "fixed"}, r"\{1,2\}", r"\{2,1\}", True),
    ({"tolerance": 0.01}, "3.14", r"\pi", True),
    ({"tolerance": 0.01}, "100", "101", True),
    ({"tolerance": 0.01}, "100", "101.1", False),
    ({"tolerance": 0.01}, "0", "0.001", False),
    ({"tolerance": 0.01}, "(1,100)", "(1,100.5)", True),
    ({"tolerance": 1e-6}, r"\frac{1}{3}", "0.3333333", True),
    ({"units": "optional"}, r"5\text{ cm}", "5", True),
    ({"units": "optional"}, r"5\text{ cm}", r"5\text{ m}", False),
    ({"interval_ends": "ignore"}, "[0,1)", "(0,1)", True),
    ({"interval_ends": "ignore"}, "[0,1)", "(0,2)", False),
    ({"vectors": "same"}, "(1,2)", r"\begin{pmatrix}1\\2\end{pmatrix}", True),
    ({"vectors": "same"}, r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}", True),
    ({"vectors": "same"}, r"\begin{pmatrix}1\\2\end{pmatrix}", "(2,1)", False),
    ({"vectors": "same"}, "(1,2)", r"\{1,2\}", False),
]
