r"""Numbers at equal steps without end: `x = 7k + 3, k \in \mathbb{Z}`, `x \equiv 3 \pmod 7`."""

import re
from dataclasses import replace

import mpmath

from stages.verifiers.formulas.arithmetic import USUAL, Undefined, constant, evaluate, same_number
from stages.verifiers.formulas.expressions import Node, symbols
from stages.verifiers.kinds.renaming import PARAMETERS, with_number
from stages.verifiers.kinds.values import Progression, Quantity, Read, Relation, Sequence, Value
from stages.verifiers.spelling import splitting

CONGRUENT = re.compile(
    r"(?:[^=≡]{1,40}?(?:\\equiv|≡)\s*)?(?P<rest>[^\\=(]{1,40}|\\pm\s?\d{1,9})\s*"
    r"\(?\s*(?:\\pmod|\\bmod|\\mod|mod)\s*\{?\s*(?P<modulus>\d{1,9})\s*\}?\s*\)?"
)
INTEGER = (
    r"(?P<name>[a-z])\s*(?:\\in\s*(?:\\mathbb\s*\{?(?:Z|(?P<natural>N))\}?|Z|(?P<counting>N))"
    r"\s*(?P<positive>[\^_]\s*\{?[*+]?\}?|[*+])?"
    r"|(?:is )?(?:an |any )?(?:arbitrary )?integers?"
    r"|为(?:任意)?整数|是(?:任意)?整数)"
)
THROUGH = re.compile(
    rf"(?P<rest>.+?)\s*[,;:|]?\s*\(?\s*(?:where |with |for (?:all |any |some |every |each )?"
    rf"(?:integers? )?|其中)?{INTEGER}\s*\)?"
)
FOR_INTEGER = re.compile(
    r"(?P<rest>.+?)\s*,?\s*(?:for|where) (?:all |any |some |every |each )?integers? (?P<name>[a-z])"
)
MEMBER = re.compile(r"[a-zA-Z]\s*[|:]\s*([a-zA-Z]\s*=.*)")
"""Of a set, its member and what that is: `x | x = 2k`."""
NAMED = {
    "even": (2, 0), "odd": (2, 1), "偶": (2, 0), "奇": (2, 1),
}  # fmt: skip
IN_WORDS = re.compile(
    r"(?:(?:the set of )?all |any |every |the )?(even|odd) (?:integers?|numbers?)"
    r"|(?:全体|所有|一切)?([奇偶])数",
    re.IGNORECASE,
)
MULTIPLES = re.compile(
    r"(?:all |the )?(?:integer )?multiples of (\d{1,6})|(?:所有)?(\d{1,6})的(?:整数)?倍数?"
)
REMAINDER = re.compile(r"remainder|\bmod|余数?|last digit", re.IGNORECASE)
CLOSE = mpmath.mpf(10) ** -20
LONGEST = 200


def read_progression(text: str, read: Read) -> Value | None:
    """Numbers at equal steps that a text describes, or several such; None: it describes none.

    Args:
        text: tidied text.
        read: reads a part of it.
    """
    if len(text) > LONGEST:
        return None
    if (match := IN_WORDS.fullmatch(text)) and (found := NAMED.get((match[1] or match[2]).lower())):
        return Progression(_number(found[0]), _number(found[1]))
    if match := MULTIPLES.fullmatch(text):
        return Progression(_number(int(match[1] or match[2])), _number(0))
    if "mod" in text and (match := CONGRUENT.fullmatch(text)):
        return _congruent(read(match["rest"]), int(match["modulus"]))
    braced = splitting.bracketed(text)
    inner = braced[0] if braced and braced[1] == "{" else text
    match = THROUGH.fullmatch(inner) or FOR_INTEGER.fullmatch(inner)
    if match is None:
        return None
    rest = match["rest"].rstrip(" ,;|:(")
    if member := MEMBER.fullmatch(rest):
        rest = member[1]
    groups = match.groupdict()
    one_way = any(groups.get(name) for name in ("natural", "counting", "positive"))
    return _through(read(rest), match["name"], one_way)


def _congruent(rest: Value, modulus: int) -> Value | None:
    items = rest.items if isinstance(rest, Sequence) and not rest.opening else (rest,)
    numbers = [item for item in items if isinstance(item, Quantity) and not symbols(item.node)]
    if len(numbers) < len(items) or not modulus:
        return None
    found = [Progression(_number(modulus), number.node) for number in numbers]
    return found[0] if len(found) == 1 else Sequence(tuple(found))


def _through(value: Value, name: str, one_way: bool) -> Value | None:
    """What a formula runs through while one of its letters is every integer, or natural number."""
    if isinstance(value, Sequence) and not value.opening:
        found = [_through(item, name, one_way) for item in value.items]
        known = [item for item in found if item is not None]
        return Sequence(tuple(known)) if len(known) == len(found) else None
    found_ = progression_of(value, name)
    return replace(found_, one_way=one_way) if found_ else None


def progression_of(value: Value, name: str = "") -> Progression | None:
    """The numbers that a formula gives for all integers; None: these are not at equal steps.

    Args:
        value: a formula, or an equation that gives a letter one.
        name: the letter that is every integer; empty: whatever letter is its only one.
    """
    formula = value
    if isinstance(value, Relation) and value.signs == ("=",) and len(value.texts[0].strip()) <= 3:
        formula = value.sides[1]
    if not isinstance(formula, Quantity):
        return None
    node = formula.whole or formula.node
    names = symbols(node)
    if len(names) != 1 or (names != {name} if name else not names <= PARAMETERS):
        return None
    (name,) = names
    zero, one, two = (with_number(node, name, str(at)) for at in range(3))
    try:
        first, second, third = (evaluate(one_, {}) for one_ in (zero, one, two))
    except Undefined:
        return None
    step = second - first
    if step == 0 or mpmath.im(step) or not same_number(third - second, step):
        return None
    return Progression(Node("-", "", (one, zero)), zero, value)


def remainder(value: Progression, question: str) -> Quantity | None:
    """The remainder that a congruence gives, where a question asks for that one; else None."""
    if value.formula is not None or not REMAINDER.search(question):
        return None
    modulus = value.step.name
    asked = re.search(rf"(?<!\d){re.escape(modulus)}(?!\d)", question) is not None
    return Quantity(value.start) if modulus.isdigit() and asked else None


def same_steps(gold: Progression, answer: Progression) -> bool:
    """Whether two progressions go through the same numbers."""
    try:
        step, other = (abs(constant(one.step, False)) for one in (gold, answer))
        apart = (constant(gold.start, False) - constant(answer.start, False)) / step
    except (Undefined, ZeroDivisionError):
        return False
    return same_number(step, other) and bool(abs(apart - USUAL.nint(apart)) < CLOSE)


def _number(value: int) -> Node:
    return Node("number", str(value))
