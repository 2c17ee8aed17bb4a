r"""One number or formula with what stands around it: units, currency, percent, degrees, words."""

import functools
import re
from dataclasses import replace
from fractions import Fraction

from stages.verifiers.formulas.expressions import Node, Unreadable
from stages.verifiers.formulas.grammar import parse
from stages.verifiers.kinds.numbers import plain_number
from stages.verifiers.kinds.units import factor, unit_of
from stages.verifiers.kinds.values import Quantity

CURRENCY = re.compile(r"(?P<sign>[+-]?)\s*(?P<money>US\\?\$|\\?\$|€|£|¥|￥|₹)\s*(?P<rest>.+)")
DEGREES = re.compile(
    r"([+-]?\d+(?:\.\d+)?)\s*\^\\circ\s*(?:(\d+(?:\.\d+)?)\s*(?:'|\^\\prime|\^\{\\prime\}))?"
    r"\s*(?:(\d+(?:\.\d+)?)\s*(?:''|\"))?"
)
ARC_MINUTES = re.compile(r"(\d+(?:\.\d+)?)\s*'")
SCALED_UNIT = re.compile(
    r"([\d.,]+\s*(?:百万|千万|万亿|[万亿]|(?:thousand|million|billion|trillion)(?= )))\s*(.{1,24})"
)
PER_MILLE = re.compile(r"(.{1,20}?)\s*(?:‰|per ?mill?e?)|千分之(.{1,12})")
BASED = re.compile(r"\(?(\d+)\)?\s*_\s*\{?\s*\(?(\d{1,2})\)?\s*\}?")
COMPOUND = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+|[\u4e00-\u9fff]{1,2})\s*(?:,|and|又)?\s*")
ARC_PARTS = {
    "minutes": "arcminute", "minute": "arcminute", "min": "arcminute", "分": "arcminute",
    "seconds": "arcsecond", "second": "arcsecond", "秒": "arcsecond",
}  # fmt: skip
DOZENS = re.compile(
    r"((?:half )?an? |[\w.,/ ]{1,20} ?)dozens?( and a half)?(?: of)?(?: ([A-Za-z ]{1,24}))?"
)
HALF_A = re.compile(r"^(?:a )?(half|quarter)(?: of)? an? (?=[a-z]+$)")
PART_OF = re.compile(r"([a-z]+[ -][a-z]+) of an? ([a-z]{3,12})")
"""`three quarters of an hour`"""
LEADING = re.compile(
    r"(?:about|approximately|around|roughly|only|just|(?:in )?the year"
    r"|in(?= \d{4}$)|一?共计?(?:有|是)?(?=\s*\d)|总共有?(?=\s*\d)|约|大约|\\approx|≈|~)\s*"
)
IN_BRACKETS = re.compile(r"\s*\(([A-Za-z][a-z ]{2,30})\)$")
TRAILING_WORDS = re.compile(r"\s*([A-Za-z\u4e00-\u9fff][A-Za-z\u4e00-\u9fff' -]*)$")
WORD = re.compile(r"(?:(?<=\s)|^)[A-Za-z]{3,}(?![A-Za-z(_^{\\])|(?<![\\A-Za-z])[A-Za-z]{5,}")
KNOWN_WORDS = frozenset(
    (
        "sqrt cbrt sin cos tan cot sec csc log exp arcsin arccos arctan sinh cosh "
        "tanh abs min max gcd lcm circ"
    ).split()
)
POWERS = {"squared": "^2", "cubed": "^3", "factorial": "!"}
POWER = re.compile(rf"(\d+(?:\.\d+)?|[a-z]) ({'|'.join(POWERS)})")
"""`5 squared`"""
NOT_COUNTED = re.compile(
    r"\b(?:more|less|fewer|greater|larger|smaller|other) than\b|^(?:plus|minus|times|over) \S"
    r"|\b(?:divided|multiplied|squared|cubed|factorial|hundred|thousand|million|billion)\b"
    r"|^and an? (?:half|third|quarter)\b"
)
"""Words that make another number of the one in front of them."""
COMPARED = re.compile(r"(?<=\S) more$")
"""`23 cents more` are cents."""
VOWEL = re.compile("[aeiouyAEIOUY]")
"""A short word without one is a product, `mgh`."""
HAN = re.compile("[\u4e00-\u9fff]")
DENIED = re.compile(
    r"\b(?:not|wrong|incorrect|false|no|or|isn't|never|if|else)\b|不|错|或", re.IGNORECASE
)
DIFFERENTIAL = re.compile(r"d\s*[A-Za-z](?![A-Za-z])")
TRIGONOMETRY = re.compile(r"(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
SHORTEST_LEFT = 1
LONGEST_UNIT = 40


@functools.lru_cache(maxsize=20_000)
def read_quantity(text: str) -> Quantity | None:
    """A number or formula with its unit; None where the text is neither.

    Args:
        text: tidied text without commas outside brackets.
    """
    text = HALF_A.sub(lambda match: f"0.{'5' if match[1] == 'half' else '25'} ", text)
    text = LEADING.sub("", text.strip(), count=1) if LEADING.match(text.strip()) else text.strip()
    if text == "" or len(text) > 1500:
        return None
    if found := plain_number(text):
        return Quantity(*found)
    if match := POWER.fullmatch(text):
        node = _formula(match[1] + POWERS[match[2]])
        return Quantity(node) if node else None
    if (match := PART_OF.fullmatch(text)) and (found := plain_number(match[1])):
        return Quantity(*found, unit=unit_of(match[2]))
    if (match := BASED.fullmatch(text)) and 2 <= int(match[2]) <= 36:
        return _in_base(match[1], int(match[2]))
    if match := ARC_MINUTES.fullmatch(text):
        found = plain_number(match[1])
        return Quantity(*found, unit="arcminute") if found else None
    if match := DEGREES.fullmatch(text):
        return _degrees(match)
    if match := CURRENCY.fullmatch(text):
        inner = read_quantity(match["sign"] + match["rest"])
        unit = unit_of(match["money"].replace("US", ""))
        if inner is not None and inner.unit in (None, "", unit):
            return Quantity(inner.node, inner.literal, unit)
        return None
    if text.startswith("百分之") and (found := plain_number(text[3:])):
        return Quantity(*found, unit="percent")
    if (match := PER_MILLE.fullmatch(text)) and (found := plain_number(match[1] or match[2])):
        node = Node("/", "", (found[0], _number("10")))
        return Quantity(node, replace(found[1], decimals=found[1].decimals + 1), "percent")
    if (match := SCALED_UNIT.fullmatch(text)) and (found := plain_number(match[1])):
        unit = unit_of(match[2])
        return Quantity(*found, unit=unit, counted="" if unit else match[2])
    if whole := compound(text):
        return whole
    if "dozen" in text and (match := DOZENS.fullmatch(text)):
        return _dozens(match[1].strip() + (match[2] or ""), match[3] or "")
    return _with_unit(text)


def _dozens(count: str, counted: str) -> Quantity | None:
    """`2 dozen eggs`, `half a dozen`."""
    known = {"a": "1", "half a": "0.5", "a and a half": "1.5"}
    found = plain_number(known.get(count, count))
    return Quantity(*found, unit="dozen", counted=counted) if found else None


def _with_unit(text: str) -> Quantity | None:
    whole = _formula(text)
    for start in _unit_starts(text):
        unit = unit_of(text[start:])
        if unit is None or (unit == "degree" and TRIGONOMETRY.search(text)):
            continue
        left = text[:start].rstrip(" *\\~")
        value = plain_number(left)
        if value is not None:
            return Quantity(*value, unit=unit, whole=whole)
        node = _formula(left)
        if node is not None and (whole is None or text[start - 1] in " }" or text[start] == "^"):
            return Quantity(node, None, unit, whole)
    if whole is not None:
        return Quantity(whole)
    return _with_words(text)


def _unit_starts(text: str) -> list[int]:
    """Where a unit could begin: at a letter or sign after a number, a bracket or a space."""
    first = max(SHORTEST_LEFT, len(text) - LONGEST_UNIT)
    return [
        position
        for position in range(first, len(text))
        if (text[position].isalpha() or text[position] in "\\^%$°€£¥￥(µ¢")
        and (
            text[position - 1].isdigit()
            or text[position - 1] in " })\\!'十百千万一二三四五六七八九两"
        )
    ]


def _with_words(text: str) -> Quantity | None:
    """A number followed by words that are no unit, such as what is counted."""
    match = IN_BRACKETS.search(text) or TRAILING_WORDS.search(text)
    if match is None or match.start() == 0 or DENIED.search(match[1]):
        return None
    if NOT_COUNTED.search(match[1]):
        return None
    if (bare := COMPARED.sub("", text)) != text and (whole := read_quantity(bare)) and whole.unit:
        return whole
    left = text[: match.start()]
    if found := plain_number(left):
        return Quantity(*found, counted=match[1])
    node = _formula(left)
    if node is None or not (left[-1].isdigit() or left[-1] in "})"):
        return None
    return Quantity(node, counted=match[1])


def is_wordy(text: str) -> bool:
    """Whether a text has words in it that no formula has."""
    if HAN.search(text):
        return True
    words = [word for word in WORD.findall(text) if word not in KNOWN_WORDS]
    return any(len(word) > 4 or VOWEL.search(word) for word in words)


def _formula(text: str) -> Node | None:
    if is_wordy(text):
        return None
    try:
        return parse(text)
    except Unreadable:
        return None


def _in_base(digits: str, base: int) -> Quantity | None:
    try:
        value = int(digits, base)
    except ValueError:
        return None
    return Quantity(Node("number", str(value)), base=base)


def _degrees(match: re.Match[str]) -> Quantity | None:
    found = plain_number(match[1])
    if found is None:
        return None
    node, literal = found
    if match[2] is None and match[3] is None:
        return Quantity(node, literal, "degree")
    sign = "-" if match[1].startswith("-") else "+"
    for part, size in ((match[2], "60"), (match[3], "3600")):
        if part:
            node = Node(sign, "", (node, Node("/", "", (_number(part), _number(size)))))
    return Quantity(node, None, "degree")


def compound(text: str) -> Quantity | None:
    """`1 h 30 min`, in the first of its units."""
    parts = COMPOUND.findall(text)
    if len(parts) < 2 or COMPOUND.sub("", text).strip():
        return None
    units = [unit_of(word) for _, word in parts]
    if units[0] == "degree":
        units = [ARC_PARTS.get(word, unit) for (_, word), unit in zip(parts, units, strict=True)]
    if units[0] in ("hour", "minute") and "分" in text:
        units = [
            "minute" if word == "分" else unit for (_, word), unit in zip(parts, units, strict=True)
        ]
    if units[0] == "hour":
        units = ["minute" if unit == "meter" else unit for unit in units]  # 2h 15m
    first = units[0]
    if not first or not all(units):
        return None
    node: Node | None = None
    last = 2.0
    for (digits, _), unit in zip(parts, units, strict=True):
        size = factor(unit or "", first)
        if size is None or size >= last:
            return None  # 10 cm and 12 cm are two lengths
        last = size
        term = Node("*", "", (_number(digits), _exact(size)))
        node = term if node is None else Node("+", "", (node, term))
    return None if node is None else Quantity(node, None, first)


def _exact(size: float) -> Node:
    """A factor between units, as the fraction that it is."""
    fraction = Fraction(size).limit_denominator(10_000)
    if abs(float(fraction) - size) > 1e-15:
        return _number(f"{size:.17f}")
    return Node("/", "", (_number(str(fraction.numerator)), _number(str(fraction.denominator))))


def _number(digits: str) -> Node:
    return Node("number", digits)


def split_unit(text: str) -> tuple[str, str]:
    """What stands before the unit of a formula that need not be readable here, and the unit.

    Percent is none: it is a matter of the value. No unit is an empty one.
    """
    for start in _unit_starts(text):
        if DIFFERENTIAL.match(text, start):
            continue
        unit = unit_of(text[start:])
        if unit and unit != "percent" and not (unit == "degree" and TRIGONOMETRY.search(text)):
            return text[:start].rstrip(" *\\~"), unit
    return text, ""
