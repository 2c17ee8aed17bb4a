r"""Short ways to write several values: `1, 2, \ldots, 9`, `2 \pm 1`; one value written twice."""

import itertools
import re

from stages.verifiers.formulas.arithmetic import Undefined, constant, same_number
from stages.verifiers.formulas.expressions import Node, symbols
from stages.verifiers.kinds.quantities import read_quantity
from stages.verifiers.kinds.values import Literal, Quantity, Value

MOST_ITEMS = 64
NEARLY = 0.02
"""A value and what stands in brackets after it may differ by so much, as rounded numbers do."""


def counted_out(items: list[Value]) -> list[Value]:
    r"""Integers from the first to the last, where `\ldots` leaves out those between."""
    at = next((at for at, one in enumerate(items) if _integer(one, "ldots") is not None), 0)
    if at < 2 or at != len(items) - 2:
        return items
    before = [_integer(one) for one in items[:at]]
    last = _integer(items[-1])
    if last is None or None in before:
        return items
    known = [one for one in before if one is not None]
    step = known[1] - known[0]
    steps = {other - one for one, other in itertools.pairwise(known)}
    if steps != {step} or step == 0 or (last - known[-1]) % step or last == known[-1]:
        return items
    run = range(known[-1] + step, last + (1 if step > 0 else -1), step)
    if not 0 < len(run) <= MOST_ITEMS:
        return items
    texts = [str(abs(one)) for one in run]
    numbers = [Node("number", text) for text in texts]
    nodes = [
        Node("neg", "", (node,)) if one < 0 else node
        for node, one in zip(numbers, run, strict=True)
    ]
    found = [
        Quantity(node, Literal(0, len(text), exact=True))
        for node, text in zip(nodes, texts, strict=True)
    ]
    return [*items[:at], *found]


def _integer(value: Value, symbol: str = "") -> int | None:
    """The integer that a value is, or 0 where it is a certain symbol; else None."""
    if not isinstance(value, Quantity) or value.unit:
        return None
    node, sign = value.node, 1
    if symbol:
        return 0 if node.kind == "symbol" and node.name == symbol else None
    if node.kind == "neg":
        node, sign = node.parts[0], -1
    return sign * int(node.name) if node.kind == "number" and node.name.isdigit() else None


def said_twice(match: re.Match[str]) -> Value | None:
    """A number that stands in brackets once more, `nine (9)`; None where it is another one."""
    first, second = (read_quantity(match[group]) for group in (1, 2))
    if first is None or second is None or symbols(first.node) or symbols(second.node):
        return None
    try:
        one, other = (
            constant(quantity.node) / (100 if quantity.unit == "percent" else 1)
            for quantity in (first, second)
        )
    except Undefined:
        return None
    return first if same_number(one, other, NEARLY) and one != 0 else None


def signs(node: Node) -> list[Node]:
    r"""A formula once with every `\pm` as plus and every `\mp` as minus, and once the other way."""
    if not _has_signs(node):
        return [node]
    return [_with_sign(node, "+", "-"), _with_sign(node, "-", "+")]


def _has_signs(node: Node) -> bool:
    return node.kind in ("\\pm", "\\mp") or any(_has_signs(part) for part in node.parts)


def _with_sign(node: Node, plus: str, minus: str) -> Node:
    parts = tuple(_with_sign(part, plus, minus) for part in node.parts)
    if node.kind not in ("\\pm", "\\mp"):
        return Node(node.kind, node.name, parts)
    sign = plus if node.kind == "\\pm" else minus
    if len(parts) == 2:
        return Node(sign, "", parts)
    return parts[0] if sign == "+" else Node("neg", "", parts)
