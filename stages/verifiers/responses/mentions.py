"""Values that a sentence mentions: numbers in figures and words, measures, tuples, comparisons."""

import re

from stages.verifiers.formulas.expressions import symbols
from stages.verifiers.kinds.numbers import SCALES, plain_number
from stages.verifiers.kinds.quantities import compound, read_quantity
from stages.verifiers.kinds.units import unit_of
from stages.verifiers.kinds.worded_regions import region_in_words
from stages.verifiers.spelling.clean import tidy

NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.,+*/^(){}-])(?P<number>(?:[$€£¥]"
    r"|\\\$)?[-−+]?\d[\d,]*(?:\.\d+)?(?:√\d+)?π?(?:\s*/\s*\d+)?"
    r"(?:\s?(?:×|\\times|\*|x)\s?10\s?(?:\^\{?[-+−]?\d{1,3}\}?|[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3}))?"
    r"(?:\s*[:：]\s*\d+)?(?:e[+-]?\d+)?)(?P<unit>\s?(?:%|\\%|°[CF]?|º|€|m²|m³|cm²|cm³"
    r"|[a-zµ]{1,2}(?:[²³]|\^\d)?(?:/[a-z]+)?"
    r"|[A-Z]{1,2}(?![a-z])|(?:square |cubic )?(?:meters?|inches|feet|miles|hours?|minutes?"
    r"|seconds?|degrees?|percent|dollars|million|billion|thousand|trillion|dozen|"
    r"yuan|grams|days|years|units|points)|[\u4e00-\u9fff]{1,2}))?(?![A-Za-z0-9_(*/])"
)
OUT_OF = re.compile(r"(?<![\d.])(?P<count>\d{1,6}) out of (?:every |the )?\d{1,6}(?![\d.])")
UNIT_AFTER = re.compile(
    r"\s?((?:(?:square |cubic )?[A-Za-zµ]{3,14}(?: squared| cubed)?|[A-Za-z]{1,3}(?= per ))"
    r"(?: per (?:square |cubic )?[A-Za-z]{1,12}(?: squared)?)?)(?![A-Za-z])"
)
HALF_OF_DAY = re.compile(r"\s?([ap]\.?m\b\.?)", re.IGNORECASE)
HOW_MANY = re.compile(r"\bhow many\b", re.IGNORECASE)
HAN_AT_END = re.compile(
    r"(?:[共只]?有|[为是得高长宽重约需用了])([零一二两三四五六七八九十百千万分之]+)"
    r"(|[\u4e00-\u9fff]{1,7})$"
)
COUNTERS = frozenset("个只条人张种次块本颗件名位岁辆组对")
COUNTED = re.compile(
    r"(?<![\w-])(?:(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[- ](?:one|two|three"
    r"|four|five|six|seven|eight|nine))?|zero|two|three|four|five|six|seven|eight|nine|ten|eleven"
    r"|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen)(?![\w-])"
)
MIXED_IN = re.compile(
    rf"(?:{COUNTED.pattern}|(?<![\w-])one) and (?:an?|one|two|three|four|five|seven)[ -]"
    r"(?:half|thirds?|quarters?|fourths?|fifths?|sixths?|eighths?|tenths?)(?![a-z])"
)
MEASURE = re.compile(
    r"\d+(?:\.\d+)? ?[A-Za-z]{1,8},?(?: and)? \d+(?:\.\d+)? ?[A-Za-z]{1,8}"
    r"(?:,?(?: and)? \d+(?:\.\d+)? ?[A-Za-z]{1,8})?"
    r"|(?:\d+(?:\.\d+)?\s?(?:小时|分钟?|秒|天|公里|千米|米|分米|厘米|吨|千克|克)[又零]?){2,3}"
)
ITEM = r"(?:[^()\[\]{},;A-Za-z\\]|\\[a-z]{1,8}(?![a-z])|[a-z](?![a-z])){1,40}"
CHUNK = rf"[(\[{{]{ITEM}(?:[,;]{ITEM}){{1,6}}[)\]}}]"
ENCLOSED = re.compile(rf"{CHUNK}(?: ?(?:∪|U|\\cup|,|，|、|or|and|和|与|或) ?{CHUNK}){{0,6}}")
"""Tuples and intervals in plain text."""
LIST_AT_END = re.compile(
    r"(?<![\w.,/^=+*−-])[-−]?\d[\d./]*(?:, ?[-−]?\d[\d./]*){0,20},? ?(?:and|or|和|及|、)"
    r" ?[-−]?\d[\d./]*$"
)
SIGNS = {
    "greater than or equal to": r"\geq", "at least": r"\geq", "no less than": r"\geq",
    "less than or equal to": r"\leq", "at most": r"\leq", "no more than": r"\leq",
    "greater than": ">", "larger than": ">", "bigger than": ">", "less than": "<",
    "smaller than": "<", "大于等于": r"\geq", "大于或等于": r"\geq", "小于等于": r"\leq",
    "小于或等于": r"\leq", "大于": ">", "小于": "<",
}  # fmt: skip
SIDE = r"([a-zA-Z](?:_\{?\w\}?)?|[A-Z]{2})"
COMPARISON = re.compile(
    rf"(?<![A-Za-z不]){SIDE} ?(?:must be |can be |has to be |is )?({'|'.join(SIGNS)}) ?"
    rf"([-−]?\d[\d./]*|{SIDE})$"
)
RATIO = re.compile(rf"(?:{COUNTED.pattern}|one)(?: to (?:{COUNTED.pattern}|one)){{1,3}}$")
STATES = re.compile(r"\b(?:be|is|are|means|includes)\b")
TOLD = re.compile(r"(?:=|\b(?:is|are|was|were|has|have)|[为是有])\s*$")
"""What stands in front of a number that a sentence states."""
GUARDED = re.compile(
    r"\b(?:not|never|no|wrong|at least|at most|more|less|or)\b|n't|[?\"']|不", re.IGNORECASE
)
"""With these about, a number in a short phrase may be anything but the answer."""
NOT_SO = re.compile(
    r"\b(?:not|never|false|wrong|incorrect|untrue|if|whether|when|either)\b|n't|[不非若]|错|如果",
    re.IGNORECASE,
)
"""In front of a comparison it makes something else of it."""
HAN = re.compile("[\u4e00-\u9fff]")


def number_in_words(plain: str, kind: str, question: str) -> str | None:
    """The number that a sentence without figures states in words; None where it has none."""
    if match := OUT_OF.search(plain):
        return match["count"] if HOW_MANY.search(question) else match[0]
    if HAN.search(plain):
        match = HAN_AT_END.search(plain)
        if match is None or NUMBER.search(plain):
            return None
        unit = match[2]
        if unit and unit[0] not in COUNTERS and not unit_of(unit):
            return None  # a triangle is no three of anything
        return match[1] + (unit if unit_of(unit) else "")
    if mixed := MIXED_IN.search(plain):
        after = UNIT_AFTER.match(plain, mixed.end())
        return mixed[0] + (f" {after[1]}" if after and unit_of(after[1]) else "")
    words = plain.split(" ")
    for count in (3, 2, 1):
        end = " ".join(words[-count:])
        if len(words) >= count and end[:1].isalpha() and len(end) > 2 and is_number(end):
            return None if words[-1].lower() in SCALES else end
    found = set(COUNTED.findall(plain))
    if NUMBER.search(plain) or GUARDED.search(plain) or len(found) != 1:
        return None
    return found.pop() if kind == "number" else None


def is_formula(text: str) -> bool:
    """Whether a text is one formula with unknowns in it, and perhaps a unit."""
    quantity = read_quantity(tidy(text))
    return quantity is not None and symbols(quantity.node) != frozenset()


def is_number(text: str) -> bool:
    """Whether a text is one number, and perhaps a unit."""
    quantity = read_quantity(tidy(text))
    return quantity is not None and quantity.literal is not None


def last_number(plain: str, question: str) -> str | None:
    """The last number of a sentence, unless the question has it and another one is what is stated.

    `8 + 6 = 14 students are taller than 160 cm`
    """
    numbers = list(NUMBER.finditer(plain))
    if not numbers:
        return None
    last = numbers[-1]
    if last["number"].strip() in question:
        told = [one for one in numbers if TOLD.search(plain[max(0, one.start() - 8) : one.start()])]
        last = told[-1] if told else last
    return with_unit(last)


def with_unit(match: re.Match[str]) -> str:
    """A number in a sentence, with the word after it if that is a unit."""
    number = match["number"].strip().rstrip(",")
    unit = (match["unit"] or "").strip()
    if half := HALF_OF_DAY.match(match.string, match.end("number")):
        return f"{number} {half[1]}"
    after = UNIT_AFTER.match(match.string, match.end("number"))
    if after and after[1] not in SCALES and unit_of(after[1]):
        return f"{number} {after[1]}"
    if unit in SCALES or unit[:1] in ("万", "亿"):
        return f"{number} {unit if unit in SCALES else unit[0]}"
    return f"{number} {unit}" if unit not in ("", "in", "a") and unit_of(unit) else number


def measure_in(plain: str) -> str | None:
    """A measure in several units, `1 hour and 30 minutes`; None: there is none."""
    match = MEASURE.search(plain)
    return match[0] if match and compound(tidy(match[0])) else None


def enclosed_in(plain: str) -> str | None:
    """The last tuple, interval or set of a plain text; None: there is none."""
    found = list(ENCLOSED.finditer(plain))
    return found[-1][0] if found else None


def list_at_end(plain: str) -> str | None:
    """The numbers that a plain text ends with, `2, 3 and 5`; None: it does not."""
    match = LIST_AT_END.search(plain)
    return match[0].strip() if match else None


def region_at_end(plain: str) -> str | None:
    """The part of the real line that a sentence ends with in words; None: it does not."""
    end = STATES.split(plain)[-1].strip()
    return end if not HAN.search(end) and region_in_words(tidy(end)) else None


def comparison_in(plain: str) -> str | None:
    r"""An inequality in words, `x is at least 3`, in signs; None: there is none."""
    match = COMPARISON.search(plain)
    if match is None or NOT_SO.search(plain[: match.start()]):
        return None
    return f"{match[1]} {SIGNS[match[2]]} {match[3]}"


def ratio_in_words(plain: str) -> str | None:
    """A ratio that a sentence ends with in words, `four to one`, in figures; None: it does not."""
    match = RATIO.search(plain)
    if match is None or NUMBER.search(plain) or GUARDED.search(plain):
        return None
    terms = [plain_number(term) for term in match[0].split(" to ")]
    return ":".join(term[0].name for term in terms if term)
