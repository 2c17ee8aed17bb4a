r"""Plain numbers in all spellings: `1,234.5`, `7.8e2`, `2 \times 10^{-10}`, `1.5万`, `twelve`.

Nothing is evaluated: a text matches one spelling as a whole, or is no plain number.
"""

import functools
import re

from stages.verifiers.formulas.expressions import Node
from stages.verifiers.kinds.values import Literal

DECIMAL = re.compile(r"([+-]?)\s*(\d+(?:\.\d*)?|\.\d+)")
GROUPED = re.compile(
    r"([+-]?)\s*((?!0)\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?!0)\d{1,3}(?: \d{3})+(?:\.\d+)?)"
)
COMMA_DECIMAL = re.compile(r"([+-]?)\s*(\d+),(\d+)")
POWER_OF_TEN = re.compile(
    r"([+-]?\s*\d+(?:\.\d+)?)\s*(?:\\times|\\cdot|\*|x|X)\s*10\s*(?:\^|\*\*)\s*[{(]?\s*"
    r"([+-]?\s*\d{1,5})\s*[})]?"
)
E_NOTATION = re.compile(r"([+-]?\d+(?:\.\d+)?)\s?[eE]\s?\{?([+-]?\d{1,5})\}?")
SCALES = {
    "hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "万": 4, "亿": 8,
    "千": 3, "百": 2, "百万": 6, "千万": 7, "万亿": 12, "mln": 6, "bn": 9,
}  # fmt: skip
SCALED = re.compile(rf"([+-]?[\d.,]+)\s*({'|'.join(sorted(SCALES, key=len, reverse=True))})")
ORDINAL = re.compile(r"(\d+)\s*\^?\s*\{?\s*(?:st|nd|rd|th)\s*\}?", re.IGNORECASE)

CHANCE = re.compile(r"(\d{1,9}) (?:in|out of) (\d{1,9})")
DOTTED = re.compile(r"([+-]?)\s*((?!0)\d{1,3}(?:(?:\.\d{3}){2,}|(?:_\d{3})+|(?:'\d{3})+))")
DOTTED_AND_COMMA = re.compile(r"([+-]?)\s*((?!0)\d{1,3}(?:\.\d{3})+),(\d{1,2})")
"""`1.234.567,5`, as most of Europe writes it."""
MIXED = re.compile(
    r"[a-z -]{3,40} and (?:an?|one|two|three|four|five|six|seven|eight|nine)[ -]"
    r"(?:half|halves|thirds?|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?)"
    r"(?![a-z])",
    re.IGNORECASE,
)
HAN_MIXED = re.compile(
    r"([一二两三四五六七八九十百]+)又([一二三四五六七八九十]+分之[一二三四五六七八九十]+)"
)

SCALE_WORDS = (" thousand", " million", " billion")
ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4,
    "fourths": 4, "fifth": 5, "fifths": 5, "sixth": 6, "sixths": 6, "seventh": 7, "sevenths": 7,
    "eighth": 8, "eighths": 8, "ninth": 9, "ninths": 9, "tenth": 10, "tenths": 10,
}  # fmt: skip
HAN = {character: value for value, character in enumerate("零一二三四五六七八九")} | {
    "两": 2,
    "〇": 0,
}
HAN_NUMBER = re.compile("[零〇一二两三四五六七八九十百千万亿]+")


@functools.lru_cache(maxsize=20_000)
def plain_number(text: str) -> tuple[Node, Literal] | None:
    """A number and how it was written; None where the text is not one plain number.

    Args:
        text: tidied text.
    """
    text = text.strip()
    if len(text) > 80:
        return None
    if match := DECIMAL.fullmatch(text):
        return _literal(match[1], match[2].rstrip("."))
    if match := GROUPED.fullmatch(text):
        return _literal(match[1], match[2].replace(",", "").replace(" ", ""))
    if match := DOTTED.fullmatch(text):
        return _literal(match[1], re.sub(r"\D", "", match[2]))
    if match := DOTTED_AND_COMMA.fullmatch(text):
        return _literal(match[1], f"{match[2].replace('.', '')}.{match[3]}")
    if (match := COMMA_DECIMAL.fullmatch(text)) and (match[2] == "0" or len(match[2]) > 3):
        return _literal(match[1], f"{match[2]}.{match[3]}")
    if match := (POWER_OF_TEN.fullmatch(text) or E_NOTATION.fullmatch(text)):
        return _scaled(match[1].replace(" ", ""), int(match[2].replace(" ", "")))
    if (match := SCALED.fullmatch(text)) and (base := plain_number(match[1])):
        return _scaled(("-" if base[0].kind == "neg" else "") + _digits(base[0]), SCALES[match[2]])
    if match := ORDINAL.fullmatch(text):
        return _literal("", match[1])
    value = _worded(text)
    return None if value is None else (_fraction(*value), Literal(0, 9, exact=True))


