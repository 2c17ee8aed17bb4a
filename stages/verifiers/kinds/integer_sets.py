r"""Sets of integers by a condition, `\{x \in \mathbb{Z} \mid -2 \leq x < 2\}`, one by one."""

import re
from dataclasses import replace

import mpmath

from stages.verifiers.formulas.expressions import Node, symbols
from stages.verifiers.kinds.regions import pieces
from stages.verifiers.kinds.shorthand import MOST_ITEMS
from stages.verifiers.kinds.values import Literal, Quantity, Read, Region, Sequence, Value
from stages.verifiers.spelling import splitting

KIND = r"(?:\\mathbb\s*\{?)?(?P<kind>[ZN])\}?\s*(?P<sign>\^\s*\{?[*+]\}?|_\s*\{?\+\}?)?"
FIRST = re.compile(rf"(?P<name>[a-zA-Z])\s*\\in\s*{KIND}\s*[|:]\s*(?P<rule>.+)")
LAST = re.compile(
    rf"(?P<name>[a-zA-Z])\s*[|:]\s*(?P<rule>.+?)\s*(?:,|and|且)\s*(?P=name)\s*\\in\s*{KIND}"
)


LISTED = re.compile(
    r"(?:[a-zA-Z]\s*[|:]\s*[a-zA-Z]\s*=\s*)?(?P<formula>[^|:,]{1,60}?)\s*[|:,]\s*"
    r"(?P<name>[a-zA-Z])\s*(?:=|\\in)\s*(?P<values>\{?-?\d[^|:]{0,200})"
)
"""`2k | k = 1, 2, 3`"""


def read_integers(text: str, read: Read) -> Sequence | None:
    """The integers that a set's condition leaves; None: it is no such set, or they never end."""
    braced = splitting.bracketed(text)
    if braced is None or braced[1] != "{":
        return None
    if (listed := LISTED.fullmatch(braced[0])) and (found := _one_by_one(listed, read)):
        return found
    match = FIRST.fullmatch(braced[0]) or LAST.fullmatch(braced[0])
    ranges = pieces(_all_of(read(match["rule"]))) if match else None
    if match is None or ranges is None:
        return None
    least = (1 if match["sign"] else 0) if match["kind"] == "N" or match["sign"] else -mpmath.inf
    numbers: list[int] = []
    for piece in ranges:
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


def _one_by_one(listed: re.Match[str], read: Read) -> Sequence | None:
    """What a formula is for each of a list of values; None: it is no such formula."""
    formula, values = read(listed["formula"]), read(listed["values"])
    if not isinstance(formula, Quantity) or symbols(formula.node) != {listed["name"]}:
        return None
    items = values.items if isinstance(values, Sequence) and values.is_set else (values,)
    known = [item for item in items if isinstance(item, Quantity) and not symbols(item.node)]
    if len(known) < len(items) or len(known) > MOST_ITEMS:
        return None
    nodes = [_with(formula.node, listed["name"], item.node) for item in known]
    return Sequence(tuple(Quantity(node) for node in nodes), "{", "}")


def _with(node: Node, name: str, value: Node) -> Node:
    """A formula with a value for an unknown."""
    if node.kind == "symbol" and node.name == name:
        return value
    return replace(node, parts=tuple(_with(part, name, value) for part in node.parts))
