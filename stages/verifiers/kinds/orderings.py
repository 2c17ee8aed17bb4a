"""An order written with signs, `Oslo > Bergen`, where the things are to be listed in that order."""

import re

from stages.verifiers.kinds.text import normalize
from stages.verifiers.kinds.values import Quantity, Sequence, Value, Words
from stages.verifiers.spelling import splitting

SIGN = re.compile(r"[<>]|\\[gl]t(?![A-Za-z])")
OTHER = re.compile(r"=|\\(?:approx|leq|geq|neq)(?![A-Za-z])|[,;]")
FALLING = (
    r"largest|greatest|biggest|highest|tallest|longest|heaviest|oldest|fastest|strongest|hottest"
    r"|most|descending|decreasing|从[大多高重长快强]到|由[大多高重长快强]到|降序"
)
RISING = (
    r"smallest|least|lowest|shortest|lightest|youngest|slowest|weakest|coldest|fewest|ascending"
    r"|increasing|从[小少低轻短慢弱矮]到|由[小少低轻短慢弱矮]到|升序"
)
ASKED = re.compile(rf"(?P<falling>{FALLING})|(?P<rising>{RISING})", re.IGNORECASE)


def same_order(gold: Value, answer: str, question: str) -> bool | None:
    """Whether a chain of `>` or `<` is the gold list, in the direction that the question asks for.

    Args:
        gold: a list of names in order.
        answer: tidied text.
        question: what was asked, which must say what comes first.

    Returns:
        None: the gold answer is no such list, the answer no such chain, or no order is asked for.
    """
    if not isinstance(gold, Sequence) or gold.opening or len(gold.items) < 2:
        return None
    names = [_name(item) for item in gold.items]
    asked = ASKED.search(question)
    if None in names or asked is None or OTHER.search(answer):
        return None
    parts, signs = splitting.cut(answer, SIGN)
    if not signs or not all(parts):
        return None
    wanted = (">", "\\gt") if asked["falling"] else ("<", "\\lt")
    return all(sign in wanted for sign in signs) and [normalize(part) for part in parts] == names


def _name(item: Value) -> str | None:
    """What a list calls one of its things; None: it is no name."""
    if isinstance(item, Words):
        return normalize(item.text)
    if isinstance(item, Quantity) and item.node.kind == "symbol" and len(item.node.name) == 1:
        return normalize(item.node.name)
    return None
