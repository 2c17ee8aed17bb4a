"""Statements by Roman numerals, `I and III only`, `only I, III`, `Statements 1 and 3`."""

import re

NUMERALS = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
ONE = r"\(?(?:iv|vi?|i{1,3})\)?"
JOINED = r"\s*(?:,\s*and\b|,|;|&|\band\b|和|与)\s*"
FRONT = re.compile(
    r"(?:only|just|both|all(?: of)?|statements?|conditions?|conclusions?|propositions?|options?"
    r"|the|仅|只有)\s*"
)
BEHIND = re.compile(
    r"(?:\s*,?\s*(?:only|alone|together)|\s*(?:is|are|both|all|hold|holds|true|correct|right|valid)\b"
    r"|正确|成立)+$"
)
LIST = re.compile(rf"{ONE}(?:{JOINED}{ONE})*")
FIGURES = re.compile(rf"\(?[1-6]\)?(?:{JOINED}\(?[1-6]\)?)*")
LABEL = re.compile(r"(?<![A-Za-z])(iv|vi?|i{1,3})[.)、:]", re.IGNORECASE)
TOLD = re.compile(
    rf"\b(?P<numerals>{LIST.pattern})(?: only| alone)?,? (?:is|are|must be)(?: both| all)?"
    r" (?:(?P<right>true|correct|right|valid)|(?P<wrong>false|incorrect|wrong|not true))",
    re.IGNORECASE,
)
DENIED = re.compile(r"\b(?:not|neither|none|nor|or|either)\b|n't", re.IGNORECASE)
WRONG_ASKED = re.compile(r"\b(?:false|incorrect|wrong|not)\b|n't", re.IGNORECASE)
LONGEST = 80


def statements_of(plain: str, in_figures: bool = False) -> frozenset[int]:
    """The statements that an answer names by their numerals; empty where it is anything else.

    Args:
        plain: normalized text.
        in_figures: whether `1 and 3` names them too.
    """
    if len(plain) > LONGEST:
        return frozenset()
    plain = BEHIND.sub("", plain).strip()
    while match := FRONT.match(plain):
        plain = plain[match.end() :]
    if not LIST.fullmatch(plain) and not (in_figures and FIGURES.fullmatch(plain)):
        return frozenset()
    words = re.findall(r"[ivx]+|\d", plain)
    return frozenset(NUMERALS.get(word) or int(word) for word in words)


def are_numbered(question: str) -> bool:
    """Whether a question numbers its statements in Roman numerals."""
    return len({label.lower() for label in LABEL.findall(question)}) > 1


def statements_in(sentence: str, question: str) -> str | None:
    """The numerals of the statements that a sentence calls right, or wrong if that is asked for."""
    if not are_numbered(question) or DENIED.search(sentence):
        return None
    asked = "wrong" if WRONG_ASKED.search(question) else "right"
    found = [match["numerals"] for match in TOLD.finditer(sentence) if match[asked]]
    return found[0] if len(found) == 1 else None
