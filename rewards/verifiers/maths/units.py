r"""Units at the end of a value (`5\text{ cm}^2`, `5 km/h`, `\$5`, `45^\circ`) in one spelling each.

A unit is words in `\text{…}`, whatever they are (`5\text{ apples}`), or one of the words below without `\text`. A bare
single letter is a variable and no unit: `5m` is five times m.
"""

from __future__ import annotations

import re

_SPELLINGS = {
    "mm": "millimeter millimetre", "cm": "centimeter centimetre", "dm": "decimeter decimetre", "m": "meter metre",
    "km": "kilometer kilometre", "in": "inch inche inches", "ft": "foot feet", "yd": "yard", "mi": "mile",
    "mg": "milligram", "g": "gram gm", "kg": "kilogram", "lb": "pound lbs", "oz": "ounce", "s": "second sec secs",
    "min": "minute mins", "h": "hour hr hrs", "day": "", "week": "", "month": "", "year": "yr yrs",
    "mL": "ml milliliter millilitre", "L": "l liter litre", "gal": "gallon", "mph": "", "kph": "kmh kmph",
    "deg": "degree °",
    "rad": "radian", "dollar": "usd USD $", "cent": "¢", "euro": "€ eur EUR", "gbp": "£", "rupee": "rs Rs inr ₹",
    "yen": "¥",
    "unit": "", "N": "newton", "J": "joule", "W": "watt", "V": "volt", "Pa": "pascal", "Hz": "hertz", "mol": "mole",
}  # fmt: skip
_CANONICAL = {spelling: unit for unit, others in _SPELLINGS.items() for spelling in (unit, *others.split())}
_MULTIPLIERS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "quadrillion": 15}
_MULTIPLIERS |= {"lakh": 5, "crore": 7}
_SIZES = ("square", "sq", "cubic", "cu")
_BARE = "|".join(
    sorted({w for w in (*_CANONICAL, *_SIZES, *_MULTIPLIERS) if len(w) > 1 and w.isalpha()}, key=lambda w: (-len(w), w))
)
_POWER = r"(?: ?\^ ?(?:\{ ?-?[0-9] ?\}|[0-9]))?"
_WORDS = rf"(?:\\text\{{[^{{}}]*\}}{_POWER})"
_BARE_WORD = rf"(?:(?<![a-zA-Z\\])(?:{_BARE})s?(?![a-zA-Z]){_POWER})"
_ONE = rf"(?:{_WORDS}|{_BARE_WORD})"
_TAIL = re.compile(
    rf"\s*(?P<unit>\^\s*\\circ\s*(?:[CF]\b|\\text\{{\s*[CF]\s*\}})?"
    rf"|\\frac\{{\s*{_WORDS}\s*\}}\{{\s*{_WORDS}\s*\}}"
    rf"|{_ONE}(?: ?(?:(?:/|\\cdot) ?)?{_ONE}){{0,5}}"
    rf"|(?<=[0-9}} ])(?:km|m)\s*/\s*(?:h|s){_POWER}|\\\$|[$€£¢])\s*$"
)
_CURRENCY = re.compile(
    r"^(?P<sign>-?)\s*(?P<unit>\\\$|[$€£₹¥]|(?:\\text\{\s*)?(?<![a-zA-Z])Rs\.?\s*\}?(?=\s*[0-9]))\s*"
)
_NO_UNITS = frozenset(
    """or and not no none more less than least most about if when mod modulo base is are times percent point where
    for dozen score gross factorial choose plus minus divided root basis tenths hundredths thousandths halves thirds
    fourths fifths sixths eighths over negative inverse reciprocal conjugate power sign tens two three four five six
    seven eight nine ten eleven twelve false wrong incorrect invalid never except half halved third
    doubled tripled twice thrice tenth hundredth thousandth pi infinity approx approximately roughly
    maybe""".split()  # noqa: SIM905
)
_VARIABLE = re.compile(r"\\text\{ ?[abcdefijknopqruvwxyz] ?\}")
_MILES_AN_HOUR, _KILOMETRES_AN_HOUR = re.compile(r"(?i)\bmph\b"), re.compile(r"(?i)\b(?:kph|kmh|kmph)\b")
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([a-zA-Z]+)\.?")
_SEVERAL = re.compile(rf"{_QUANTITY.pattern}(?:,? (?:and )?{_QUANTITY.pattern})+")
_FAMILIES = tuple(
    units.split()
    for units in ("year month week day h min s", "mi yd ft in", "km m cm mm", "kg g mg", "lb oz", "dollar cent")
)
_MAX_WORDS = 6
_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")


