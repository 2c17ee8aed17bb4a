"""Intervals, inequalities and sets of points as pieces of the real line."""

from dataclasses import dataclass
from typing import Any

import mpmath

from stages.verifiers.formulas.arithmetic import USUAL, Undefined, constant, evaluate, same_number
from stages.verifiers.formulas.expressions import Node, symbols
from stages.verifiers.kinds.values import Line, Quantity, Region, Relation, Sequence, Value

FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!=", "~": "~"}


@dataclass(frozen=True, slots=True)
class End:
    """Where a piece ends."""

    at: Any
    closed: bool
    source: Quantity | None = None
    """As it was written, where it was."""


@dataclass(frozen=True, slots=True)
class Piece:
    """From one end to the other; a point has equal, closed ends."""

    low: End
    high: End


LEAST, MOST = End(-mpmath.inf, False), End(mpmath.inf, False)
EVERYTHING = [Piece(LEAST, MOST)]


def pieces(value: Value) -> list[Piece] | None:
    """The pieces of the real line that a value describes, in order; None: it describes none.

    Ends must be numbers.
    """
    try:
        found = _pieces(value)
    except Undefined:
        return None
    return None if found is None else _merged(found)


def is_region(value: Value) -> bool:
    """Whether a value can only be meant as a part of the real line."""
    if isinstance(value, Relation):
        return not value.is_equation
    if isinstance(value, Sequence):
        return (value.opening, value.closing) in (("[", ")"), ("(", "]")) or _has_infinity(value)
    return isinstance(value, (Region, Line))


def as_interval(value: Value) -> Value:
    """A chain such as `a < x <= b` as an interval, whatever its ends are; else the value itself."""
    if not isinstance(value, Relation) or len(value.sides) != 3:
        return value
    if not set(value.signs) <= {"<", "<="} and not set(value.signs) <= {">", ">="}:
        return value
    sides, signs = value.sides, value.signs
    if signs[0].startswith(">"):
        sides, signs = sides[::-1], signs[::-1]
    middle = sides[1]
    if not isinstance(middle, Quantity) or middle.node.kind != "symbol":
        return value
    return Sequence(
        (sides[0], sides[2]), "[" if "=" in signs[0] else "(", "]" if "=" in signs[1] else ")"
    )


def _has_infinity(value: Sequence) -> bool:
    return value.opening in ("(", "[") and any(
        isinstance(item, Quantity) and "infinity" in (item.node.name, *_names(item.node))
        for item in value.items
    )


def _names(node: Node) -> list[str]:
    return [part.name for part in node.parts]


def _pieces(value: Value) -> list[Piece] | None:
    match value:
        case Line():
            return [] if value.empty else list(EVERYTHING)
        case Quantity():
            return None if symbols(value.node) else [_point(value)]
        case Region():
            return _combined(value)
        case Relation():
            return _solved(value)
        case Sequence() if value.is_set:
            parts = [_pieces(item) for item in value.items]
            return (
                None if any(p is None for p in parts) else [one for p in parts for one in p or []]
            )
        case Sequence() if len(value.items) == 2 and value.opening in ("(", "["):
            low, high = value.items
            if isinstance(low, Quantity) and isinstance(high, Quantity):
                return [Piece(_end(low, value.opening == "["), _end(high, value.closing == "]"))]
    return None


def _end(quantity: Quantity, closed: bool) -> End:
    at = constant(quantity.node)
    if mpmath.im(at):
        raise Undefined
    return End(at, closed and not mpmath.isinf(at), quantity)


def _point(quantity: Quantity) -> Piece:
    end = _end(quantity, closed=True)
    return Piece(end, end)


def _combined(region: Region) -> list[Piece] | None:
    parts = [_pieces(piece) for piece in region.pieces]
    if any(part is None for part in parts):
        return None
    known = [part for part in parts if part is not None]
    if region.operation == "or":
        return [piece for part in known for piece in part]
    found = _merged(known[0])
    for part in known[1:]:
        found = _shared(found, part if region.operation == "and" else _outside(_merged(part)))
    return found


