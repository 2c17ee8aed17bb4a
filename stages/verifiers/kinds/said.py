r"""Relations by sign or by word: `>` and `greater than`, `m \parallel n` and `平行`."""

import re
from dataclasses import dataclass

from stages.verifiers.kinds.text import squeezed
from stages.verifiers.spelling.clean import tidy

WORDS = {
    ">": r"(?:is )?(?:greater|larger|more|bigger) than|大于",
    "<": r"(?:is )?(?:less|smaller) than|小于",
    "=": r"(?:is |are )?(?:equals?(?: to)?|the same)|等于|相等",
    r"\geq": r"(?:is )?(?:greater than or equal to|at least)|大于或?等于",
    r"\leq": r"(?:is )?(?:less than or equal to|at most)|小于或?等于",
    r"\parallel": r"parallel(?: to)?|平行于?",
    r"\perp": r"perpendicular(?: to)?|orthogonal(?: to)?|垂直于?",
    r"\cong": r"congruent(?: to)?|全等于?",
    r"\sim": r"similar(?: to)?|相似于?",
}
SIGNS = {
    ">": ">", "<": "<", "=": "=", "＞": ">", "＜": "<", "＝": "=", r"\gt": ">", r"\lt": "<",
    "≥": r"\geq", "≤": r"\leq", r"\geq": r"\geq", r"\leq": r"\leq", r"\ge": r"\geq",
    r"\le": r"\leq", "⊥": r"\perp", "∥": r"\parallel", "//": r"\parallel",
    r"\perp": r"\perp", r"\parallel": r"\parallel",
}  # fmt: skip
GEOMETRY = frozenset({r"\parallel", r"\perp", r"\cong", r"\sim"})
FLIPPED = {">": "<", "<": ">", r"\geq": r"\leq", r"\leq": r"\geq", "=": "="}
SIDE = r"(?P<{}>[^<>=]{{1,40}}?)"
SIGNED = re.compile(
    rf"{SIDE.format('left')}\s*(?P<sign>\\parallel|\\perp|\\cong|\\sim|\\geq|\\leq|//|[<>=])\s*"
    rf"(?P<right>[^<>=]{{1,40}})"
)
SUBJECT = (
    r"(?:(?:they|it|these|the (?:two )?(?:lines|triangles|planes|segments|vectors)) (?:is|are) "
    r"|两直线|它们)?"
)
SAID = {
    sign: re.compile(
        rf"(?:{SUBJECT}|(?P<left>[^<>=]{{1,24}}?)\s*(?:is |are )?)(?:互相|相互)?(?:{words})"
        rf"(?: lines| triangles)?(?:\s*(?P<right>[A-Za-z\\△∠][^<>=]{{0,24}}))?",
        re.IGNORECASE,
    )
    for sign, words in WORDS.items()
}
DENIED = re.compile(
    r"\b(?:not|neither|nor|no|or|and|non)\b|n't|不(?!等)|非|或(?!等)|既", re.IGNORECASE
)
ASIDE = re.compile(
    r"\b(?:the|lines?|planes?|triangles?|segments?)\b|直线|平面|线段|三角形|\\triangle|\s",
    re.IGNORECASE,
)
AROUND = " $\"'“”.。()（）[]{}"
LONGEST = 80


@dataclass(frozen=True, slots=True)
class Said:
    """A relation, and what stands in it."""

    sign: str
    sides: tuple[str, str] | None = None


def sign_alone(text: str) -> str | None:
    """The sign that a text consists of; None: it is more than that."""
    return SIGNS.get(text.strip(AROUND)) or SIGNS.get(tidy(text).strip(AROUND))


def said_in(text: str) -> Said | None:
    """The relation that a text states, by sign or by word; None: it states none."""
    if sign := sign_alone(text):
        return Said(sign)
    plain = tidy(text)
    if len(plain) > LONGEST or DENIED.search(plain):
        return None
    if match := SIGNED.fullmatch(plain):
        return Said(SIGNS.get(match["sign"], match["sign"]), (match["left"], match["right"]))
    for sign, pattern in SAID.items():
        if match := pattern.fullmatch(plain):
            both = match["left"] and match["right"]
            return Said(sign, (match["left"], match["right"]) if both else None)
    return None


def is_relation(text: str) -> bool:
    """Whether a gold answer is a bare sign, or says how two figures lie to one another."""
    if sign_alone(text):
        return True
    found = said_in(text)
    return found is not None and found.sign in GEOMETRY


def same_relation(gold: str, answer: str, question: str) -> bool | None:
    """Whether an answer says the relation that the gold answer is; None: it can't be told."""
    ours, theirs = said_in(gold), said_in(answer)
    if ours is None or theirs is None:
        return None
    if ours.sides and theirs.sides:
        same = {_bare(side) for side in ours.sides} == {_bare(side) for side in theirs.sides}
        return ours.sign == theirs.sign if same else None
    if theirs.sides and ours.sign not in GEOMETRY:
        sign = _as_asked(theirs.sign, theirs.sides, question)
        return None if sign is None else sign == ours.sign
    return ours.sign == theirs.sign


def _bare(side: str) -> str:
    return ASIDE.sub("", side)


def _as_asked(sign: str, sides: tuple[str, str], question: str) -> str | None:
    """A sign with its sides in the question's order; None: the question does not have them."""
    asked = squeezed(question.replace("$", ""))
    first, second = (asked.find(squeezed(side)) for side in sides)
    if first < 0 or second < 0 or first == second:
        return None
    return sign if first < second else FLIPPED.get(sign)