def strip_unit(text: str) -> tuple[str, str]:
    r"""The value without its unit, and the unit in its one spelling ("" if it has none): `5\text{ feet}` → `5`, `ft`.

    "5 million dollars" is `5\cdot 10^{6}`, `dollar`. Words that say more than a unit ("or more") are left in place.
    """
    currency = _CURRENCY.match(text)
    if currency and text[currency.end() :]:
        value, more = _strip_tail(re.sub(r"(?<=[0-9]) ?/ ?\\text\{", r"\\text{per ", text[currency.end() :]))
        unit = canonical(currency["unit"])
        return currency["sign"] + value, unit if more in ("", unit) else f"{unit} {more}"
    return _strip_tail(text)


def several(text: str) -> str | None:
    r"""A quantity in two or more units, `2\text{ hours and }15\text{ minutes}`, with the units in their one spelling;
    None if it is something else."""
    plain = " ".join(re.sub(r"\\text ?\{([^{}]*)\}", r" \1 ", text).split())
    if _SEVERAL.fullmatch(plain) is None:
        return None
    pairs = [(number, canonical(unit)) for number, unit in _QUANTITY.findall(plain)]
    units = [unit for _, unit in pairs]
    for family in _FAMILIES:
        if set(units) <= set(family) and units == sorted(set(units), key=family.index):
            return " ".join(f"{number} {unit}" for number, unit in pairs)
    return None


def _strip_tail(text: str) -> tuple[str, str]:
    tail = _TAIL.search(text)
    if tail is None or not text[: tail.start()].strip():
        return text, ""
    value, words = text[: tail.start()].strip(), tail["unit"]
    if words.startswith("^") and _FUNCTION.search(value):
        return text, ""  # the degrees of an angle inside a function, not of the value
    plain = set(re.findall("[a-z]+", words.lower()))
    numbers = re.search(r"(?<![\^{-])[0-9]", words)  # but those of powers
    if _VARIABLE.fullmatch(words) or re.match(r"\\text\{\s*(?:squared|cubed)", words):
        return text, ""  # that is a power
    if numbers or plain & _NO_UNITS or len(plain) > _MAX_WORDS or value[-1] in "+-=<>/^_":
        return text, ""
    for word, zeros in _MULTIPLIERS.items():
        if word in plain:
            words = re.sub(rf"\b{word}s?\b", "", words, flags=re.IGNORECASE)
            value += rf"\cdot 10^{{{zeros}}}"
    return value, canonical(words)


def canonical(unit: str) -> str:
    r"""One spelling for a unit: `\text{square feet}`, `\text{ft}^2`, `\text{ft}^{2}` → `ft^2`; "" for no words."""
    text = unit.replace(r"\$", "$").replace(r"\circ", "°").replace(r"\cdot", " ")
    text = re.sub(r"\\frac\{(.*)\}\{(\\text.*)\}", r"\1/\2", text)
    text = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)
    text = _KILOMETRES_AN_HOUR.sub("km/h", _MILES_AN_HOUR.sub("mi/h", text))
    text = re.sub(r"\^\s*\{?\s*(-?[0-9])\s*\}?", r"^\1", text).replace("^ °", "°").replace("^°", "°")
    powers: dict[str, int] = {}
    sign, next_power, last = 1, 1, ""
    for word in re.findall(r"[^\W\d_]+|[$€£¢°₹¥]|/|\^-?[0-9]", text):
        word = word if len(word) < 3 else word.lower()  # "mW" and "MW" differ
        if word in ("/", "per"):
            sign = -1
        elif word in ("square", "sq", "cubic", "cu"):
            next_power = 2 if word.startswith("s") else 3
        elif word in ("squared", "cubed") or word[0] == "^":
            exponent = int(word[1:]) if word[0] == "^" else 2 if word[0] == "s" else 3
            if last:
                powers[last] += (exponent - 1) * (1 if powers[last] > 0 else -1)
        else:
            last = _CANONICAL.get(word) or _CANONICAL.get(word.removesuffix("s")) or word.removesuffix("s")
            powers[last] = powers.get(last, 0) + sign * next_power
            next_power = 1
    return " ".join(name if power == 1 else f"{name}^{power}" for name, power in sorted(powers.items()) if power)
