"""Options by their place, `the third statement`, or by what they share, `statements 1 and 3`."""

import re
from collections.abc import Sequence

from stages.verifiers.choices.options import is_wrong_asked, stem_of
from stages.verifiers.kinds.text import normalize

ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "1st": 1, "2nd": 2,
    "3rd": 3, "4th": 4, "5th": 5, "6th": 6, "一": 1, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6,
}  # fmt: skip
ORDINAL = r"(?:first|second|third|fourth|fifth|sixth|[1-6](?:st|nd|rd|th))"
JOINED = r"(?:, and |,? and |, |,)"
THING = r"(?:option|statement|choice|answer|description|claim|sentence|item)"
FRONT = r"(?:(?:so|thus|hence|therefore),? )?(?:only |just |both )?"
RIGHT = (
    r"(?: (?:is|are)(?: all| both)?(?: the)?(?: only)?"
    r"(?: (?:true|correct|right|valid|best|answers?))?"
    r"(?: (?:ones?|options?|statements?|choices?|answers?))?"
    r"| (?:describes?|fits?|match(?:es)?|explains?|represents?|suits?)"
    r" (?:it|this|them|the [a-z]{1,12}(?: [a-z]{1,12})?)(?: best| correctly)?"
    r"| holds?| applies| apply)?"
)
WRONG = (
    r" (?:is|are)(?: all| both)?(?: the)? (?:false|incorrect|wrong|untrue|not (?:true|correct))"
    r"(?: ones?)?"
)
PLACED = re.compile(
    rf"{FRONT}(?:the )?(?P<places>{ORDINAL}(?:{JOINED}(?:the )?{ORDINAL}){{0,4}}) {THING}s?"
    rf"(?:(?P<wrong>{WRONG})|{RIGHT})"
)
PLACED_HAN = re.compile(
    r"(?:所以|因此|故)?(?:只有)?第(?P<places>[一二三四五六])(?:个|项)?(?:选项|说法|结论|答案|命题|描述)"
    r"(?:(?P<wrong>是?(?:错误?|不正确|不对)的?)|(?:是?(?:最?正确|对|最?合适|最?恰当)的?)?)"
)
SHARING = re.compile(
    rf"{FRONT}(?:the )?(?P<thing>{THING})s "
    rf"(?P<names>[a-z\d]{{1,8}}(?:{JOINED}[a-z\d]{{1,8}}){{1,4}})"
    rf"(?:(?P<wrong>{WRONG})|{RIGHT})"
)
NUMBERED = re.compile(
    r"[(（][\divx]{1,3}[)）]|[①②]|\b(?:I|1)[.)、:]|\bstatements? (?:1|I|one)\b", re.IGNORECASE
)
"""A question with statements of its own, whose places are not those of its options."""
LONGEST = 120


def placed(plain: str, options: Sequence[str], question: str) -> frozenset[str]:
    """The letters of the options that an answer names by place or number; empty: it does not.

    Args:
        plain: normalized text.
        options: the options.
        question: what was asked, which may be for the wrong ones.
    """
    if len(plain) > LONGEST or not options:
        return frozenset()
    asked = is_wrong_asked(question)
    if match := SHARING.fullmatch(plain):
        if bool(match["wrong"]) and not asked:
            return frozenset()
        known = {normalize(option): chr(65 + at) for at, option in enumerate(options)}
        names = re.split(JOINED, match["names"])
        found = [known.get(f"{match['thing']} {name}") for name in names]
        return frozenset() if None in found else frozenset(one for one in found if one)
    match = PLACED.fullmatch(plain) or PLACED_HAN.fullmatch(plain)
    if match is None or (match["wrong"] and not asked) or NUMBERED.search(stem_of(question)):
        return frozenset()
    if any(re.search(rf"\b{ORDINAL}\b|第[一二三四五六]|{THING}", one, re.I) for one in options):
        return frozenset()
    words = re.findall(rf"{ORDINAL}|[一二三四五六]", match["places"])
    places = [ORDINALS[word] for word in words]
    if max(places) > len(options):
        return frozenset()
    return frozenset(chr(64 + place) for place in places)
