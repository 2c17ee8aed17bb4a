r"""Sums and products that leave terms out, `a_1 + a_2 + \cdots + a_n`, written out for one n."""

import itertools
import re
from collections.abc import Callable
from fractions import Fraction

from stages.verifiers.formulas.expressions import Node, symbols

MOST_TERMS = 40
LEAST_SHOWN = 3
"""Terms that must stand in front of the dots of a geometric run."""
DOTS = Node("symbol", "ldots")
SUBSCRIPT = re.compile(r"([A-Za-z]+)_(?:(\d{1,2})|(\d?)([a-z])([+-]\d{1,2})?)")
Count = Callable[[Node], int | None]


class Endless(Exception):
    """It is not clear which terms are left out."""


def has_dots(node: Node) -> bool:
    r"""Whether there is a `\ldots` in a formula."""
    return node == DOTS or any(has_dots(part) for part in node.parts)


def index_names(node: Node) -> frozenset[str]:
    r"""The letters that may count the terms of what is left out in a formula."""
    found = {
        match[4] for name in symbols(node) if (match := SUBSCRIPT.fullmatch(name)) and match[4]
    }
    return frozenset(found or (name for name in symbols(node) if name in ("n", "k", "m", "N")))


def written_out(node: Node, index: str, count: int) -> Node:
    """A formula with every term in its place, for one value of the letter that counts them.

    Raises:
        Endless: it is not clear which terms are left out.
    """
    if node.kind in ("+", "*") and DOTS in (terms := _chain(node, node.kind)):
        return _filled(node.kind, terms, index, count)
    if node == DOTS:
        raise Endless
    if node.kind == "symbol":
        return _at(node, index, count)
    return Node(node.kind, node.name, tuple(written_out(one, index, count) for one in node.parts))


def _at(node: Node, index: str, count: int) -> Node:
    if node.name == index:
        return Node("number", str(count))
    match = SUBSCRIPT.fullmatch(node.name)
    if match and match[4] == index:
        return Node("symbol", f"{match[1]}_{int(match[3] or 1) * count + int(match[5] or 0)}")
    return node


def _chain(node: Node, kind: str) -> list[Node]:
    """The terms of a sum or the factors of a product, in order."""
    if node.kind != kind:
        return [node]
    return _chain(node.parts[0], kind) + _chain(node.parts[1], kind)


def _filled(kind: str, terms: list[Node], index: str, count: int) -> Node:
    at = terms.index(DOTS)
    if terms.count(DOTS) != 1 or not 0 < at < len(terms) - 1:
        raise Endless
    plain = [one if one == DOTS else written_out(one, index, count) for one in terms]
    last, after = plain[at + 1], plain[at + 2 :]
    start = at
    while start and _leaves(plain[start - 1], last) is not None:
        start -= 1
    before, shown = plain[:start], plain[start:at]
    try:
        found = [*before, *_between(shown, last), *after]
    except Endless:
        found = [*_powers(plain[:at], last), *after]
    result = found[0]
    for one in found[1:]:
        result = Node(kind, "", (result, one))
    return result


def _between(shown: list[Node], last: Node) -> list[Node]:
    """All terms of a run, from the first to the last."""
    if not shown:
        raise Endless
    first = shown[0]
    ends = _leaves(first, last)
    if not ends:
        raise Endless
    if len(shown) > 1:
        second = _leaves(first, shown[1]) or []
        steps = {place: other - one for place, one, other in second}
        if set(steps) != {place for place, _, _ in ends} or 0 in steps.values():
            raise Endless
    else:
        steps = {place: 1 if other > one else -1 for place, one, other in ends}
    lengths = {divmod(other - one, steps[place]) for place, one, other in ends}
    if len(lengths) != 1:
        raise Endless
    ((length, rest),) = lengths
    if rest or not 0 < length <= MOST_TERMS:
        raise Endless
    run = [
        _moved(first, {place: step * number for place, step in steps.items()})
        for number in range(length + 1)
    ]
    if run[: len(shown)] != shown or run[-1] != last:
        raise Endless
    return run


def _powers(shown: list[Node], last: Node) -> list[Node]:
    """All terms of a geometric run, `1 + 2 + 4 + ... + 64`; three must be there to see it."""
    known = [_fraction(term) for term in (*shown, last)]
    values = [value for value in known if value]
    if len(shown) < LEAST_SHOWN or len(values) < len(known):
        raise Endless
    *start, end = values
    ratio = start[1] / start[0]
    steps = {other / one for one, other in itertools.pairwise(start)}
    if steps != {ratio} or abs(ratio) == 1:
        raise Endless
    run = list(start)
    while run[-1] != end:
        if len(run) > MOST_TERMS:
            raise Endless
        run.append(run[-1] * ratio)
    return [_number(value) for value in run]


def _fraction(node: Node) -> Fraction | None:
    """What a small formula of integers is worth; None: it is none."""
    if node.kind == "number":
        return Fraction(node.name)
    parts = [_fraction(part) for part in node.parts]
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    match node.kind, known:
        case "neg", [one]:
            return -one
        case "+", [one, other]:
            return one + other
        case "-", [one, other]:
            return one - other
        case "*", [one, other]:
            return one * other
        case "/", [one, other]:
            return one / other if other else None
        case "^", [one, other] if other.denominator == 1 and abs(other) <= MOST_TERMS and one:
            return one ** int(other)
    return None


def _number(value: Fraction) -> Node:
    node = Node("number", str(abs(value.numerator)))
    if value.denominator > 1:
        node = Node("/", "", (node, Node("number", str(value.denominator))))
    return Node("neg", "", (node,)) if value < 0 else node


Place = tuple[int, ...]


def _leaves(one: Node, other: Node, place: Place = ()) -> list[tuple[Place, int, int]] | None:
    """Where two terms have other integers or subscripts, and which; None: they differ otherwise."""
    left, right = _integer(one), _integer(other)
    if left is not None and right is not None and left[0] == right[0]:
        return [] if left[1] == right[1] else [(place, left[1], right[1])]
    if (one.kind, one.name) != (other.kind, other.name) or len(one.parts) != len(other.parts):
        return None
    found = []
    for number, (mine, theirs) in enumerate(zip(one.parts, other.parts, strict=True)):
        below = _leaves(mine, theirs, (*place, number))
        if below is None:
            return None
        found += below
    return found


def _integer(node: Node) -> tuple[str, int] | None:
    """The integer in a leaf, or in what the index makes one, and the name that it belongs to."""
    if node.kind == "number" and node.name.isdigit():
        return "", int(node.name)
    if node.kind == "symbol" and (match := SUBSCRIPT.fullmatch(node.name)) and match[2]:
        return match[1], int(match[2])
    if node.kind in ("+", "-", "*") and not symbols(node):
        parts = [_integer(part) for part in node.parts]
        if any(part is None or part[0] for part in parts):
            return None
        left, right = (part[1] for part in parts if part is not None)
        value = {"+": left + right, "-": left - right, "*": left * right}[node.kind]
        return ("", value) if value >= 0 else None
    return None


def _moved(node: Node, moves: dict[Place, int], place: Place = ()) -> Node:
    if place in moves:
        name, value = _integer(node) or ("", 0)
        value += moves[place]
        return Node("symbol", f"{name}_{value}") if name else Node("number", str(value))
    return Node(
        node.kind,
        node.name,
        tuple(_moved(part, moves, (*place, at)) for at, part in enumerate(node.parts)),
    )
