"""Bearings: `北偏东30°`, `north 30° east`, `N30°E`, `30° east of north`."""

import re

NAMES = {"北": "n", "南": "s", "东": "e", "西": "w"}
ANGLE = r"(?P<angle{0}>\d+(?:\.\d+)?)\s*(?:\^\\circ|\^{{\\circ}}|°|度|degrees?)?"
POINTS = "north|south|east|west"
MENTION = re.compile(
    rf"(?P<from1>[东南西北])偏(?P<to1>[东南西北])\s*{ANGLE.format(1)}"
    rf"|\b(?P<from2>{POINTS}|[ns])\s*{ANGLE.format(2)}\s*(?P<to2>{POINTS}|[ew])\b"
    rf"|{ANGLE.format(3)}\s*(?P<to3>{POINTS}) of (?:due )?(?P<from3>{POINTS})\b",
    re.IGNORECASE,
)
UNSURE = re.compile(r"不|或|可能|\b(?:not|or|maybe|either)\b|n't", re.IGNORECASE)
LONGEST = 300
Bearing = tuple[str, str, float]


def bearing_of(plain: str) -> Bearing | None:
    """The bearing that a text is; None where it is anything else."""
    match = MENTION.fullmatch(plain) if len(plain) <= LONGEST else None
    return _named(match) if match else None


def bearing_in(plain: str) -> Bearing | None:
    """The only bearing that a sentence speaks of; None: it names none, several, or denies it."""
    if len(plain) > LONGEST or UNSURE.search(plain):
        return None
    found = {_named(match) for match in MENTION.finditer(plain)}
    return found.pop() if len(found) == 1 else None


def _named(match: re.Match[str]) -> Bearing:
    which = next(one for one in "123" if match[f"angle{one}"])
    start, end = (match[name + which].lower() for name in ("from", "to"))
    return NAMES.get(start, start[0]), NAMES.get(end, end[0]), float(match["angle" + which])
