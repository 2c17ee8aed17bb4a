"""Values that a sentence finds and then turns down: extraneous roots, cases that can't be."""

import re

from stages.verifiers.spelling.clean import tidy

TURNED_DOWN = re.compile(
    r"\b(?:is|are|was|be|being|gets?|it's) (?:therefore |thus |an? |clearly |both )*"
    r"(?:rejected|discarded|extraneous|excluded|inadmissible|invalid|impossible|ruled out|absurd"
    r"|not (?:valid|allowed|acceptable|admissible|possible|permitted|in the domain|a solution))\b"
    r"|\b(?:we|must|can|so) (?:reject|discard|exclude|rule out)\b|\bcontradict(?:s|ion)\b|矛盾"
    r"|\bmakes? the denominator (?:zero|0|vanish)|增根|舍去|不合题意|不符合?题意|舍掉",
    re.IGNORECASE,
)
ASIDE = re.compile(
    r"(?:[\s,，]*(?:或|和|or|and)?[\s$,，]*(?P<value>[a-zA-Z]\w{0,3}\s*=\s*[^\s,，;；()（）或和=]{1,30}"
    r"|(?<![\w.])-?\d[\d./]{0,20})[\s$]*)?[(（](?P<aside>[^()（）]{0,40}"
    r"(?:舍|不合|增根|reject|discard|extraneous|invalid|not valid|impossible)"
    r"[^()（）]{0,40})[)）]",
    re.IGNORECASE,
)
ASIDE_WORD = re.compile(r"舍|不合|增根|reject|discard|extraneous|valid|impossible", re.IGNORECASE)
OWN_VALUE = re.compile(r"\d|=|\b(?:root|solution|value|case)\b|根")
ABSURD = re.compile(r"\bcontradict(?:s|ion)\b|矛盾", re.IGNORECASE)
VALUE = re.compile(r"-?\\frac\{[^{}]{1,20}\}\{[^{}]{1,20}\}|(?<![\w.{])-?\d[\d./]*")
BACK = re.compile(
    r"\W*(?:therefore |hence |thus |so )?(?:which|that|this|it|they|these|both|makes?"
    r"|(?:is|are|must|to) be|is|are|must)\b|\W*[不舍应故要均都是]",
    re.IGNORECASE,
)
"""A clause that speaks of what was found just before it."""
OTHERWISE = re.compile(r"\b(?:otherwise|or else)\b|否则", re.IGNORECASE)
OTHER = re.compile(r"=|\d|[负另]|其[他它余]|\b(?:negative|other|second)\b", re.IGNORECASE)
"""A remark that has it speaks of another value than the one in front of it."""
LEFT_OVER = re.compile(
    r"[\s,，;；]*(?:\b(?:but|and|while|although|though|however)|但是?)?[\s,，;；]*$"
)
CUT = re.compile(
    r"(\s*[,，;；。]\s*(?:but\s+|但是?)?|\.\s+(?:but\s+|however,?\s+)?"
    r"|\s+(?:and|but|while|although|though)\s+|\s*但是?)",
    re.IGNORECASE,
)
ASKED = re.compile(r"\b(?:invalid|reject|discard|exclude|impossible|extraneous)", re.IGNORECASE)
"""A question about such things is answered by them."""
LONGEST = 1000


def without_rejected(plain: str, question: str = "") -> str:
    """Sentences without the values that they turn down; empty where they keep none."""
    if len(plain) > LONGEST or TURNED_DOWN.search(question) or ASKED.search(question):
        return plain
    plain = ASIDE.sub(_aside, plain)
    if not TURNED_DOWN.search(plain):
        return plain
    pieces = [*CUT.split(plain), ""]
    kept: list[str] = []
    cuts: list[str] = []
    for clause, cut in zip(pieces[::2], pieces[1::2], strict=True):
        if OTHERWISE.search(clause):
            continue
        if ABSURD.search(clause):
            kept, cuts = [], []  # what was supposed is not so
        elif not TURNED_DOWN.search(clause):
            kept.append(clause)
            cuts.append(cut)
        elif OWN_VALUE.search(clause):
            for value in VALUE.findall(clause):
                kept = [_without(one, value) for one in kept]
        elif BACK.match(clause):
            kept, cuts = kept[:-1], cuts[:-1]  # it speaks of what was found just before
    whole = "".join(one + cut for one, cut in zip(kept, cuts, strict=True) if one.strip())
    return LEFT_OVER.sub("", whole).strip()


def kept_of(content: str, question: str = "") -> str:
    """What a box holds, without the values that it turns down."""
    if len(content) > LONGEST or not (TURNED_DOWN.search(content) or ASIDE_WORD.search(content)):
        return content
    plain = tidy(content)
    kept = without_rejected(plain, question)
    return content if kept == plain else kept


def _without(clause: str, value: str) -> str:
    """A clause without a value that turns out to be none, `x = 2 or x = -3`."""
    one = rf"(?:[a-zA-Z]\w?\s*=\s*)?(?<![\w.{{-]){re.escape(value)}(?![\w.])"
    joined = r"\s*(?:或|和|\bor\b|\band\b)\s*"
    left = re.sub(f"{joined}{one}|{one}{joined}", "", clause)
    left = re.sub(one, "", left)
    return left if left == clause or re.search(r"\d|=", left) else ""


def _aside(match: re.Match[str]) -> str:
    """What is left of a value with a remark in brackets that turns it, or another one, down."""
    has_own = OTHER.search(match["aside"]) is not None
    return (match["value"] or "") if has_own or not match["value"] else ""
