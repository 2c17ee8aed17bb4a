"""Powers that are too large to work out, by root and exponent: `4^{2^{99}}` is `2^{2^{100}}`."""

import math

from stages.verifiers.formulas.expressions import Node
from stages.verifiers.kinds.values import Quantity, Value

LARGEST_ROOT = 1 << 52
MOST_BITS = 20_000
MOST_DIGITS = 4000


class TooLarge(Exception):
    """This is no power of integers, or one with an exponent that is too large itself."""


def same_power(gold: Value, answer: Value) -> bool | None:
    """Whether two powers of integers are the same number; None: one of them is something else."""
    if not isinstance(gold, Quantity) or not isinstance(answer, Quantity):
        return None
    if gold.unit or answer.unit:
        return None
    try:
        return _power(gold.node) == _power(answer.node)
    except TooLarge:
        return None


def _power(node: Node) -> tuple[int, int]:
    """The root of a power, which is no power itself, and its exponent."""
    if node.kind == "^":
        root, exponent = _power(node.parts[0])
        return root, _bounded(exponent * _integer(node.parts[1]))
    if node.kind in ("*", "/") and len(node.parts) == 2:
        (root, exponent), (other, further) = map(_power, node.parts)
        if root != other:
            raise TooLarge
        return root, exponent + further if node.kind == "*" else exponent - further
    number = _integer(node)
    if not 1 < number < LARGEST_ROOT:
        raise TooLarge
    for exponent in range(number.bit_length(), 1, -1):
        root = round(math.exp(math.log(number) / exponent))
        if root > 1 and root**exponent == number:
            return root, exponent
    return number, 1


def _integer(node: Node) -> int:
    if node.kind == "number" and node.name.isdigit() and len(node.name) < MOST_DIGITS:
        return int(node.name)
    if node.kind == "neg":
        return -_integer(node.parts[0])
    if node.kind not in ("+", "-", "*", "^") or len(node.parts) != 2:
        raise TooLarge
    left, right = map(_integer, node.parts)
    if node.kind == "^":
        if right < 0 or max(left.bit_length(), 1) * right > MOST_BITS:
            raise TooLarge
        return int(left**right)
    return _bounded({"+": left + right, "-": left - right, "*": left * right}[node.kind])


def _bounded(number: int) -> int:
    if number.bit_length() > MOST_BITS:
        raise TooLarge
    return number