def _solved(relation: Relation) -> list[Piece] | None:
    """What a chain of inequalities in one unknown, linear on every side, leaves of the line."""
    if (absolute := _absolute(relation)) is not None:
        return absolute
    found = list(EVERYTHING)
    quantities = [side for side in relation.sides if isinstance(side, Quantity)]
    if len(quantities) < len(relation.sides):
        return None
    unknown = frozenset[str]().union(*(symbols(side.node) for side in quantities))
    if len(unknown) != 1:
        return None
    (name,) = unknown
    for left, right, sign in zip(quantities, quantities[1:], relation.signs, strict=False):
        piece = _half_line(left, right, sign, name)
        if piece is None:
            return None
        found = _shared(found, piece)
    return found


def _absolute(relation: Relation) -> list[Piece] | None:
    """What `|x - 2| < 3` and its like leave of the line."""
    if len(relation.sides) != 2 or relation.signs[0] not in FLIPPED:
        return None
    left, right = relation.sides
    sign = relation.signs[0]
    if isinstance(right, Quantity) and right.node.name == "abs":
        left, right, sign = right, left, FLIPPED[sign]
    if not isinstance(left, Quantity) or not isinstance(right, Quantity):
        return None
    if left.node.name != "abs" or symbols(right.node) or constant(right.node) <= 0:
        return None
    inner = Quantity(left.node.parts[0])
    least = Quantity(Node("neg", "", (right.node,)), right.literal)
    if sign in ("<", "<="):
        return _solved(Relation((least, inner, right), (sign, sign), ("", "", "")))
    if sign in (">", ">="):
        sides = ((inner, right, sign), (inner, least, FLIPPED[sign]))
        halves = [_solved(Relation((one, other), (by,), ("", ""))) for one, other, by in sides]
        return None if None in halves else [piece for half in halves for piece in half or []]
    return None


def _half_line(left: Quantity, right: Quantity, sign: str, name: str) -> list[Piece] | None:
    source: Quantity | None = None
    if left.node == Node("symbol", name) and not symbols(right.node):
        source = right
    elif right.node == Node("symbol", name) and not symbols(left.node):
        source = left
    difference = Node("-", "", (left.node, right.node))
    zero, one, two = (evaluate(difference, {name: USUAL.mpf(at)}) for at in (0, 1, 2))
    slope = one - zero
    if slope == 0 or not same_number(two - one, slope) or mpmath.im(zero) or mpmath.im(slope):
        return None
    root = constant(source.node) if source is not None else -zero / slope
    sign = sign if slope > 0 else FLIPPED[sign]
    end = End(root, sign in ("<=", ">=", "=", "~"), source)
    if sign in ("<", "<="):
        return [Piece(LEAST, end)]
    if sign in (">", ">="):
        return [Piece(end, MOST)]
    return (
        _outside([Piece(End(root, True, source), End(root, True, source))])
        if sign == "!="
        else [Piece(end, end)]
    )


def _shared(left: list[Piece], right: list[Piece]) -> list[Piece]:
    found = []
    for one in left:
        for other in right:
            low = max(one.low, other.low, key=lambda end: (end.at, not end.closed))
            high = min(one.high, other.high, key=lambda end: (end.at, end.closed))
            if low.at < high.at or (low.at == high.at and low.closed and high.closed):
                found.append(Piece(low, high))
    return found


def _outside(parts: list[Piece]) -> list[Piece]:
    found = []
    low = LEAST
    for piece in parts:
        high = End(piece.low.at, not piece.low.closed, piece.low.source)
        if low.at < high.at or (low.at == high.at and low.closed and high.closed):
            found.append(Piece(low, high))
        low = End(piece.high.at, not piece.high.closed, piece.high.source)
    if low.at < MOST.at:
        found.append(Piece(low, MOST))
    return found


def _merged(parts: list[Piece]) -> list[Piece]:
    found: list[Piece] = []
    parts = [
        piece
        for piece in parts
        if piece.low.at < piece.high.at
        or (piece.low.at == piece.high.at and piece.low.closed and piece.high.closed)
    ]
    for piece in sorted(parts, key=lambda piece: (piece.low.at, not piece.low.closed)):
        if found and (
            piece.low.at < found[-1].high.at
            or (piece.low.at == found[-1].high.at and (piece.low.closed or found[-1].high.closed))
        ):
            last = found.pop()
            high = max(last.high, piece.high, key=lambda end: (end.at, end.closed))
            found.append(Piece(last.low, high))
        else:
            found.append(piece)
    return found