def _digits(node: Node) -> str:
    return node.parts[0].name if node.kind == "neg" else node.name


def _literal(sign: str, digits: str) -> tuple[Node, Literal]:
    node = Node("number", digits)
    _, _, decimals = digits.partition(".")
    significant = len(digits.replace(".", "").lstrip("0")) or 1
    literal = Literal(len(decimals), significant, exact="." not in digits)
    return (Node("neg", "", (node,)) if sign == "-" else node), literal


def _scaled(digits: str, exponent: int) -> tuple[Node, Literal]:
    node, literal = _literal("-" if digits[0] == "-" else "", digits.lstrip("+-"))
    power = Node("^", "", (Node("number", "10"), _fraction(exponent, 1)))
    literal = Literal(literal.decimals - exponent, literal.significant, exact=False)
    return Node("*", "", (node, power)), literal


def _fraction(numerator: int, denominator: int) -> Node:
    node = Node("number", str(abs(numerator)))
    if numerator < 0:
        node = Node("neg", "", (node,))
    return node if denominator == 1 else Node("/", "", (node, Node("number", str(denominator))))


def _worded(text: str) -> tuple[int, int] | None:
    """The value of a number in words, as a fraction."""
    if text == "一半":
        return 1, 2
    if text[:1] == "-" and not text[1:2].isdigit():
        return (-found[0], found[1]) if (found := _worded(text[1:].strip())) else None
    if HAN_NUMBER.fullmatch(text):
        return (value, 1) if (value := _han(text)) is not None else None
    if match := re.fullmatch(r"([一二三四五六七八九十]+)分之([一二三四五六七八九十]+)", text):
        denominator, numerator = _han(match[1]), _han(match[2])
        return (numerator, denominator) if numerator and denominator else None
    if (match := HAN_MIXED.fullmatch(text)) and (part := _worded(match[2])):
        return (_han(match[1]) or 0) * part[1] + part[0], part[1]
    if match := CHANCE.fullmatch(text):
        return (int(match[1]), int(match[2])) if int(match[2]) else None
    if not text.isascii() or not text[:1].isalpha():
        return None
    if mixed := _mixed(text.lower()):
        return mixed
    sign, _, rest = text.lower().partition(" ")
    if sign in ("negative", "minus") and (positive := _worded(rest)) is not None:
        return -positive[0], positive[1]
    words = text.lower().replace("-", " ").replace(" and ", " ").split()
    if len(words) > 12 or not words:
        return None
    if part := _part(words):
        return part
    value = _counted(words)
    return None if value is None else (value, 1)


def _part(words: list[str]) -> tuple[int, int] | None:
    """`two thirds`, `a half`, `half`."""
    if words[-1] not in PARTS or len(words) > 2 or words == ["third"]:
        return None
    count = _counted(["one" if words[0] in ("a", "an") else words[0]]) if len(words) == 2 else 1
    return (count, PARTS[words[-1]]) if count else None


def _mixed(text: str) -> tuple[int, int] | None:
    """`two and a quarter`, `one and a half million`, `three out of seven`."""
    head, joined, tail = text.rpartition(" out of ")
    if joined:
        top, bottom = _counted(head.split()), _counted(tail.split())
        return (top, bottom) if top and bottom else None
    text, _, scale = text.rpartition(" ") if text.endswith(SCALE_WORDS) else (text, "", "")
    head, joined, tail = text.rpartition(" and ")
    part = _part(tail.replace("-", " ").split()) if joined and tail else None
    whole = _counted(head.replace("-", " ").split())
    if not part or not whole or part[0] >= part[1]:
        return None
    return (whole * part[1] + part[0]) * 10 ** SCALES.get(scale, 0), part[1]


def _counted(words: list[str]) -> int | None:
    if not words:
        return None
    total = current = 0
    for word in words:
        if word in ONES:
            current += ONES.index(word)
        elif word in TENS:
            current += 10 * (TENS.index(word) + 2)
        elif word == "hundred":
            current *= 100
        elif word in ("thousand", "million", "billion"):
            total, current = total + (current or 1) * 10 ** SCALES[word], 0
        else:
            return None
    return total + current


def _han(text: str) -> int | None:
    total = section = digit = 0
    for character in text:
        if character in HAN:
            digit = HAN[character]
        elif character in "十百千":
            section += (digit or 1) * 10 ** ("十百千".index(character) + 1)
            digit = 0
        else:
            total = (total + section + digit) * 10 ** SCALES[character]
            section = digit = 0
    return total + section + digit
