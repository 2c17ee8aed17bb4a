"""What formulas are worth: numbers to many digits, and identities by trial at chosen points.

Two formulas in the same unknowns that agree to 25 digits at several points are the same function;
two that differ at one are not. No algebra is needed, and no text is ever executed.
"""

import functools
import hashlib
import random
from collections.abc import Mapping
from typing import Any

import mpmath

from stages.verifiers.formulas.expressions import Node, functions, symbols

DIGITS = 50
MANY_DIGITS = 1000
LARGE_LITERAL = 100
"""A formula with an integer above this may need more digits to be told from its neighbours."""
LARGE_EXPONENT = 12
"""The same for an integer in a power or a factorial."""
CLOSE = mpmath.mpf(10) ** -25
VERY_CLOSE = mpmath.mpf(10) ** -(MANY_DIGITS - 50)
LARGEST_BITS = 2_000_000
LARGEST_FACTORIAL = 20_000
ONE_BRANCH = frozenset("arcsin arccos arctan arccot asin acos atan arcsinh arccosh arctanh".split())
BRANCHED = ONE_BRANCH | {"root", "log", "ln", "lg", "!", "binom", "cbrt"}


class Undefined(Exception):
    """The formula has no value there, or one too large to compute."""


class Huge(Undefined):
    """The value is beyond any answer that a number could be compared with."""


def _context(digits: int) -> Any:
    context = mpmath.mp.clone()
    context.dps = digits
    return context


USUAL, PRECISE = _context(DIGITS), _context(MANY_DIGITS)


@functools.lru_cache(maxsize=20_000)
def constant(node: Node, precise: bool | None = None) -> Any:
    """The number that a formula without unknowns is worth, to as many digits as may matter.

    Args:
        node: the formula.
        precise: compute many digits; None: as many as this formula needs.

    Raises:
        Undefined: it has none, or can't be computed here.
    """
    if precise is None:
        precise = needs_digits(node)
    return evaluate(node, {}, PRECISE if precise else USUAL)


def evaluate(node: Node, at: Mapping[str, Any], context: Any = USUAL) -> Any:
    """The value of a formula at a point.

    Args:
        node: the formula.
        at: the values of its unknowns.
        context: the arithmetic to use.

    Raises:
        Undefined: there is none.
    """
    try:
        value = _evaluate(node, at, context)
    except (ZeroDivisionError, OverflowError, ValueError, TypeError, KeyError) as error:
        raise Undefined from error
    if context.isnan(value):
        raise Undefined
    return value


def same_number(left: Any, right: Any, tolerance: Any = None) -> bool:
    """Whether two numbers are equal but for rounding, relative to their size."""
    if left == right:
        return True
    if tolerance is None:
        many = min(left.context.dps, right.context.dps) > DIGITS
        tolerance = VERY_CLOSE if many else CLOSE
    if mpmath.isinf(left) or mpmath.isinf(right):
        return False
    scale = max(abs(left), abs(right))
    return bool(abs(left - right) <= tolerance * scale)


def identical(left: Node, right: Node, context: Mapping[str, Any] | None = None) -> bool | None:
    """Whether two formulas are the same function of their unknowns; None: it can't be told."""
    names = sorted(symbols(left) | symbols(right))
    agreed = 0
    precise = PRECISE if needs_digits(left) or needs_digits(right) else USUAL
    for point in points(names, functions(left) | functions(right)):
        try:
            values = evaluate(left, point, precise), evaluate(right, point, precise)
        except Huge:
            return None
        except Undefined:
            continue
        if not same_number(*values):
            return False
        agreed += 1
    return True if agreed >= 2 or (agreed and not names) else None


def proportional(left: Node, right: Node) -> tuple[bool, int] | None:
    """Whether one formula is a constant times the other, and that constant's sign.

    None: it can't be told.
    """
    names = sorted(symbols(left) | symbols(right))
    ratio: Any = None
    agreed = 0
    for point in points(names, functions(left) | functions(right)):
        try:
            one, other = evaluate(left, point), evaluate(right, point)
        except Undefined:
            continue
        if abs(other) < CLOSE or abs(one) < CLOSE:
            if abs(other) < CLOSE and abs(one) < CLOSE:
                continue
            return False, 0
        if ratio is not None and not same_number(one / other, ratio):
            return False, 0
        ratio = one / other
        agreed += 1
    if agreed < 3 or ratio is None:
        return None
    if abs(mpmath.im(ratio)) > CLOSE:
        return False, 0
    return True, 1 if mpmath.re(ratio) > 0 else -1


def points(names: list[str], kinds: frozenset[str]) -> list[dict[str, Any]]:
    """Where to compare formulas: the same points every time.

    Where a function has several branches the points stay where all writers agree which is meant.
    """
    if not names:
        return [{}]
    ranges = [(0.1, 0.9)] * 3
    if not kinds & ONE_BRANCH:
        ranges += [(1.1, 3.9)] * 3
        if not kinds & BRANCHED and "^" not in kinds:
            ranges += [(-3.9, -1.1)]
    draw = random.Random(20_240_601)
    return [{name: USUAL.mpf(draw.uniform(*bounds)) for name in names} for bounds in ranges]


