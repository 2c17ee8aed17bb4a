r"""Equations and inequalities: what is named by them, and when two of them say the same.

`x = 3` names the value 3; `x + y = 3` names nothing, and is equal only to equations that hold for
the same points. Inequalities in one unknown are parts of the real line (`regions`).
"""

import re
from dataclasses import dataclass, replace

from stages.verifiers.formulas.arithmetic import (
    CLOSE,
    Undefined,
    evaluate,
    identical,
    points,
    proportional,
)
from stages.verifiers.formulas.expressions import Node, functions, symbols
from stages.verifiers.kinds.labelled import is_word_name
from stages.verifiers.kinds.regions import FLIPPED
from stages.verifiers.kinds.renaming import renamed
from stages.verifiers.kinds.terms import Terms
from stages.verifiers.kinds.values import Matrix, Quantity, Ratio, Relation, Sequence, Value, Words
from stages.verifiers.spelling.macros import without_arrows

FUNCTION = re.compile(
    r"(\\?[A-Za-z]+(?:_\{?\w+\}?)?'*(?:\^\{?(?:-1|\(\w\))\}?)?)\s*\(\s*([a-zA-Z](?:_\{?\w+\}?)?(?:\s*,\s*[a-zA-Z])*)\s*\)"
)
NAME = re.compile(
    r"(?:\\(?:triangle|angle|Delta|sin|cos|tan)\s*)*\|?\s*"
    r"(?:\\?[A-Za-z]+'*(?:_\{?[\w\\ ,]+\}?)?(?:\([\w,. ]+\))?|[A-Z]{1,4})'*"
    r"(?:\^\{?(?:-1|T)\}?)?\s*\|?|\?"
)
NAMES_OVER = re.compile(
    r"\\frac\{(?:[A-Z]{1,3}'?|[A-Za-z]_\{?\w\}?)\}\{(?:[A-Z]{1,3}'?|[A-Za-z]_\{?\w\}?)\}|[A-Z]{2}\s*(?:/|:|\\cdot)\s*[A-Z]{2}"
)
DERIVATIVE = re.compile(
    r"\\frac\{(?:d|\\partial)(?:\^\{?\d\}?)?\s*[a-zA-Z]?(?:\([a-z]\))?\}\{(?:d|\\partial)\s*[a-z](?:\^\{?\d\}?)?\}"
)
SETS = re.compile(
    r"(?:\(?(?:\\complement_\{?[A-Z]\}?\s*)?\(?\s*[A-Z]\s*\)?\s*\\(?:cup|cap|setminus)\s*)+"
    r"\(?(?:\\complement_\{?[A-Z]\}?\s*)?\(?\s*[A-Z]\s*\)*"
)
NAMED_RATIO = re.compile(rf"(?:{NAME.pattern})(?:\s*:\s*(?:{NAME.pattern}))+")
POINT_NAME = re.compile(r"\(\s*[\\A-Za-z_{}'()0-9]+(?:\s*,\s*[\\A-Za-z_{}'()0-9]+)+\s*\)")

APPLIED = re.compile(r"([A-Za-z])\(([A-Z]|-?\d[\d.]*)\)")
"""A function at a certain point, or the probability of a certain event."""
ANGLE_AT = re.compile(r"^\\angle\s*(?=[A-Z]$)")
"""The angle at a point has the point's name."""
MEASURE = re.compile(r"m\s*\(?\s*\\angle\s*(?P<angle>[A-Z]{1,4}'?|\d)\s*\)?")
"""How large an angle is, `m\\angle C`."""
LONGEST_NAME = 60
LENGTH = re.compile(r"\|\s?\d?\s?[a-e]\s?[-+]\s?\d?\s?[a-e]\s?\|")
"""Of a sum of vectors."""
NAMES = (FUNCTION, NAME, MEASURE, LENGTH, NAMES_OVER, NAMED_RATIO, POINT_NAME, DERIVATIVE, SETS)


