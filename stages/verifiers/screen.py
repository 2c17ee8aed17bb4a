"""What is never given to the symbolic engine: texts that would keep it busy for ever."""

import re

LONGEST = 600
DEEPEST = 24
TOWER = re.compile(r"\^\s*[{(]?[^{}()^]{0,20}\^\s*[{(]?[^{}()^]{0,20}\^")
LARGE_POWER = re.compile(r"(?:\^|\*\*)\s*[{(]?\s*-?\d{4,}")
LARGE_FACTORIAL = re.compile(r"\d{4,}\s*[)}]?\s*!|!\s*!|!\s*[)}]\s*!")
LARGE_BOUND = re.compile(r"\\(?:sum|prod|int)(?![A-Za-z])[^$]{0,80}?\^\s*\{?\s*(?:\d{4,}|\d+\s*\^)")
LARGE_CHOICE = re.compile(r"\\binom\s*\{[^{}]*\d{4,}")
LONG_NUMBER = re.compile(r"\d{60,}")
MATHEMATICAL = re.compile(r"\\[a-zA-Z]|[\^_=+*/<>|]|\d")
HOLLOW = re.compile(r"\\(?:frac|sqrt)\s*\{\s*\}|\\frac\s*\{[^{}]*\}\s*\{\s*\}")
FORMULA = re.compile(r"\\[a-zA-Z]|[\^_=]")
CODE = re.compile(
    r"\"|\bif\b.*\belse\b|__|\bimport\b|\blambda\s+\w*:|\w\.\w+\s*\(|\bexec\b|\beval\b"
)


def too_hard(text: str) -> bool:
    """Whether a text is a bomb: a tower of powers, a huge factorial, or nested without end."""
    if len(text) > LONGEST or bracket_depth(text) > DEEPEST:
        return True
    patterns = (TOWER, LARGE_POWER, LARGE_FACTORIAL, LARGE_BOUND, LARGE_CHOICE, LONG_NUMBER)
    return any(pattern.search(text) for pattern in patterns)


def is_mathematical(text: str) -> bool:
    """Whether there is anything in a text that algebra could say something about."""
    if CODE.search(text) or HOLLOW.search(text):
        return False
    plain = re.sub(r"\\[a-zA-Z]+", " ", text)
    words = re.findall(r"[A-Za-z]{4,}", plain)
    return bool(MATHEMATICAL.search(text)) and len(words) <= (4 if FORMULA.search(text) else 1)


def bracket_depth(text: str) -> int:
    """How deep the brackets of a text are nested."""
    deepest = depth = 0
    for character in text:
        depth += (character in "({[") - (character in ")}]")
        deepest = max(deepest, depth)
    return deepest
