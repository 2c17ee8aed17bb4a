"""Whether two quantities are the same: their values, units, bases, and unknowns."""

import re
from collections.abc import Iterable
from typing import Any

import mpmath

from stages.verifiers.formulas.arithmetic import (
    CLOSE,
    VERY_CLOSE,
    Huge,
    Undefined,
    constant,
    identical,
    needs_digits,
    same_number,
)
from stages.verifiers.formulas.expressions import Node, functions, symbols
from stages.verifiers.formulas.series import Endless, has_dots, index_names, written_out
from stages.verifiers.kinds.discounts import discounts
from stages.verifiers.kinds.renaming import readings
from stages.verifiers.kinds.terms import Terms
from stages.verifiers.kinds.tolerance import FLOAT, near
from stages.verifiers.kinds.units import factor, plain_percent, temperature
from stages.verifiers.kinds.values import Literal, Quantity

ANYTHING = frozenset(
    (
        "thing item object piece unit time way people person number total possible different "
        "distinct solution value in all any other more left remaining element point approximately"
    ).split()
)
"""Words that say nothing of what is counted."""
LENGTHS = (5, 6)
"""What is left out in `1 + 2 + ... + n` is written out for these n."""


def same_quantity(gold: Quantity, answer: Quantity, terms: Terms) -> bool | None:
    """Whether two quantities are the same; None: it can't be told here."""
    if _counts_other_things(gold.counted, answer.counted):
        return False
    if "折" in (gold.counted, answer.counted) and gold.counted != answer.counted:
        return any(same_quantity(*pair, terms) for pair in discounts(gold, answer))
    if gold.base or answer.base:
        return _same_in_base(gold, answer, terms)
    if symbols(gold.node) or symbols(answer.node):
        return _same_formula(gold, answer, terms)
    try:
        precise = needs_digits(gold.node) or needs_digits(answer.node)
        value, other = constant(gold.node, precise), constant(answer.node, precise)
    except Huge:
        return _far_apart(gold, answer)
    except Undefined:
        if ("infinity" in functions(gold.node)) != ("infinity" in functions(answer.node)):
            return False
        return None if gold.node != answer.node else True
    if (value == 0) != (other == 0) and max(abs(value), abs(other)) < CLOSE:
        # Noise, such as sin(pi) has, or a number as small as that: more digits tell.
        value, other = constant(gold.node, True), constant(answer.node, True)
        return bool(max(abs(value), abs(other)) < VERY_CLOSE)
    return _same_value(gold, value, answer, other, terms)


def _counts_other_things(gold: str, answer: str) -> bool:
    """Whether two numbers count what has other names: `2 cats`, `2 dogs`."""
    ours, theirs = _nouns(gold), _nouns(answer)
    if not (ours and theirs):
        return False
    # Of red balls and blue balls each has a word that the other one lacks.
    return not ours & theirs or (gold.split()[-1:] == answer.split()[-1:] and _differ(ours, theirs))


def _differ(ours: frozenset[str], theirs: frozenset[str]) -> bool:
    return bool(ours - theirs and theirs - ours)


def _nouns(counted: str) -> frozenset[str]:
    """The stems of the words that say what is counted; none where one of them is as good as any."""
    words = re.findall(r"[a-z]{3,}", counted.lower())
    if len(words) > 3 or any(word.rstrip("s") in ANYTHING for word in words):
        return frozenset()
    return frozenset(word.rstrip("s")[:5] for word in words)


def _far_apart(gold: Quantity, answer: Quantity) -> bool | None:
    """Of two numbers, one or both too large to compute: nothing but the same formula is equal."""
    if gold.node == answer.node:
        return True
    sizes = []
    for quantity in (gold, answer):
        try:
            constant(quantity.node)
            sizes.append(False)
        except Huge:
            sizes.append(True)
        except Undefined:
            return None
    return None if all(sizes) else False


def _same_in_base(gold: Quantity, answer: Quantity, terms: Terms) -> bool | None:
    if gold.base and answer.base:
        return gold.base == answer.base and gold.node == answer.node
    based, plain = (gold, answer) if gold.base else (answer, gold)
    if plain.literal is None or not plain.literal.exact or not terms.base:
        return False
    if answer.base and not terms.question.strip():
        return answer.base == 10 and gold.node == answer.node
    try:
        return int(plain.node.name, based.base or 10) == int(based.node.name)
    except ValueError:
        return False


def _same_formula(gold: Quantity, answer: Quantity, terms: Terms) -> bool | None:
    found = _identical(gold.node, answer.node, terms)
    if found is False and (gold.whole or answer.whole):
        whole = _identical(gold.whole or gold.node, answer.whole or answer.node, terms)
        return whole or False
    if found and gold.unit and answer.unit and gold.unit != answer.unit:
        return factor(answer.unit, gold.unit) == 1.0
    return found


def _identical(gold: Node, answer: Node, terms: Terms) -> bool | None:
    if has_dots(gold) or has_dots(answer):
        found = _identical_written_out(gold, answer)
        if found is not None:
            return found
    # A symbol that cancels out is possible, but no way to write an answer.
    found = False
    for other in readings(gold, answer, terms):
        found = identical(gold, other)
        if found:
            break
    return found


