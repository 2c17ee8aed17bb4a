"""Several values in one answer: numbered parts, lists, sets, tuples."""

import itertools
import re

from stages.verifiers.kinds.labelled import labelled_values
from stages.verifiers.kinds.shorthand import MOST_ITEMS, counted_out
from stages.verifiers.kinds.values import (
    Either,
    Line,
    Quantity,
    Read,
    Region,
    Relation,
    Sequence,
    Value,
    Words,
)
from stages.verifiers.spelling import splitting

NUMBERED = re.compile(r"\(\s*(\d|[ivx]{1,4}|[a-h])\s*\)")
JOINING = re.compile(r"^(?:and|or|以及|和)\b\s*|\s*\b(?:and|or)$")
OR = re.compile(r"(?<![A-Za-z\\])or(?![A-Za-z])|或")
AND = re.compile(r"(?<![A-Za-z\\])and(?![A-Za-z])|和|与")
NUMBERED_NAME = re.compile(r"_\{?\d\}?$")
"""`x_1` of the first solution."""
SEMICOLON = re.compile(r"[;；]")
LETTER = re.compile(r"[a-zA-Z](?:_\{?\w\}?)?")
POINT = re.compile(
    r"(?:(?:(?!不|非)[\u4e00-\u9fff]){1,10}[为是:]\s*)?(?:(?:the )?point |点\s*(?:[A-Z]'?)?\s*"
    r"|(?:the point )?[A-Z](?:_\{?\d\}?)?'?\s*)(?=\(.*,.*\)$)"
)
MOST_WORDS = 8
"""With more words than this a text of words and `and` is a sentence."""


def numbered_parts(text: str) -> list[str] | None:
    """The parts of `(1) 12; (2) 30`; None where a text has none."""
    marks = list(NUMBERED.finditer(text))
    if len(marks) < 2 or marks[0].start() or marks[0][1] not in ("1", "i", "a"):
        return None
    if marks[1][1] not in ("2", "ii", "b"):
        return None
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return [
        text[mark.end() : end].strip(" ,;.:")
        for mark, end in zip(marks, ends, strict=True)
        if mark.end() < end
    ]


def read_list(text: str, read: Read) -> Value | None:
    """Values with commas or words between them; None where there are none outside brackets."""
    if (solutions := _solutions(text, read)) is not None:
        return solutions
    parts, signs = splitting.cut(text, splitting.COMMA)
    if not signs:
        parts, signs = splitting.cut(text, splitting.WORD)
        if not signs or len(parts) > MOST_ITEMS or not all(parts):
            return None
        if (labelled := labelled_values(parts, read)) is not None:
            return Sequence(tuple(labelled))
        if (excluded := _excluded(parts, read)) is not None:
            return Region(tuple(excluded), "and")
        values = [read(part) for part in parts]
        if all(isinstance(value, Words) for value in values) and len(text.split()) > MOST_WORDS:
            return None
        return Either(text) if _is_either(signs, values) else _flat(values)
    parts = [JOINING.sub("", part) for part in parts]
    parts = [part for part in parts if part]
    if not 1 < len(parts) <= MOST_ITEMS:
        return read(parts[0]) if len(parts) == 1 and parts[0] != text else None
    values = (
        labelled_values(parts, read) or _excluded(parts, read) or [read(part) for part in parts]
    )
    if _is_either(parts, values):
        return Either(text)
    if all(isinstance(value, Relation | Line) for value in values) and any(
        isinstance(value, Relation) and value.signs == ("!=",) for value in values
    ):
        return Region(tuple(values), "and")  # -1 < x < 1, x \neq 0
    return _flat(values)


