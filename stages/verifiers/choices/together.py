"""Answers that name several options at once: all of them, all but one, or one after the other."""

import re
from collections.abc import Callable, Sequence

NUMBERS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6,
    "两": 2, "三": 3, "四": 4, "五": 5, "六": 6,
}  # fmt: skip
THINGS = r"options?|statements?|choices?|answers?|conclusions?|propositions?|claims?|ones?"
LETTER = r"(?:option |statement |choice )?\(?([a-j])\)?"
SAID = (
    r"(?: (?:are|is|hold|holds|apply|applies)(?: all)?(?: the)?"
    r"(?: (?:true|correct|right|valid|answers?))?)?"
)
ALL = re.compile(
    rf"(?:all|every|each|everything)(?: of)?(?: the| these| those| them)?"
    rf"(?: (?P<count>{'|'.join(NUMBERS)}))?"
    rf"(?: of)?(?: the| them)?(?: given| above)?(?: (?:{THINGS}))?(?: above)?"
    r"(?:(?: are (?:true|correct|right))?,? (?:except|but|apart from|other than)(?: for)?"
    rf" {LETTER})?{SAID}"
)
ALL_HAN = re.compile(
    r"(?:这?(?P<count>[两三四五六])个?)?(?:所有|全部|全都?|以上)?的?(?:选项|说法|结论|命题|答案|选)?"
    r"(?:全部|全|都|均)?(?:是|为)?(?:正确|对|成立|选|符合)?的?"
)
HAN_ALL = re.compile("全|都|均|所有")
BUT_HAN = re.compile(
    r"除了?(?:选项)?([a-j])(?:选?项)?(?:以?外)?[,，]?(?:其余|其他|其它)?(?:选项)?(?:全部|全|都|均)(?:是)?(?:正确|对|成立)的?"
)
JOINED = re.compile(r"\s*(?:,\s*and\b|,|;|、|\band\b|&|和|与|以及)\s*", re.IGNORECASE)
FRONT = re.compile(
    r"^(?:only|just|both|(?:the )?(?:options|statements|choices)|the(?= ))\s+|^(?:只有|仅)",
    re.IGNORECASE,
)
MOST_PARTS = 8


def all_of(plain: str, num_options: int) -> frozenset[str]:
    """The letters that an answer such as `all of them` or `all except C` names; empty: none.

    Args:
        plain: normalized text.
        num_options: how many options there are.
    """
    letters = frozenset(chr(65 + at) for at in range(num_options))
    if but := BUT_HAN.fullmatch(plain):
        return _without(letters, but[1])
    match = ALL.fullmatch(plain) or (ALL_HAN.fullmatch(plain) if HAN_ALL.search(plain) else None)
    if match is None or (match["count"] and NUMBERS[match["count"]] != num_options):
        return frozenset()
    if match.re is ALL and match[2]:
        return _without(letters, match[2])
    return letters


def _without(letters: frozenset[str], one: str) -> frozenset[str]:
    """All letters but one; empty where that is none of them."""
    left = letters - {one.upper()}
    return left if left != letters else frozenset()


def each_of(
    plain: str, options: Sequence[str], matching: Callable[[str], Sequence[str]]
) -> frozenset[str]:
    """The letters of options whose texts or values an answer lists; empty where it does not.

    Args:
        plain: tidied text.
        options: the options.
        matching: which letters one part of it names.
    """
    parts = [part for part in JOINED.split(FRONT.sub("", plain)) if part]
    if not 1 < len(parts) <= min(MOST_PARTS, len(options)):
        return frozenset()
    found = [matching(part) for part in parts]
    letters = frozenset(letter for one in found for letter in one)
    is_clear = all(len(one) == 1 for one in found) and len(letters) == len(parts)
    return letters if is_clear else frozenset()
