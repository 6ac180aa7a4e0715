r"""Characters beyond ASCII, as the LaTeX that prints them: `x³` → `x^{3}`, `½` → `\frac{1}{2}`, `√13` → `\sqrt{13}`.

Unicode's compatibility forms (NFKC) are taken where they change the width or the font of a character and nothing else.
Where they would change what is said (`2³` is not 23, `1½` not 11/2, `①` not 1), they are written out or left alone.
"""

from __future__ import annotations

import re
import unicodedata

_SIGNS = {
    r"\cdot ": "×⋅·∙•∗✕✖", "/": "÷∕⁄", r"\pm ": "±", r"\mp ": "∓", r"\infty ": "∞", r"\circ ": "∘",
    r"\le ": "≤≦⩽", r"\ge ": "≥≧⩾", r"\ne ": "≠", r"\approx ": "≈≃≅", r"\equiv ": "≡", r"\sim ": "∼～",
    r"\cup ": "∪", r"\cap ": "∩", r"\in ": "∈", r"\notin ": "∉", r"\subset ": "⊂", r"\subseteq ": "⊆",
    r"\setminus ": "∖＼", r"\emptyset ": "∅⌀", r"\mid ": "∣", r"\parallel ": "∥", r"\perp ": "⊥⟂",
    r"\angle ": "∠", r"\triangle ": "△", r"^\circ ": "°º˚", "'": "′’ʹ‘", "''": "″”“",
    r"\to ": "→", r"\Rightarrow ": "⇒⟹",
    r"\langle ": "⟨〈〈", r"\rangle ": "⟩〉〉", r"\lfloor ": "⌊", r"\rfloor ": "⌋", r"\lceil ": "⌈", r"\rceil ": "⌉",
    r"\ldots ": "…⋯", r"\land ": "∧", r"\lor ": "∨", r"\neg ": "¬", r"\forall ": "∀", r"\exists ": "∃",
    r"\partial ": "∂", r"\sum ": "∑", r"\prod ": "∏", r"\int ": "∫", r"\ell ": "ℓ", "-": "−–—‐‑‒―﹣－",
    ",": "、", ".": "。", ":": "∶", r"\{": "｛", r"\}": "｝", r"\$": "＄﹩", r"\%": "％﹪", r"\&": "＆", r"\#": "＃",
    r"\alpha ": "α", r"\beta ": "β", r"\gamma ": "γ", r"\delta ": "δ", r"\varepsilon ": "ε", r"\epsilon ": "ϵ",
    r"\zeta ": "ζ", r"\eta ": "η", r"\theta ": "θ", r"\vartheta ": "ϑ", r"\iota ": "ι", r"\kappa ": "κ",
    r"\lambda ": "λ", r"\mu ": "μµ", r"\nu ": "ν", r"\xi ": "ξ", r"\pi ": "π", r"\rho ": "ρ", r"\sigma ": "σ",
    r"\tau ": "τ", r"\upsilon ": "υ", r"\varphi ": "φ", r"\phi ": "ϕ", r"\chi ": "χ", r"\psi ": "ψ", r"\omega ": "ω",
    r"\Gamma ": "Γ", r"\Delta ": "Δ∆", r"\Theta ": "Θ", r"\Lambda ": "Λ", r"\Xi ": "Ξ", r"\Pi ": "Π", r"\Sigma ": "Σ",
    r"\Phi ": "Φ", r"\Psi ": "Ψ", r"\Omega ": "ΩΩ",
}  # fmt: skip
_SAME_IN_PRINT = frozenset({"<wide>", "<narrow>", "<small>", "<font>", "<square>", "<noBreak>"})