@dataclass(frozen=True, slots=True)
class Named:
    """A value with the name that an equation gave it."""

    label: str
    value: Value
    argument: str | None = None
    """The unknown of a function, `x` in `f(x) = ...`."""

    @property
    def applied(self) -> str:
        """The function with its unknown."""
        return f"{self.label}({self.argument})"


def named(value: Value) -> Named | None:
    """The value that an equation such as `x = 3` names; None where it names none."""
    if not isinstance(value, Relation) or not value.is_equation:
        return None
    left = value.texts[0].strip()
    if isinstance(value.sides[0], Words) and len(value.sides) == 2 and is_word_name(left):
        return Named(label(left), value.sides[1])
    if value.signs[0] == "~" and not _is_name(left):
        return Named("", value.sides[0])  # exactly this, and nearly that
    if not all(_is_name(text.strip()) for text in value.texts[:-1]):
        if len(value.sides) > 2 and _is_name(left) and (found := _worked_out(value)):
            return found
        numbers = [side for side in value.sides if isinstance(side, Quantity)]
        if _has_dots_only(numbers) and len(numbers) == len(value.sides):
            return Named("", value.sides[-1])
        if len(numbers) == len(value.sides) and not any(symbols(one.node) for one in numbers):
            return Named("", value.sides[-1] if "~" not in value.signs else value.sides[0])
        if len(numbers) == len(value.sides) > 2 and not any(
            symbols(one.node) for one in numbers[1:]
        ):
            return Named("", value.sides[-1] if "~" not in value.signs else value.sides[-2])
        return None
    last = value.sides[-1]
    if len(value.sides) > 2 and value.signs[-1] == "~":
        last = value.sides[-2]
    match = FUNCTION.fullmatch(left)
    return Named(label(left), last, match[2] if match else None)


def _worked_out(chain: Relation) -> Named | None:
    """The value of a chain such as `x = 180 - y = 35`: what its name comes to in the end."""
    name = label(chain.texts[0].strip())
    values = [side for side in chain.sides[1:] if isinstance(side, Quantity)]
    if isinstance(chain.sides[-1], Matrix | Ratio | Sequence) and "~" not in chain.signs:
        return Named(name, chain.sides[-1])
    numbers = [side for side in chain.sides[-2:] if isinstance(side, Quantity)]
    numbers = [side for side in numbers if not symbols(side.node)]
    if isinstance(chain.sides[-1], Quantity) and chain.sides[-1] in numbers:
        return Named(name, numbers[0] if chain.signs[-1] == "~" else numbers[-1])
    if len(values) < len(chain.sides) - 1 or "~" in chain.signs:
        return None
    if any(identical(values[0].node, one.node) is not True for one in values[1:]):
        return None
    return Named(name, values[-1])


def _has_dots_only(sides: list[Quantity]) -> bool:
    r"""Whether the first of several sides is a sum with `\ldots` in it, and the last a number."""
    unknown = [symbols(side.node) for side in sides]
    return len(unknown) > 1 and unknown[0] == {"ldots"} and not unknown[-1]


def _is_name(text: str) -> bool:
    text = without_arrows(text)
    if len(text) > LONGEST_NAME:
        return False
    return any(pattern.fullmatch(text) for pattern in NAMES) and text not in ("e", "i", "\\pi")


def label(text: str) -> str:
    """A name without the marks that do not matter."""
    text = without_arrows(text)
    if match := MEASURE.fullmatch(text):
        text = rf"\angle {match['angle']}"
    text = ANGLE_AT.sub("", text)
    return re.sub(r"[\s{}\\|]|\(.*\)$" if FUNCTION.fullmatch(text) else r"[\s{}\\|]", "", text)


def is_other_unknown(found: Named, terms: Terms) -> bool:
    """Whether a value was given to one letter where the question asks for others: `y`, not `x`."""
    if match := APPLIED.fullmatch(found.label if found.argument is None else found.applied):
        asked = [one for one in APPLIED.finditer(terms.question) if one[1] == match[1]]
        return bool(asked) and all(one[2] != match[2] for one in asked)
    if found.argument is not None or not terms.unknowns:
        return False
    return found.label.isalpha() and len(found.label) == 1 and found.label not in terms.unknowns


