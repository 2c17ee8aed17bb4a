"""Quadrants of the plane: `Quadrant I`, `the first quadrant`, `QIV`, `第二象限`."""

import re

NAMES = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4,
    "i": 1, "ii": 2, "iii": 3, "iv": 4, "1": 1, "2": 2, "3": 3, "4": 4, "一": 1, "二": 2, "三": 3,
    "四": 4,
}  # fmt: skip
ROMAN = r"(?:iv|i{1,3}|[1-4])(?![a-z\d.])"
ORDINAL = r"(?:first|second|third|fourth|1st|2nd|3rd|4th|iv|i{1,3})"
HAN = r"第?[一二三四1-4]"
JOINED = r" ?(?:,|、|&|and|or|和|或|与)(?: and| or)? ?"
MENTION = re.compile(
    rf"\bquadrants? \(?(?P<after>{ROMAN}(?:{JOINED}(?:quadrant )?{ROMAN})*)\)?"
    rf"|\b(?P<before>{ORDINAL}(?:{JOINED}(?:the )?{ORDINAL})*)[ -]quadrants?\b"
    rf"|(?P<han>{HAN}(?:象限)?(?:[、,和或与]{HAN}(?:象限)?)*)(?<=象限)",
    re.IGNORECASE,
)
BARE = re.compile(rf"(?:q ?)?(?P<bare>{ROMAN})|第?(?P<han>[一二三四])", re.IGNORECASE)
WORD = re.compile("[Qq]uadrant|象限")
ASKED = re.compile(
    r"\b(?:which|what) quadrants?\b|\bquadrants? (?:is|does|do|are)\b|第几象限|哪一?个?象限"
    r"|象限[是为]|第[^\w\u4e00-\u9fff]*(?:[_＿()（）]|\\(?:_|quad|underline))[^\d\u4e00-\u9fff]{0,40}象限"
    r"|_ ?quadrants?\b|\bquadrants? ?_",
    re.IGNORECASE,
)
UNSURE = re.compile(
    r"\b(?:not|neither|nor|could|might|may|maybe|perhaps|either)\b|n't|不|可能|还是", re.IGNORECASE
)
NOT_THERE = re.compile(
    r"[,，]?\s?(?:而|但)?(?:不是|并非|不在)第?[一二三四1-4]象限(?![和或与、,，])"
    r"|(?:,\s?|\s)(?:and |but )?(?:not|rather than|instead of) (?:in )?(?:the )?(?:quadrant )?"
    rf"(?:{ORDINAL}|{ROMAN})(?:[ -]quadrant)?\b(?! ?(?:,|or|nor|and|&))",
    re.IGNORECASE,
)
"""A quadrant that something is set against."""
LONGEST = 300
Quadrants = frozenset[int]


def asks_for_quadrant(question: str) -> bool:
    """Whether a question asks which quadrant something is in."""
    return ASKED.search(question) is not None


def quadrants_of(plain: str, is_asked: bool) -> Quadrants:
    """The quadrants that an answer consists of; empty where it is anything else.

    Args:
        plain: tidied text.
        is_asked: whether the question asks for a quadrant, so that `III` is one.
    """
    if len(plain) > LONGEST or not (is_asked or WORD.search(plain)):
        return frozenset()
    plain = re.sub(r"^(?:in )?(?:the )?", "", plain)
    match = (BARE.fullmatch(plain) if is_asked else None) or MENTION.fullmatch(plain)
    return _named(match) if match else frozenset()


def quadrants_in(plain: str, is_asked: bool) -> Quadrants:
    """The quadrants that an answer or a sentence speaks of; empty where it leaves them open."""
    if found := quadrants_of(plain, is_asked):
        return found
    plain = NOT_THERE.sub("", plain) if len(plain) <= LONGEST else plain
    if len(plain) > LONGEST or UNSURE.search(plain):
        return frozenset()
    mentions = {_named(match) for match in MENTION.finditer(plain)}
    return mentions.pop() if len(mentions) == 1 else frozenset()


def _named(match: re.Match[str]) -> Quadrants:
    text = next(part for part in match.groupdict().values() if part)
    words = re.findall(r"1st|2nd|3rd|4th|[a-z]+|[1-4]|[一二三四]", text.lower())
    return frozenset(NAMES[word] for word in words if word in NAMES)
