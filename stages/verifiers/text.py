r"""Answers as text and as plain numbers: the comparisons that need no algebra."""

import re
from fractions import Fraction

WRAPPERS = re.compile(r"\\(?:text|mathrm|textbf|mathbf|operatorname)\s*\{([^{}]*)\}")
NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?")
FRACTION = re.compile(
    r"([+-]?)(?:\\[dt]?frac\{(\d{1,30})\}\{(\d{1,30})\}|(\d{1,30})\s*/\s*(\d{1,30}))"
)
LONGEST_NUMBER = 60


def normalize(text: str) -> str:
    """The same answer in the same letters: no math delimiters, wrappers, case or outer marks."""
    text = WRAPPERS.sub(r"\1", text.strip().strip("$").strip())
    text = text.replace("\\left", "").replace("\\right", "").replace("\\!", "").replace("\\,", "")
    return " ".join(text.split()).strip(".,;:。 ").casefold()


def numeric_value(text: str) -> Fraction | None:
    """The exact value of a plain decimal or fraction; None for anything else.

    Nothing is evaluated: the text matches a number as a whole, or is not one.
    """
    text = text.strip().strip("$").strip().replace("\\!", "").replace("\\,", "")
    if len(text) > LONGEST_NUMBER:
        return None
    if match := FRACTION.fullmatch(text):
        sign, *digits = match.groups()
        numerator, denominator = (int(digit) for digit in digits if digit)
        return (
            Fraction(-numerator if sign == "-" else numerator, denominator) if denominator else None
        )
    if NUMBER.fullmatch(text) and any(character.isdigit() for character in text):
        return Fraction(text.replace(",", "").lstrip("+"))
    return None
