r"""Sets of integers by a condition, `\{x \in \mathbb{Z} \mid -2 \leq x < 2\}`, one by one."""

import re

import mpmath

from stages.verifiers import splitting
from stages.verifiers.expressions import Node
from stages.verifiers.regions import pieces
from stages.verifiers.shorthand import MOST_ITEMS
from stages.verifiers.values import Literal, Quantity, Read, Region, Sequence, Value

KIND = r"(?:\\mathbb\s*\{?)?(?P<kind>[ZN])\}?\s*(?P<sign>\^\s*\{?[*+]\}?|_\s*\{?\+\}?)?"
FIRST = re.compile(rf"(?P<name>[a-zA-Z])\s*\\in\s*{KIND}\s*[|:]\s*(?P<rule>.+)")
LAST = re.compile(
    rf"(?P<name>[a-zA-Z])\s*[|:]\s*(?P<rule>.+?)\s*(?:,|and|且)\s*(?P=name)\s*\\in\s*{KIND}"
)


def read_integers(text: str, read: Read) -> Sequence | None:
    """The integers that a set's condition leaves; None: it is no such set, or they never end."""
    braced = splitting.bracketed(text)
    if braced is None or braced[1] != "{":
        return None
    match = FIRST.fullmatch(braced[0]) or LAST.fullmatch(braced[0])
    found = pieces(_all_of(read(match["rule"]))) if match else None
    if match is None or found is None:
        return None
    least = (1 if match["sign"] else 0) if match["kind"] == "N" or match["sign"] else -mpmath.inf
    numbers: list[int] = []
    for piece in found:
        low, high = max(piece.low.at, least), piece.high.at
        if mpmath.isinf(low) or mpmath.isinf(high) or high - low > MOST_ITEMS:
            return None
        for at in range(int(mpmath.ceil(low)), int(mpmath.floor(high)) + 1):
            outside = (at == piece.low.at and not piece.low.closed) or (
                at == high and not piece.high.closed
            )
            if not outside:
                numbers.append(at)
    return Sequence(tuple(_quantity(at) for at in numbers), "{", "}")


def _all_of(rule: Value) -> Value:
    """A condition whose parts, where it is a list, must all be true."""
    return Region(rule.items, "and") if isinstance(rule, Sequence) and not rule.opening else rule


def _quantity(value: int) -> Quantity:
    node = Node("number", str(abs(value)))
    literal = Literal(0, len(node.name), exact=True)
    return Quantity(Node("neg", "", (node,)) if value < 0 else node, literal)
