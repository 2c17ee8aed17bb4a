"""Changes in words: `a decrease of 20%` is -20%, unless it was asked by how much a thing fell."""

import re
from dataclasses import replace

from stages.verifiers.formulas.expressions import Node
from stages.verifiers.kinds.quantities import read_quantity
from stages.verifiers.kinds.values import Quantity

FALL = (
    r"decreas(?:e[sd]?|ing)|drop(?:s|ped)?|f[ae]ll(?:s|en)?|declin(?:e[sd]?|ing)|los(?:s|t|es?)"
    r"|reduc(?:e[sd]?|tion)|down|lower(?:ed)?|shr[aiu]nk|below zero|off|discount"
    r"|减少了?|下降了?|降低了?|下跌了?|降了?|跌了?|亏损了?|零下"
)
RISE = (
    r"increas(?:e[sd]?|ing)|rises?|rose|risen|gain(?:s|ed)?|gr[eo]w(?:s|th|n)?|up|above zero"
    r"|profit|增加了?|增长了?|上升了?|上涨了?|提高了?|涨了?|升了?|盈利了?|零上"
)
WORD = rf"(?P<fall>{FALL})|(?P<rise>{RISE})"
FIRST = re.compile(
    r"(?:an? |it |they |the (?:price|value|number|amount|temperature|population) )?"
    r"(?:has |have |is )?"
    rf"(?:{WORD})(?: by| of)?\s*:?\s*(?P<size>[\d\\$].*)",
    re.IGNORECASE,
)
LAST = re.compile(rf"(?:an? )?(?P<size>[\d\\$].*?)\s*(?:{WORD})", re.IGNORECASE)
SIGN_RULE = re.compile(r"[(（][^()（）]*[)）]")
"""`(A decrease is negative.)`"""
FALLS = re.compile(rf"(?<![A-Za-z])(?:{FALL})(?![A-Za-z])", re.IGNORECASE)
RISES = re.compile(rf"(?<![A-Za-z])(?:{RISE})(?![A-Za-z])", re.IGNORECASE)
LONGEST = 80


def direction_asked(question: str) -> int:
    """1 if a question is about a rise, -1 if it is about a fall, 0 if about neither or both."""
    plain = SIGN_RULE.sub("", question)
    return bool(RISES.search(plain)) - bool(FALLS.search(plain))


def read_change(text: str, asked: int) -> Quantity | None:
    """A change with its sign, or its size where its direction was asked for; None: it is none.

    Args:
        text: tidied text.
        asked: the direction that the question speaks of.
    """
    if len(text) > LONGEST or not (text[-1:].isalpha() or text[:1].isalpha()):
        return None
    match = FIRST.fullmatch(text) or LAST.fullmatch(text)
    if match is None:
        return None
    size = read_quantity(match["size"])
    if size is None or size.literal is None or size.counted or size.node.kind == "neg":
        return None
    said = -1 if match["fall"] else 1
    if said == (asked or 1):
        return size
    return replace(size, node=Node("neg", "", (size.node,)), whole=None)