def needs_digits(node: Node, least: int = LARGE_LITERAL) -> bool:
    """Whether a formula holds integers so large that their neighbours agree to the usual digits."""
    if node.kind == "number":
        return len(node.name) >= 20 or (node.name.isdigit() and int(node.name) > least)
    if node.kind in ("^", "!") or node.name == "binom":
        least = LARGE_EXPONENT
    return any(needs_digits(part, least) for part in node.parts)


def _evaluate(node: Node, at: Mapping[str, Any], context: Any) -> Any:
    kind = node.kind
    if kind == "number":
        return context.mpf(node.name)
    if kind == "symbol":
        if node.name == "e" and "e" not in at:
            return +context.e
        if node.name == "i" and "i" not in at:
            return context.mpc(0, 1)
        return at[node.name]
    parts = [_evaluate(part, at, context) for part in node.parts]
    if kind == "call":
        return _call(node.name, parts, context)
    match kind:
        case "+":
            return parts[0] + parts[1]
        case "-":
            return parts[0] - parts[1]
        case "*":
            return parts[0] * parts[1]
        case "/":
            return parts[0] / parts[1]
        case "neg":
            return -parts[0]
        case "^":
            return _power(parts[0], parts[1], context)
        case "!":
            return _factorial(parts[0], context)
        case "degrees":
            return parts[0] * context.pi / 180
    raise Undefined


def _power(base: Any, exponent: Any, context: Any) -> Any:
    if base == 0:
        if context.re(exponent) <= 0:
            raise Undefined
        return context.mpf(0)
    if context.isinf(base) or context.isinf(exponent):
        raise Undefined
    if abs(exponent) * abs(context.log(abs(base), 2)) > LARGEST_BITS:
        raise Huge
    if abs(exponent) > LARGEST_BITS:
        raise Huge
    return context.power(base, exponent)


def _factorial(value: Any, context: Any) -> Any:
    if abs(value) > LARGEST_FACTORIAL:
        raise Huge
    return context.gamma(value + 1)


def _call(name: str, parts: list[Any], context: Any) -> Any:
    match name:
        case "pi":
            return +context.pi
        case "infinity":
            return context.inf
        case "abs":
            return abs(parts[0])
        case "root":
            return _root(parts[0], parts[1], context)
        case "cbrt":
            return _root(parts[0], context.mpf(3), context)
        case "log":
            if len(parts) == 2:
                return context.log(parts[0]) / context.log(parts[1])
            return context.log(parts[0])
        case "lg":
            return context.log(parts[0]) / context.log(10)
        case "ln":
            return context.log(parts[0])
        case "exp":
            return _power(+context.e, parts[0], context)
        case "binom":
            top, bottom = parts
            if max(abs(top), abs(bottom)) > LARGEST_FACTORIAL:
                raise Huge
            return (
                context.gamma(top + 1) / context.gamma(bottom + 1) / context.gamma(top - bottom + 1)
            )
        case "ceil" | "floor" | "sign":
            return getattr(context, name)(parts[0])
        case "max" | "min":
            return max(parts) if name == "max" else min(parts)
    if found := ELEMENTARY.get(name):
        if abs(parts[0]) > 1e9:
            raise Huge
        return getattr(context, found)(parts[0])
    if len(name) <= 2 or "_" in name:
        return _unknown(name, parts, context)
    raise Undefined


ELEMENTARY = {
    **{
        name: name
        for name in "sin cos tan cot sec csc sinh cosh tanh coth sech csch asin acos atan".split()
    },
    **{
        "arc" + name: "a" + name
        for name in ["sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh"]
    },
    **{"sgn": "sign", "Re": "re", "Im": "im", "arg": "arg"},
    **{"tg": "tan", "ctg": "cot", "arctg": "atan", "cosec": "csc"},
}


def _root(value: Any, index: Any, context: Any) -> Any:
    if index == 2:
        return context.sqrt(value)
    if index == 0 or abs(index) > 1000:
        raise Undefined
    if context.im(value) == 0 and context.re(value) < 0 and int(index) == index and index % 2:
        return -context.power(-context.re(value), 1 / index)  # the real root is what is meant
    return context.power(value, 1 / index)


def _unknown(name: str, parts: list[Any], context: Any) -> Any:
    """A function that is only named: any value will do, if it follows from the arguments."""
    told = name + "|".join(mpmath.nstr(part, 15) for part in parts)
    digest = hashlib.sha256(told.encode()).digest()
    return context.mpf(1) + context.mpf(int.from_bytes(digest[:8], "big")) / 2**64