_RAISED = {"⁰": "0", "¹": "1", "²": "2", "³": "3", "⁺": "+", "⁻": "-", "⁽": "(", "⁾": ")", "ⁿ": "n", "ⁱ": "i"}
_RAISED |= {chr(0x2070 + digit): str(digit) for digit in range(4, 10)}
_RAISED |= dict(zip("ᵃᵇᶜᵈᵉᶠᵍʰʲᵏˡᵐᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", "abcdefghjklmoprstuvwxyz", strict=True))
_LOWERED = {"₊": "+", "₋": "-", "₍": "(", "₎": ")", **{chr(0x2080 + digit): str(digit) for digit in range(10)}}
_LOWERED |= dict(zip("ₐₑᵢⱼₒᵣᵤᵥₓₕₖₗₘₙₚₛₜ", "aeijoruvxhklmnpst", strict=True))
_UP, _DOWN = "".join(map(re.escape, _RAISED)), "".join(map(re.escape, _LOWERED))
_SLASHED = re.compile(rf"(?<![{_UP}])([{_UP}]+)[⁄/]([{_DOWN}]+)")
# Of a root, if there is nothing that it could be a power of.
_INDEX = re.compile(rf"(?<![\w)}}\]!'|%°½¼¾{_UP}])([{_UP}]+)√")
_POWERS = re.compile(rf"[{_UP}]+")
_SUBSCRIPTS = re.compile(rf"[{_DOWN}]+")

_ROOTS = {"√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"}
_ROOT = re.compile(r"[√∛∜](?:\[[0-9a-z]{1,9}\])?")
_RADICAND = re.compile(
    r"(?P<roots>(?:[√∛∜]\s*(?:\[[0-9a-z]{1,9}\]\s*)?)+)"
    r"(?P<under>[-−]?[0-9]+(?:\.[0-9]+)?|[a-zA-Z]|\\frac\{[^{}]*\}\{[^{}]*\}|\\(?!frac|sqrt|[lr]brac|left)[a-zA-Z]+)?"
)


class _Table(dict[int, str]):
    """Each character's LaTeX, found when it is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = latex = _latex(chr(code))
        return latex


def _latex(char: str) -> str:
    if unicodedata.category(char) == "Zs":
        return " "
    kind, *decomposed = unicodedata.decomposition(char).split() or [""]
    name = unicodedata.name(char, "")
    if "DOUBLE-STRUCK CAPITAL" in name:
        return rf"\mathbb{{{unicodedata.normalize('NFKC', char)}}}"
    if kind == "<fraction>" and (parts := unicodedata.normalize("NFKC", char).split("⁄"))[-1]:
        return rf"\frac{{{parts[0]}}}{{{parts[1]}}}"
    if kind in _SAME_IN_PRINT or "LATIN SMALL LIGATURE" in name:
        return "".join(_TABLE[int(code, 16)] if int(code, 16) > 127 else chr(int(code, 16)) for code in decomposed)
    return char


_TABLE = _Table({ord(char): latex for latex, chars in _SIGNS.items() for char in chars})
_TABLE.update({code: chr(code) for code in range(128)})
_TABLE.update({ord(char): char for char in "".join([*_RAISED, *_LOWERED, *_ROOTS])})


def as_latex(text: str) -> str:
    r"""The text in ASCII as far as its characters have a LaTeX form.

    A root without bracket reaches over the number, letter or command behind it, as in print: `3√13` is `3\sqrt{13}`,
    `√2/2` half of `\sqrt{2}`, and `√x²` the square of `\sqrt{x}`.
    """
    if text.isascii():
        return text
    text = _SLASHED.sub(lambda match: rf"\frac{{{_plain(match[1])}}}{{{_plain(match[2])}}}", text)
    text = _INDEX.sub(lambda match: rf"√[{_plain(match[1])}]", text)
    text = text.translate(_TABLE)
    text = _POWERS.sub(lambda match: f"^{{{_plain(match[0])}}}", text)
    text = _SUBSCRIPTS.sub(lambda match: f"_{{{_plain(match[0])}}}", text)
    return _RADICAND.sub(_root, text)


def _plain(raised_or_lowered: str) -> str:
    return "".join(_RAISED.get(char) or _LOWERED[char] for char in raised_or_lowered)


def _root(match: re.Match[str]) -> str:
    roots = [_ROOTS[root[0]] + root[1:] for root in _ROOT.findall(match["roots"])]
    if match["under"] is None:
        return "".join(roots) + " "  # a bracket follows, or an index
    return "".join(root + "{" for root in roots) + match["under"] + "}" * len(roots)
