"""Names that a solution is free to choose: parameters, integers that count solutions, constants."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace

from stages.verifiers.formulas.arithmetic import USUAL, Undefined, evaluate, same_number
from stages.verifiers.formulas.expressions import Node, functions, symbols
from stages.verifiers.kinds.terms import Terms
from stages.verifiers.kinds.values import Quantity, Sequence, Value

PARAMETERS = frozenset(["k", "n", "m", "t", "l", "j", "s", "c", "C", "K", "N", "M", "c_1", "C_1"])
"""Names that a solution may give to what runs through all integers, or to a constant."""
CONSTANTS = frozenset("C c C_1 C_2 C_3 c_1 c_2 c_3 K k".split())
ANY_CONSTANT = CONSTANTS | frozenset("A B D A_1 A_2 B_1 B_2 K_1 K_2 k_1 k_2".split())
INTEGRAL = re.compile(r"^\s*$|\\int|integra|antideriv|积分|原函数", re.IGNORECASE)
MOST_CONSTANTS = 3


def renamed(node: Node, name: str, to: str) -> Node:
    """A formula with one unknown called otherwise."""
    return with_names(node, {name: to})


def with_names(node: Node, names: dict[str, str]) -> Node:
    """A formula with unknowns called otherwise."""
    if node.kind == "symbol" and node.name in names:
        return replace(node, name=names[node.name])
    return replace(node, parts=tuple(with_names(part, names) for part in node.parts))


def with_nothing(node: Node, name: str) -> Node:
    """A formula with nothing for an unknown."""
    return with_number(node, name, "0")


def with_number(node: Node, name: str, number: str) -> Node:
    """A formula with a number for an unknown."""
    if node.kind == "symbol" and node.name == name:
        return Node("number", number)
    return replace(node, parts=tuple(with_number(part, name, number) for part in node.parts))


def readings(gold: Node, answer: Node, terms: Terms) -> Iterator[Node]:
    """The answer with the gold answer's names for what both are free to name."""
    ours, theirs = symbols(gold), symbols(answer)
    mine, others = sorted(ours - theirs), sorted(theirs - ours)
    if not mine and not others:
        yield answer
    if not mine and others in (["C"], ["c"]) and INTEGRAL.search(terms.question):
        yield with_nothing(answer, others[0])
    if not mine or len(mine) != len(others) or not terms.renaming:
        return
    plain = "symbol" in (gold.kind, answer.kind)  # a name alone is all that there is, as option C
    if len(mine) == 1:
        (name,), (other,) = mine, others
        free = not plain and _is_free(name, terms) and _is_free(other, terms)
        if free or (_is_periodic(gold, name) and _is_periodic(answer, other)):
            yield renamed(answer, other, name)
            return
    constant = (
        len(mine) <= MOST_CONSTANTS and set(mine) <= CONSTANTS and set(others) <= ANY_CONSTANT
    )
    if constant and not plain and not any(_is_given(name, terms) for name in (*mine, *others)):
        for order in itertools.permutations(mine):
            yield with_names(answer, dict(zip(others, order, strict=True)))


def _is_given(name: str, terms: Terms) -> bool:
    """Whether the question speaks of a symbol, so that it has the name that it has there."""
    pattern = rf"(?<![A-Za-z\\]){re.escape(name)}(?![A-Za-z])"
    return re.search(pattern, terms.question) is not None


def _is_free(name: str, terms: Terms) -> bool:
    return name in PARAMETERS and not _is_given(name, terms)


def _is_periodic(node: Node, name: str) -> bool:
    r"""Whether a formula is linear in one unknown with a multiple of pi, `\pi/6 + k\pi`."""
    if name not in PARAMETERS or symbols(node) != {name} or "pi" not in functions(node):
        return False
    try:
        first, second, third = (evaluate(node, {name: USUAL.mpf(at)}) for at in range(3))
    except Undefined:
        return False
    return same_number(second - first, third - second) and first != second


def aligned(gold: Value, answer: Value, terms: Terms) -> Value:
    """A tuple in one parameter with the parameter called as in the gold tuple, `(n, n+1)`."""
    if not isinstance(gold, Sequence) or not isinstance(answer, Sequence) or not terms.renaming:
        return answer
    if "" in (gold.opening, answer.opening) or len(gold.items) != len(answer.items):
        return answer
    ours, theirs = _unknowns(gold), _unknowns(answer)
    mine, others = ours - theirs, theirs - ours
    if len(mine) != 1 or len(others) != 1:
        return answer
    (name,), (other,) = mine, others
    chosen = terms.question.strip() != "" or {name, other} <= PARAMETERS
    if not chosen or _is_given(name, terms) or _is_given(other, terms):
        return answer
    return replace(answer, items=tuple(_called(item, other, name) for item in answer.items))


def _unknowns(value: Sequence) -> frozenset[str]:
    quantities = [item for item in value.items if isinstance(item, Quantity)]
    return frozenset[str]().union(*(symbols(item.node) for item in quantities))


def _called(value: Value, name: str, to: str) -> Value:
    if not isinstance(value, Quantity):
        return value
    return replace(value, node=renamed(value.node, name, to), whole=None)
