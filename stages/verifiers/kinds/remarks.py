r"""What stands behind a value and changes nothing of it: `C \in \mathbb{R}`, `(to 1 d.p.)`."""

import re

NAME = r"(?:[A-DK]|[cC])(?:_\{?\d\}?)?"
"""A constant that may be anything; `k` and `n` count, and are integers."""
DOMAIN = re.compile(
    rf"(?<![-+*/=^])(?:\s*[,(]\s*|\s+)(?:where |with |for (?:any |all |some |every )?|其中)?\s*"
    rf"(?P<names>{NAME}(?:\s*(?:,|and|和)\s*{NAME}){{0,3}})\s*"
    r"(?:\\in\s*(?:\\mathbb\s*\{?R\}?|R)|(?:is|are|being|为|是)?\s*(?:an?\s|any\s)?\s*"
    r"(?:arbitrary|any|real|任意|任何)\s*(?:real\s|的)?\s*(?:constants?|numbers?|常数|实数))\s*\)?$"
)
PLACES = r"(?:\d|one|two|three|four)"
DIGITS = (
    r"(?:d\.?\s?p|s\.?\s?f|decimals?|decimal places?|decimal digits?|sig(?:nificant)?\.? ?"
    r"(?:figures?|figs?|digits?))\.?"
)
ROUNDED = re.compile(
    rf"\s*(?:[(,]\s*(?:(?:correct|rounded|accurate|given)\s)?(?:to\s)?{PLACES}\s?{DIGITS}\s*\)?"
    r"|[(,]\s*(?:(?:correct|rounded|accurate)\s)?to the nearest [a-z-]{3,20}\s*\)?"
    r"|\(\s*(?:精确到|保留)[^()]{1,12}\))$",
    re.IGNORECASE,
)
FORMULA = re.compile(r"[=+\\^(-]")
"""In `3 A` the letter is a unit."""
LONGEST = 100


def without_remarks(text: str) -> str:
    """A value without the domain of its constants, and without how it was rounded.

    Args:
        text: tidied text.
    """
    start = max(0, len(text) - LONGEST)
    match = ROUNDED.search(text, start) or DOMAIN.search(text, start)
    if match is None or match.start() == 0:
        return text
    head = text[: match.start()]
    if match.re is DOMAIN:
        names = re.findall(NAME, match["names"])
        if not FORMULA.search(head) or not all(_is_in(name, head) for name in names):
            return text
    return head.rstrip(" ,")


def _is_in(name: str, text: str) -> bool:
    return re.search(rf"(?<![A-Za-z\\]){re.escape(name)}(?![_\d])", text) is not None
