"""Formulas as trees."""

from dataclasses import dataclass


class Unreadable(Exception):
    """This is no formula, or none of the kinds known here."""


@dataclass(frozen=True, slots=True)
class Node:
    """A number, a symbol, or an operation on other nodes."""

    kind: str
    """`number`, `symbol`, `call`, or an operation such as `+`."""
    name: str = ""
    """The literal, the symbol, or the function."""
    parts: tuple["Node", ...] = ()


def symbols(node: Node) -> frozenset[str]:
    """The names of unknowns in a formula, the functions that are not known among them."""
    found: set[str] = set()
    stack = [node]
    while stack:
        at = stack.pop()
        if at.kind == "symbol" and at.name not in ("e", "i"):
            found.add(at.name)
        stack.extend(at.parts)
    return frozenset(found)


def functions(node: Node) -> frozenset[str]:
    """The names of functions and the kinds of operations in a formula."""
    return frozenset({node.kind, node.name}).union(*(functions(part) for part in node.parts))