def as_asked(found: Named | None, terms: Terms) -> Named | None:
    """A named value, the other way round if it is the inverse of the ratio that was asked for."""
    if found is None or ":" not in found.label or not _is_inverse(found.label, terms.question):
        return found
    if isinstance(found.value, Ratio):
        return replace(found, value=Ratio(found.value.terms[::-1]))
    return replace(found, value=Words(found.label))


def _is_inverse(ratio: str, question: str) -> bool:
    """Whether a question asks for the ratio of two things the other way round."""
    first, _, second = (re.escape(part) for part in ratio.partition(":"))
    asked = re.sub(r"[\s${}\\]|triangle", "", question)
    patterns = [
        f"{one}(?::|to|and|与|和|比|/){other}" for one, other in ((first, second), (second, first))
    ]
    return not re.search(patterns[0], asked) and re.search(patterns[1], asked) is not None


def with_argument(found: Named, argument: str) -> Value:
    """The value of a function with its unknown called otherwise."""
    value = found.value
    if found.argument is None or not isinstance(value, Quantity):
        return value
    return Quantity(renamed(value.node, found.argument, argument), value.literal, value.unit)


def difference(relation: Relation) -> Node | None:
    """Left side minus right side of an equation or inequality with two sides."""
    if len(relation.sides) != 2:
        return None
    left, right = relation.sides
    if not isinstance(left, Quantity) or not isinstance(right, Quantity):
        return None
    return Node("-", "", (left.whole or left.node, right.whole or right.node))


def same_points(gold: Relation, answer: Relation) -> bool | None:
    """Whether two equations or inequalities with two sides hold for the same points."""
    ours, theirs = difference(gold), difference(answer)
    if ours is None or theirs is None:
        return None
    if symbols(ours) != symbols(theirs):
        return False
    found = proportional(ours, theirs)
    if found is None:
        return None
    same, sign = found
    if not same and gold.is_equation and answer.is_equation:
        return _solves(gold, theirs) or _solves(answer, ours)
    ours_sign, theirs_sign = (relation.signs[0].replace("~", "=") for relation in (gold, answer))
    return same and ours_sign == (theirs_sign if sign > 0 else FLIPPED[theirs_sign])


def _solves(solved: Relation, other: Node) -> bool:
    """Whether an equation such as `y = 1/x` is another one, `xy = 1`, solved for its unknown.

    The other must be linear in that unknown: else it may have solutions besides.
    """
    found = named(solved)
    if found is None or not isinstance(found.value, Quantity) or len(solved.sides) != 2:
        return False
    name, value = solved.texts[0].strip(), found.value.whole or found.value.node
    if name not in symbols(other) or name in symbols(value):
        return False
    names = sorted(symbols(value))
    agreed = 0
    for point in points(names, functions(value) | functions(other)):
        try:
            at = evaluate(value, point)
            spread = [evaluate(other, {**point, name: at + step}) for step in (0, 1, 2)]
        except Undefined:
            continue
        size = max(abs(one) for one in spread)
        linear = abs(spread[2] - 2 * spread[1] + spread[0]) <= CLOSE * size
        if size == 0 or not linear or abs(spread[0]) > CLOSE * size:
            return False
        agreed += 1
    return agreed >= 3


def rising(relation: Relation) -> Relation:
    """A chain with its signs pointing one way: `a > b` as `b < a`."""
    if all(sign in (">", ">=", "=") for sign in relation.signs) and relation.signs[0] != "=":
        return Relation(
            relation.sides[::-1],
            tuple(FLIPPED[sign] for sign in reversed(relation.signs)),
            relation.texts[::-1],
        )
    return relation


def is_identity(relation: Relation) -> bool:
    """Whether an equation only writes one formula in several ways."""
    nodes = [side.node for side in relation.sides if isinstance(side, Quantity)]
    if len(nodes) != len(relation.sides) or not symbols(nodes[0]):
        return False
    return all(identical(nodes[0], node) for node in nodes[1:])
