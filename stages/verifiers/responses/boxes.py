r"""Boxed answers: `\boxed{...}`, several of them in a row, and what is no answer though boxed."""

import re
from dataclasses import dataclass

from stages.verifiers.kinds.units import unit_of

BOX = re.compile(
    r"(?:\\(?:boxed|fbox|framebox|answer)\s*(?:\{|(?=[$\w\\-]))|(?<![A-Za-z\\])boxed\{)"
)
BETWEEN = re.compile(
    r"(?:[\s$,;、.()]|\\quad|\\qquad"
    r"|\\[,;! ]|\\\]|\\\[|\\\(|\\\)|and|or|和|或|与|\\text(?:rm)?\{\s*(?:and|or|,|"
    r"和|或)\s*\}|\\mathrm\{\s*(?:and|or)\s*\})*"
)
JOINING = re.compile(r",|;|、|and|or|和|或|与|\\quad")
NAMED = re.compile(
    rf"{BETWEEN.pattern}(?:[(（]\d[)）]|[A-Za-z]\w*(?:\s+\w+)?)?[^\w]*[A-Za-z]?(?:_\{{?\d\}}?)?\s*=?[\s$]*"
)
"""Between the boxes of several values: a name or a part's number, `and $b =`."""
SEVERAL = frozenset(["several", "set", "tuple", "equation"])
"""Kinds of gold answers that one box may hold a part of."""
DENIED = re.compile(
    r"(?:\bnot|\bisn't|\bn't be|≠|不是|并非)\s*(?:equal to\s*)?[$(\\]*\s*$", re.IGNORECASE
)
UNIT = re.compile(
    r"[$\\)\]\s]{0,4}(\\(?:text|mathrm|textrm|mbox)\s*\{[^{}]{1,24}\}(?:\^\{?\d\}?)?"
    r"|\^?\\circ\b|°|\\?%)"
)
WORD_AFTER = re.compile(r"[$\\)\]*\s]{0,4}([A-Za-z/²³]{1,12}(?:\^\{?\d\}?)?)(?P<rest>.?)")
SHORT_WORDS = frozenset("cm mm km dm kg mg mL ml kW Hz Pa kPa eV °C cm² m² m³ cm³ m/s km/h".split())
"""Units of a few letters that are nothing else in a sentence."""
LONGEST = 20_000
MOST_BOXES = 50
"""A response that repeats unbalanced boxes without end has no answer."""


@dataclass(frozen=True, slots=True)
class Box:
    """What a response put in its last box, or in its last few."""

    content: str | None
    """None: the last box is empty, never closed, or denied."""
    end: int
    """Where in the text it ends."""


def last_box(text: str, kind: str = "") -> Box | None:
    """The last box of a text, with those that stand right before it joined by commas or words."""
    starts = list(BOX.finditer(text))[-MOST_BOXES:]
    found: tuple[int, int, str] | None = None
    contents: list[str] = []
    for match in reversed(starts):
        box = box_content(text, match)
        if box is None:
            if found is None:
                return Box(None, match.end())
            break
        end, content = box
        if found is None:
            if DENIED.search(text[max(0, match.start() - 24) : match.start()]):
                return Box(None, end)
            found = (match.start(), end, content)
            contents = [content]
            continue
        between = text[end : found[0]]
        joined = BETWEEN.fullmatch(between) and JOINING.search(between)
        if not joined and not (kind in SEVERAL and len(between) < 30 and NAMED.fullmatch(between)):
            break
        contents.insert(0, content)
        found = (match.start(), found[1], content)
    if found is None:
        return None
    parts = [content.strip() for content in contents]
    if len(parts) == 1:
        unit = _unit_after(text, found[1]) if _unitless(parts[0]) else None
        return Box(parts[0] + (f" {unit}" if unit else ""), found[1])
    return Box(", ".join(dict.fromkeys(parts)), found[1])


def _unit_after(text: str, position: int) -> str | None:
    """The unit right behind a box, in LaTeX or as a word of the sentence; None: there is none."""
    if match := UNIT.match(text, position):
        return match[1]
    word = WORD_AFTER.match(text, position)
    if word is None or word["rest"].isalnum():
        return None
    is_unit = word[1] in SHORT_WORDS or (len(word[1]) > 3 and unit_of(word[1]))
    return word[1] if is_unit else None


def _unitless(content: str) -> bool:
    return content != "" and (content[-1].isdigit() or content[-1] in "}")


def box_content(text: str, match: re.Match[str]) -> tuple[int, str] | None:
    """Where a box ends, and what it holds; None where its braces never balance."""
    start = match.end()
    if not match[0].endswith("{"):
        bare = re.compile(r"\s*\$?(-?[\w.,]+|\\frac\{[^{}]*\}\{[^{}]*\})").match(text, start)
        return None if bare is None else (bare.end(), bare[1].rstrip(".,"))
    depth = 1
    position = start
    limit = min(len(text), start + LONGEST)
    while position < limit:
        character = text[position]
        if character == "\\":
            position += 2  # an escaped brace is text
            continue
        depth += (character == "{") - (character == "}")
        position += 1
        if depth == 0:
            return position, text[start : position - 1]
    return None
