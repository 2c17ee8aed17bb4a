"""Vectors as sums of unit vectors: `2i - 3j + k` is (2, -3, 1)."""

from dataclasses import replace

from stages.verifiers.formulas.arithmetic import identical
from stages.verifiers.formulas.expressions import Node
from stages.verifiers.kinds.renaming import with_names
from stages.verifiers.kinds.values import Matrix, Quantity, Sequence, Value

UNITS = ("i", "j", "k")
NAMES = {"i": "unit_1", "j": "unit_2", "k": "unit_3"}
"""So that the first is not taken for the imaginary unit."""
ZERO, ONE = Node("number", "0"), Node("number", "1")


def components(node: Node, count: int) -> list[Node] | None:
    """The components of a sum of unit vectors; None: the formula is none, or has more of them."""
    if not _names(node) & {"j", "k"} or not 2 <= count <= 3:
        return None
    found = [_at(node, name) for name in UNITS]
    total: Node = ZERO
    for name, part in zip(UNITS, found, strict=True):
        total = Node("+", "", (total, Node("*", "", (part, Node("symbol", NAMES[name])))))
    if not identical(with_names(node, NAMES), total):
        return None
    if count == 2 and not identical(found[2], ZERO):
        return None
    return found[:count]


def with_components(
    gold: Value, answer: Value
) -> tuple[tuple[Value, ...], tuple[Value, ...]] | None:
    """The components of two vectors of which one is a sum of unit vectors; None: neither is."""
    ours, theirs = _components_of(gold, answer), _components_of(answer, gold)
    return (ours, theirs) if ours is not None and theirs is not None else None


def _components_of(value: Value, other: Value) -> tuple[Value, ...] | None:
    if isinstance(value, Matrix):
        return value.flat
    if isinstance(value, Sequence):
        return value.items if value.opening in ("(", "[") else None
    count = len(_components_of(other, value) or ()) if not isinstance(other, Quantity) else 0
    found = components(value.node, count) if isinstance(value, Quantity) else None
    return None if found is None else tuple(Quantity(node) for node in found)


def _names(node: Node) -> set[str]:
    found, stack = set(), [node]
    while stack:
        at = stack.pop()
        if at.kind == "symbol":
            found.add(at.name)
        stack.extend(at.parts)
    return found


def _at(node: Node, name: str) -> Node:
    """A formula with one of the unit vectors as 1 and the others as 0."""
    if node.kind == "symbol" and node.name in UNITS:
        return ONE if node.name == name else ZERO
    return replace(node, parts=tuple(_at(part, name) for part in node.parts))
