r"""An extreme and where it is: `The minimum is 3, at x = 2`, `f_{\min} = 3` when `x = 2`."""

import re
from dataclasses import dataclass

from stages.verifiers.kinds.terms import Same, Terms
from stages.verifiers.kinds.text import HEDGE, NEGATION
from stages.verifiers.kinds.values import Read, Words

LEAST = r"\\?min(?:imum|imal|ima)?(?![a-z])|least|smallest|lowest|最[小低]"
MOST = r"\\?max(?:imum|imal|ima)?(?![a-z])|greatest|largest|highest|最[大高]"
VALUE = r"(?P<value>[-+]?\s?(?:\d|\\(?:frac|sqrt|pi)).{0,60})"
EXTREME = re.compile(
    rf"[^\d,;]{{0,40}}?(?:(?P<least>{LEAST})|(?P<most>{MOST}))[^\d,;]{{0,40}}?{VALUE}",
    re.IGNORECASE,
)
PLACE = re.compile(rf"[^\d=<>]{{0,24}}?(?<![A-Za-z\\_])(?P<name>[a-zA-Z])\s*=\s*{VALUE}")
AT = re.compile(rf"[a-zA-Z]\s*\(\s*(?P<at>[^()]{{1,30}})\)\s*=\s*{VALUE}")
BARE = re.compile(VALUE)
CUT = re.compile(
    r"\s*[,;]\s*(?:and\s+|此时\s*)?|\s+(?:and|when|at|for|where|if)\s+|此时|^\s*当\s*|时(?=\s|,|$|[\u4e00-\u9fff])"
)
OPEN = re.compile(r"\bor\b|[或不]|[<>]|\\(?:leq|geq|neq|pm)(?![A-Za-z])|\bthan\b")
EITHER = re.compile(r"\bor\b|或")
LONGEST = 160


@dataclass(frozen=True, slots=True)
class Extreme:
    """An extreme value and where it is."""

    kind: str
    """`least`, `most`, or empty where it is not said."""
    value: str
    name: str
    """The unknown; empty where it is not said."""
    place: str


def extreme_in(plain: str) -> Extreme | None:
    """The extreme, with its place, that a text states; None: it states none, or more besides."""
    if len(plain) > LONGEST or NEGATION.search(plain) or HEDGE.search(plain) or OPEN.search(plain):
        return None
    if match := AT.fullmatch(plain):
        return Extreme("", match["value"], "", match["at"])
    kind = value = name = place = ""
    for part in CUT.split(plain):
        part = part.strip(" .:")
        if not part:
            continue
        if (match := EXTREME.fullmatch(part)) and not value:
            kind, value = "least" if match["least"] else "most", match["value"]
        elif (match := PLACE.fullmatch(part)) and not place:
            name, place = match["name"], match["value"]
        elif (match := BARE.fullmatch(part)) and not value:
            value = match["value"]
        elif re.search(r"\d|=", part):
            return None
    return Extreme(kind, value, name, place) if value and place else None


def same_extreme(gold: str, answer: str, terms: Terms, read: Read, same: Same) -> bool | None:
    """Whether an answer states a gold answer's extreme and its place; None: it can't be told.

    Args:
        gold: tidied text.
        answer: tidied text.
        terms: what the question lays down.
        read: reads a value.
        same: compares two values.
    """
    ours = extreme_in(gold)
    theirs = extreme_in(answer) if ours and ours.kind and ours.name else None
    if ours and EITHER.search(answer):
        return False
    if ours is None or theirs is None:
        return None
    if theirs.kind not in ("", ours.kind) or theirs.name not in ("", ours.name):
        return False
    values = [read(text) for text in (ours.value, theirs.value, ours.place, theirs.place)]
    if any(isinstance(value, Words) for value in values):
        return None
    found = same(values[0], values[1], terms), same(values[2], values[3], terms)
    return False if False in found else True if all(found) else None
