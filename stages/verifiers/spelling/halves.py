"""A unit and a part of it, `an hour and a half`, as others write it: `1.5 hours`."""

import re

WHOLE = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10,
}  # fmt: skip
PART = {"half": "5", "quarter": "25", "three quarters": "75"}
UNITS = (
    "hours?|days?|weeks?|months?|years?|minutes?|seconds?|miles?|kilomet(?:er|re)s?|met(?:er|re)s?"
    "|feet|foot|inch(?:es)?|yards?|acres?|pounds?|kilograms?|grams?|tons?|lit(?:er|re)s?|gallons?"
    "|cups?|degrees?|turns?|revolutions?"
)
AND_A_HALF = re.compile(
    rf"(?<![\w.,/-])(?<!half )(?<!and )(?P<whole>{'|'.join(WHOLE)}|\d{{1,3}}) (?P<unit>{UNITS}) "
    r"and (?:an? (?P<part>half|quarter)|(?P<parts>three[ -]quarters))(?![\w-]| (?:an?|of an?|hour"
    r"|minute|second|day|mile)\b)",
    re.IGNORECASE,
)
HAN_HALF = re.compile(r"(?<![\d一二两三四五六七八九十百点.])([一两二三四五六七八九])个半(?=小时)")
HAN = "一二三四五六七八九"


def with_halves(text: str) -> str:
    """A text with decimals for a unit and a part of it."""
    if "个半" in text:
        text = HAN_HALF.sub(lambda one: f"{HAN.find(one[1].replace('两', '二')) + 1}.5", text)
    return AND_A_HALF.sub(_decimal, text) if " and " in text else text


def _decimal(match: re.Match[str]) -> str:
    word = match["whole"].lower()
    whole = WHOLE.get(word) or int(word)
    part = PART[(match["part"] or "three quarters").lower()]
    unit = match["unit"]
    plural = "" if unit.endswith("s") or unit == "feet" else "es" if unit == "inch" else "s"
    return f"{whole}.{part} {'feet' if unit == 'foot' else unit + plural}"