def _solutions(text: str, read: Read) -> Sequence | None:
    """Solutions that each name all unknowns, `x = 1, y = 2 or x = 2, y = 1`, as tuples."""
    for separator in (OR, SEMICOLON, AND):
        parts, found = splitting.cut(text, separator)
        if not found or len(parts) > MOST_ITEMS or not all(parts):
            continue
        values = [read(part.strip(" ,;")) for part in parts]
        named_ = [_assigned(value) for value in values]
        names = {tuple(sorted(one)) for one in named_}
        if len(names) == 1 and len(named_[0]) > 1:
            (order,) = names
            return Sequence(
                tuple(Sequence(tuple(one[name] for name in order), "(", ")") for one in named_)
            )
    return None


def _assigned(value: Value) -> dict[str, Value]:
    """What each name of a solution stands for; empty where it is no solution."""
    if not isinstance(value, Sequence) or value.opening:
        return {}
    found: dict[str, Value] = {}
    for item in value.items:
        if (
            not isinstance(item, Relation)
            or item.signs != ("=",)
            or not LETTER.fullmatch(item.texts[0])
        ):
            return {}
        found[NUMBERED_NAME.sub("", item.texts[0])] = item.sides[1]
    return found if len(found) == len(value.items) else {}


def _excluded(parts: list[str], read: Read) -> list[Value] | None:
    r"""`x \neq 0, 1` as two inequalities; None: it is something else."""
    first = read(parts[0])
    if not isinstance(first, Relation) or first.signs != ("!=",):
        return None
    rest = [read(part) for part in parts[1:]]
    if not all(isinstance(value, Quantity) for value in rest):
        return None
    return [
        first,
        *(Relation((first.sides[0], one), ("!=",), (first.texts[0], "")) for one in rest),
    ]


def _is_either(texts: list[str], values: list[Value]) -> bool:
    """Whether values with an `or` among them are there more than once."""
    if not any(OR.search(text) for text in texts) or any(isinstance(one, Either) for one in values):
        return any(isinstance(one, Either) for one in values)
    items = [one.node if isinstance(one, Quantity) else one for one in _flat(values).items]
    items = [one for one in items if not isinstance(one, Relation)]
    return len(set(items)) < len(items)


def _flat(values: list[Value]) -> Sequence:
    items: list[Value] = []
    for value in values:
        if isinstance(value, Sequence) and _is_alternatives(value):
            items.extend(value.items)
        else:
            items.append(value)
    return Sequence(tuple(counted_out(items)))


def read_enclosed(text: str, read: Read) -> Value | None:
    """A set, tuple or interval, or what else stands in one pair of brackets; None: it is none."""
    name = POINT.match(text)
    found = splitting.bracketed(text[name.end() :] if name else text)
    if found is None:
        return None
    content, opening, closing = found
    parts, signs = splitting.cut(content, splitting.COMMA)
    if not signs:
        return _alone(content, opening, read)
    values = [read(part) for part in parts if part]
    if opening == "{":
        return Sequence(_flat(values).items, "{", "}")
    if any(_is_alternatives(value) for value in values):
        # (+-1, +-2): the signs are free of one another
        choices = [
            value.items if isinstance(value, Sequence) and _is_alternatives(value) else (value,)
            for value in values
        ]
        return Sequence(
            tuple(
                Sequence(items, opening, closing)
                for items in itertools.islice(itertools.product(*choices), MOST_ITEMS)
            )
        )
    return Sequence(tuple(values), opening, closing)


def _alone(content: str, opening: str, read: Read) -> Value | None:
    """What stands in brackets by itself; None where the brackets belong to a formula."""
    if opening == "{" and content:
        inner = read(content)
        items = inner.items if isinstance(inner, Sequence) and not inner.opening else (inner,)
        return Sequence(items, "{", "}")
    if opening == "[" or splitting.relation(content) or _needs_brackets(content):
        inner = read(content)
        return inner if not isinstance(inner, Words) or opening != "(" else None
    return None


def _needs_brackets(content: str) -> bool:
    """Whether what stands in brackets is no formula but, say, one more bracketed thing."""
    return content.startswith(("\\begin", "(", "[")) and splitting.bracketed(content) is not None


def _is_alternatives(value: Value) -> bool:
    return isinstance(value, Sequence) and value.opening == "" and not value.ordered
