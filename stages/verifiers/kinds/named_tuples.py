"""Tuples whose names stand in another order: `(a,c,b) = (1,5,0)` for `(a,b,c) = (1,0,5)`."""

import re
from dataclasses import replace

from stages.verifiers.kinds.relations import Named, named
from stages.verifiers.kinds.terms import Terms
from stages.verifiers.kinds.values import Sequence, Value

NAME = r"\\?[A-Za-z]{1,8}(?:_\{?\w\}?)?"
NAMES = re.compile(rf"\(\s*{NAME}(?:\s*,\s*{NAME}){{1,7}}\s*\)")
LONGEST_QUESTION = 3000


def in_order(found: Named | None, gold: Value, terms: Terms) -> Named | None:
    """A named tuple with its values in the order of other names for the same things.

    Args:
        found: what an answer names.
        gold: the gold answer, whose names count.
        terms: what the question lays down; its own tuple or list of unknowns counts where the gold
            answer names nothing.
    """
    names = _names(found.label) if found else ()
    if not names or found is None or not isinstance(found.value, Sequence):
        return found
    values = dict(zip(names, found.value.items, strict=False))
    if len(values) != len(found.value.items) or len(values) != len(names):
        return found
    orders = [wanted] if (wanted := _named_by(gold)) else _asked(terms)
    for order in orders:
        if sorted(order) == sorted(names):
            items = tuple(values[name] for name in order)
            return replace(
                found, label=f"({','.join(order)})", value=replace(found.value, items=items)
            )
    return found


def _named_by(gold: Value) -> tuple[str, ...]:
    """The names of a tuple or of a list of equations; none where there are none."""
    if isinstance(gold, Sequence):
        found = [named(item) for item in gold.items]
        return tuple(one.label for one in found if one) if all(found) else ()
    one = named(gold)
    return _names(one.label) if one else ()


def _asked(terms: Terms) -> list[tuple[str, ...]]:
    found = [_names(match[0]) for match in NAMES.finditer(terms.question[:LONGEST_QUESTION])]
    return [*found, terms.unknowns]


def _names(label: str) -> tuple[str, ...]:
    """The names in a label such as `(a,b,c)`; none where it is no such label."""
    plain = re.sub(r"[\s{}\\]", "", label)
    return tuple(plain[1:-1].split(",")) if plain[:1] == "(" and "," in plain else ()