def _every(found: Iterable[bool | None]) -> bool | None:
    known = list(found)
    if False in known:
        return False
    return None if None in known else True


def _identical_written_out(gold: Node, answer: Node) -> bool | None:
    r"""Whether formulas with `\ldots` in them are the same for a few lengths; None: can't tell."""
    for index in sorted(index_names(gold) | index_names(answer)) or [""]:
        try:
            pairs = [
                (written_out(gold, index, count), written_out(answer, index, count))
                for count in LENGTHS
            ]
        except Endless:
            continue
        if all(symbols(one) == symbols(other) for one, other in pairs):
            return _every(identical(one, other) for one, other in pairs)
        return False
    return None


def _same_value(gold: Quantity, value: Any, answer: Quantity, other: Any, terms: Terms) -> bool:
    """Whether two numbers are the same with their units taken into account."""
    ours, theirs = (plain_percent(one.unit, terms.question) for one in (gold, answer))

    def close(one: Any, one_literal: Literal | None, two: Any, two_literal: Literal | None) -> bool:
        return near(one, one_literal, two, two_literal, terms.tolerance)

    plain = close(value, gold.literal, other, answer.literal)
    if ours == theirs:
        return plain
    if "percent" in (ours, theirs):
        return _same_percent(gold, value, answer, other, terms)
    if "dozen" in (ours, theirs):
        return _same_dozens(gold, value, answer, other, terms)
    if {ours, theirs} <= {"degree", "radian", None}:
        return (plain and {ours, theirs} != {"degree", "radian"}) or _same_angle(
            gold, value, answer, other, terms
        )
    if theirs is None:
        # The unit is missing; what the answer was to be in is the question's, or else the gold's.
        return plain or (
            terms.unit is not None and _converted(value, gold, other, answer, terms.unit, terms)
        )
    expected = ours or terms.unit
    if expected is None:
        return plain
    return _converted(value, gold, other, answer, theirs, terms, expected)


def _converted(
    value: Any, gold: Quantity, other: Any, answer: Quantity, unit: str, terms: Terms, to: str = ""
) -> bool:
    warm = temperature(other, unit, to or gold.unit or "")
    if warm is not None:
        warmed = mpmath.mpf(warm)
        # A float, like a factor.
        return same_number(value, warmed, FLOAT) or near(
            value, gold.literal, warmed, _rescaled(answer.literal), terms.tolerance
        )
    size = factor(unit, to or gold.unit or "")
    if size is None:
        return False
    literal = answer.literal if size == 1.0 else _rescaled(answer.literal)
    converted = other * mpmath.mpf(size)
    # The factor is a float, so that exact numbers come out with its rounding.
    return (
        same_number(value, converted, FLOAT)
        or near(value, gold.literal, converted, literal, terms.tolerance)
        or near(value / size, None, other, answer.literal, terms.tolerance)
    )


def _rescaled(literal: Literal | None) -> Literal | None:
    """How a converted decimal was written: in digits, but on no particular place."""
    if literal is None:
        return None
    return Literal(literal.decimals + 9, max(literal.significant, 4), exact=False)


def _same_percent(gold: Quantity, value: Any, answer: Quantity, other: Any, terms: Terms) -> bool:
    percent_is_ours = gold.unit == "percent"
    elsewhere = answer.unit if percent_is_ours else gold.unit
    if elsewhere:
        return False
    ours = _shifted(gold.literal) if percent_is_ours else gold.literal
    theirs = answer.literal if percent_is_ours else _shifted(answer.literal)
    one = value / 100 if percent_is_ours else value
    two = other if percent_is_ours else other / 100
    if near(one, ours, two, theirs, terms.tolerance):
        return True
    bare = percent_is_ours or terms.percent
    return bare and near(value, gold.literal, other, answer.literal, terms.tolerance)


def _shifted(literal: Literal | None) -> Literal | None:
    if literal is None:
        return None
    return Literal(literal.decimals + 2, literal.significant, exact=False)


def _same_dozens(gold: Quantity, value: Any, answer: Quantity, other: Any, terms: Terms) -> bool:
    """Whether a count is the same in dozens and without; `how many dozen` asks for the former."""
    if (gold.unit or answer.unit) and not {gold.unit, answer.unit} <= {"dozen", "", None}:
        return False
    size = 1 if terms.unit == "dozen" else 12
    one = value * size if gold.unit == "dozen" else value
    two = other * size if answer.unit == "dozen" else other
    return near(one, gold.literal, two, answer.literal, terms.tolerance)


def _same_angle(gold: Quantity, value: Any, answer: Quantity, other: Any, terms: Terms) -> bool:
    """Whether an angle in degrees is one in radians, of which one side says so or shows its pi."""
    degrees, radians = (gold, answer) if gold.unit == "degree" else (answer, gold)
    if degrees.unit != "degree":
        return False
    if radians.unit != "radian" and "pi" not in functions(radians.node):
        return False
    size = value.context.pi / 180
    one = value * size if gold.unit == "degree" else value
    two = other * size if answer.unit == "degree" else other
    return near(one, None, two, None, terms.tolerance)
