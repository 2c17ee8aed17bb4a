"""An order written with signs, `Oslo > Bergen`, where the things are to be listed in that order."""

import re

from stages.verifiers.formulas.expressions import Node, symbols
from stages.verifiers.kinds.terms import Same, Terms
from stages.verifiers.kinds.text import normalize
from stages.verifiers.kinds.values import Quantity, Read, Sequence, Value, Words
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


def same_order(gold: Value, answer: str, terms: Terms, read: Read, same: Same) -> bool | None:
    """Whether a chain of `>` or `<` is the gold list, in the direction that the question asks for.

    Args:
        gold: a list of names or numbers in order.
        answer: tidied text.
        terms: what the question lays down; it must say what comes first.
        read: reads a value.
        same: compares two values.

    Returns:
        None: the gold answer is no such list, the answer no such chain, or no order is asked for.
    """
    if not isinstance(gold, Sequence) or gold.opening or len(gold.items) < 2:
        return None
    asked = ASKED.search(terms.question)
    if asked is None or OTHER.search(answer):
        return None
    parts, signs = splitting.cut(answer, SIGN)
    if not signs or not all(parts):
        return None
    wanted = (">", "\\gt") if asked["falling"] else ("<", "\\lt")
    if len(parts) != len(gold.items) or any(sign not in wanted for sign in signs):
        return False
    pairs = zip(gold.items, parts, strict=True)
    return all(
        _is_called(item, part) or _is_worth(item, read(part), terms, same) for item, part in pairs
    )


def _is_called(item: Value, part: str) -> bool:
    """Whether a thing of a list has a name."""
    if isinstance(item, Words):
        return normalize(item.text) == normalize(part)
    return isinstance(item, Quantity) and item.node == Node("symbol", part.strip())


def _is_worth(item: Value, value: Value, terms: Terms, same: Same) -> bool:
    """Whether a number of a list has a value."""
    is_number = isinstance(item, Quantity) and not symbols(item.node)
    return is_number and same(item, value, terms) is True
