r"""Answers into values: what kind of thing a text says, from its own form and a few hints.

Gold answers and responses are read alike, so what a reader can't know is never known on one side
only. Anything that is no mathematics is `Words`.
"""

import functools
import itertools
import re
from dataclasses import dataclass

from stages.verifiers import splitting
from stages.verifiers.clean import LONGEST_ANSWER, tidy
from stages.verifiers.expressions import Node, Unreadable
from stages.verifiers.grammar import parse
from stages.verifiers.numbers import CIRCLED, plain_number
from stages.verifiers.quantities import compound, read_quantity
from stages.verifiers.screen import DEEPEST, bracket_depth
from stages.verifiers.shorthand import MOST_ITEMS, counted_out, said_twice, signs
from stages.verifiers.times import read_moment
from stages.verifiers.values import (
    Line,
    Matrix,
    Quantity,
    Ratio,
    Region,
    Relation,
    Sequence,
    Value,
    Words,
)

MATRIX = re.compile(
    r"\(?\[?\\begin\{([pbvBV]?matrix|array|cases|aligned)\}(?:\{[lcr|]+\})?(.*)\\end\{\1\}\]?\)?"
)
SCALED_MATRIX = re.compile(r"([^=<>\s]{1,60}) ?(?:\\cdot|\\times)? ?(\\begin\{[pbvBV]?matrix\}.*)")
NUMBERED = re.compile(r"\(\s*(\d|[ivx]{1,4}|[a-h])\s*\)")
UNION = re.compile(r"\\cup(?![A-Za-z])|(?<![A-Za-z])(?:or|U)(?![A-Za-z])|或者?")
SHARED = re.compile(r"\\cap(?![A-Za-z])|(?<![A-Za-z])and(?![A-Za-z])|且")
MINUS = re.compile(r"\\setminus(?![A-Za-z])|-(?=\s*\\\{)")
BUILDER = re.compile(
    r"\\?\{\s*([a-zA-Z]|\\[a-z]+)\s*(?:\\in\s*\\mathbb\{R\}\s*)?[|:]\s*(.+?)\s*\\?\}"
)
QUANTIFIED = re.compile(
    r"\s*,?\s*(?:for|where|with|when)\s+(?:all|some|any|every|each|integers?|[a-zA-Z]\s*\\in)\b"
    r"[^,;]*?(?=,\s*\\?(?:and|or)?\b|\band\b|$)|\(?[a-z]\s*\\in\s*\\mathbb\{[ZN]\}(?:\^\+"
    r"|_\+)?\)?\s*$"
)
REVERSED = re.compile(
    r"(?:^|\\cup|\\in|=)\s*\][^\[\]]+[,;][^\[\]]+[\[\]]|[,;][^\[\]]+\[\s*(?:$|\\cup)"
)
OTHER_WAY = re.compile(r"([\[\]])([^\[\]]+[,;][^\[\]]+)([\[\]])")
TRANSPOSED = re.compile(r"^(\(.*\)|\[.*\])\s*\^\s*\{?\s*(?:T|\\top|\\mathsf T)\s*\}?$")
REAL_LINE = re.compile(
    r"\\mathbb\s*\{?R\}?|(?:the set of )?(?:all )?real numbers?|all reals|全体实数|一切实数|R"
    r"|\(\s*-\s*\\infty\s*,\s*\+?\s*\\infty\s*\)"
)
NOTHING = re.compile(
    r"\\emptyset|\\?\{\s*\\?\}|(?:the )?(?:empty|null) set|(?:there (?:is|are|exists?) )?no"
    r" (?:real |integer |such )?(?:solutions?|roots?|values?)(?: exists?)?|none"
    r"|(?:该|原|此|这个)?(?:方程组?|不等式组?)?无解|空集|无实数解|不存在|没有实数解"
    r"|does not exist|no such \w+(?: exists?)?|DNE",
    re.IGNORECASE,
)
HALF_LINE = re.compile(
    r"\\mathbb\s*\{?R\}?\s*(?:\^\s*\{?\+\}?|_\s*\{?\s*(\\geq|>=|>|\+)\s*0?\s*\}?)"
)
SIGNED_REALS = re.compile(
    r"(?:the set of )?(?:all )?(non-?)?(positive|negative) real(?: number)?s?", re.IGNORECASE
)
RATIO_WORD = re.compile(r"(?<=[\d}\s])\s*(?:to|比)\s*(?=[\d\\])")
PROSE = re.compile(r"(?<![\\A-Za-z])(?!and\b|or\b)[A-Za-z]{2,}(?![A-Za-z(])")
GROUPS = re.compile(r"(?<![\d,.(\[{])(?!0)\d{1,3}(?:,\d{3})+(?![\d,])")
SAID_TWICE = re.compile(r"([^()]{1,60}?)\s*\((?:\\approx|~|=|or|about|≈)?\s*([^()]{1,40})\)")
LABEL = re.compile(r"(?!.*\b(?:is|are|of)\b)[^\d]*[^\d\s]\s*\d{0,2}|\D+")
MOST_WORDS = 6
"""With more words than this an answer is a sentence, and its commas separate clauses."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the question says about the form of its answer."""

    clock: bool = False
    """It asks for a time of day."""
    ratio: bool = False
    """It asks for a ratio."""
    several: bool = False
    """It asks for several values, so `1,234` may be two."""


@functools.lru_cache(maxsize=20_000)
def read(text: str, hints: Hints = Hints()) -> Value:
    """The value that an answer states; `Words` where it states none that is known here."""
    plain = tidy(text)
    if len(plain) > LONGEST_ANSWER or plain == "" or bracket_depth(plain) > DEEPEST:
        return Words(plain)
    return _read(plain, hints)


def _read(text: str, hints: Hints) -> Value:
    if REVERSED.search(text):
        text = OTHER_WAY.sub(_opened, text)
    text = TRANSPOSED.sub(r"\1", text)
    if (found := _special(text, hints)) is not None:
        return found
    if text.count("\\begin") == 1 and (match := MATRIX.fullmatch(text)):
        return _matrix(match[1], match[2], hints)
    if text.count("\\begin") == 1 and (match := SCALED_MATRIX.fullmatch(text)):
        value = _times(match[1], _read(match[2], hints))
        if value is not None:
            return value
    if len(PROSE.findall(text)) > MOST_WORDS:
        return Words(text)
    text = QUANTIFIED.sub("", text).strip() or text
    if not hints.several:
        text = GROUPS.sub(lambda match: match[0].replace(",", ""), text)
    if (parts := _numbered(text)) is not None:
        return Sequence(tuple(_read(part, hints) for part in parts), ordered=True)
    if (match := SAID_TWICE.fullmatch(text)) and (value := said_twice(match)) is not None:
        return value
    for reader in (_region, _several, _relation, _enclosed, _ratio):
        if (value := reader(text, hints)) is not None:
            return value
    return _single(text)


def _opened(match: re.Match[str]) -> str:
    """An interval with `]` and `[` for its open ends, with round brackets there."""
    opening = "(" if match[1] == "]" else "["
    return f"{opening}{match[2]}{')' if match[3] == '[' else ']'}"


def _special(text: str, hints: Hints) -> Value | None:
    if REAL_LINE.fullmatch(text):
        return Line()
    if NOTHING.fullmatch(text):
        return Line(empty=True)
    if match := SIGNED_REALS.fullmatch(text):
        low = "[0,\\infty)" if match[1] else "(0,\\infty)"
        if match[2] == "negative":
            low = "[0,\\infty)" if match[1] else "(-\\infty,0)"
        elif match[1]:
            low = "(-\\infty,0]"
        return _read(low, hints)
    if match := HALF_LINE.fullmatch(text):
        closed = "[" if match[1] in ("\\geq", ">=") else "("
        return _read(rf"{closed}0,\infty)", hints)
    if len(text) > 1 and all(character in CIRCLED + ", " for character in text):
        digits = [character for character in text if character in CIRCLED]
        return Sequence(tuple(_read(str(CIRCLED.index(one) + 1), hints) for one in digits))
    if (moment := read_moment(text, hints.clock, hints.ratio)) is not None:
        return moment
    if text[:1].isdigit() and (whole := compound(text)) is not None:
        return whole
    if not hints.several and (found := plain_number(text)) is not None:
        return Quantity(*found)
    return None


def _times(factor: str, matrix: Value) -> Value | None:
    """A matrix with a factor in front; None where the factor is none."""
    node = formula(factor)
    if node is None or not isinstance(matrix, Matrix):
        return None
    cells = [cell for row in matrix.rows for cell in row]
    if not all(isinstance(cell, Quantity) for cell in cells):
        return None
    return Matrix(
        tuple(
            tuple(
                Quantity(Node("*", "", (node, cell.node)))
                for cell in row
                if isinstance(cell, Quantity)
            )
            for row in matrix.rows
        )
    )


def _matrix(kind: str, body: str, hints: Hints) -> Value:
    rows = [row for row in splitting.cut(body, re.compile(r"\\\\"))[0] if row.strip()]
    if kind in ("cases", "aligned"):
        return Sequence(tuple(_read(row.replace("&", ""), hints) for row in rows))
    cells = [[_read(cell.strip(), hints) for cell in row.split("&")] for row in rows]
    return Matrix(tuple(tuple(row) for row in cells))


def _numbered(text: str) -> list[str] | None:
    """The parts of `(1) 12; (2) 30`."""
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


def _region(text: str, hints: Hints) -> Value | None:
    """Unions of intervals, inequalities and sets, and what is taken away from them."""
    if (match := BUILDER.fullmatch(text)) and splitting.bracketed(text):
        return _read(match[2], hints)
    for pattern, operation in ((UNION, "or"), (SHARED, "and"), (MINUS, "minus")):
        parts, found = splitting.cut(text, pattern)
        if not found or not all(parts):
            continue
        values = [_read(part, hints) for part in parts]
        written = any(sign.startswith(("\\", "-", "U")) for sign in found)
        if written and all(_is_region(value, loose=True) for value in values):
            return Region(tuple(values), operation)
        if not written and any(_is_region(value) for value in values):
            both = operation == "or" or all(isinstance(value, Relation) for value in values)
            if both and all(_is_region(value, loose=True) for value in values):
                return Region(tuple(values), operation)
    return None


def _is_region(value: Value, loose: bool = False) -> bool:
    if isinstance(value, Relation):
        return bool({"<", ">", "<=", ">="} & set(value.signs)) or (loose and len(value.sides) == 2)
    if isinstance(value, Sequence):
        if loose and value.opening == "{":
            return True
        mixed = (value.opening, value.closing) in (("[", ")"), ("(", "]"))
        return len(value.items) == 2 and value.opening in ("(", "[") and (loose or mixed)
    return isinstance(value, (Region, Line))


def _several(text: str, hints: Hints) -> Value | None:
    parts, signs = splitting.cut(text, splitting.COMMA)
    if not signs:
        parts, signs = splitting.cut(text, splitting.WORD)
        if not signs or len(parts) > MOST_ITEMS or not all(parts):
            return None
        values = [_read(part, hints) for part in parts]
        if all(isinstance(value, Words) for value in values) and len(text.split()) > 8:
            return None
        return _flat(values)
    parts = [re.sub(r"^(?:and|or|以及|和)\b\s*|\s*\b(?:and|or)$", "", part) for part in parts]
    parts = [part for part in parts if part]
    if not 1 < len(parts) <= MOST_ITEMS:
        return _read(parts[0], hints) if len(parts) == 1 and parts[0] != text else None
    values = [_read(part, hints) for part in parts]
    if all(isinstance(value, Relation) for value in values) and any(
        isinstance(value, Relation) and value.signs == ("!=",) for value in values
    ):
        return Region(tuple(values), "and")  # -1 < x < 1, x \neq 0
    return _flat(values)


def _flat(values: list[Value]) -> Sequence:
    items: list[Value] = []
    for value in values:
        if isinstance(value, Sequence) and value.opening == "" and not value.ordered:
            items.extend(value.items)
        else:
            items.append(value)
    return Sequence(tuple(counted_out(items)))


def _relation(text: str, hints: Hints) -> Value | None:
    found = splitting.relation(text)
    if found is None:
        return None
    sides, signs = found
    if signs == ["in"]:
        return _read(sides[1], hints)
    if "in" in signs or not set(signs) <= {"=", "<", ">", "<=", ">=", "!=", "~"}:
        return None
    if "" in sides:
        return None
    values = tuple(_read(side, hints) for side in sides)
    last = values[-1]
    if (
        isinstance(last, Sequence)
        and last.opening == ""
        and not last.ordered
        and set(signs) <= {"=", "~"}
    ):
        # x = 1 +- 2, which is two equations
        items = tuple(
            Relation((*values[:-1], item), tuple(signs), (*sides[:-1], "")) for item in last.items
        )
        return Sequence(items)
    return Relation(values, tuple(signs), tuple(sides))


def _enclosed(text: str, hints: Hints) -> Value | None:
    name = re.match(r"(?:(?:the )?point |(?:the point )?[A-Z]'?\s*)(?=\(.*,.*\)$)", text)
    found = splitting.bracketed(text[name.end() :] if name else text)
    if found is None:
        return None
    content, opening, closing = found
    parts, signs = splitting.cut(content, splitting.COMMA)
    if not signs:
        if opening == "{" and content:
            inner = _read(content, hints)
            items = inner.items if isinstance(inner, Sequence) and not inner.opening else (inner,)
            return Sequence(items, "{", "}")
        if opening == "[" or splitting.relation(content) or bracket_needed(content):
            inner = _read(content, hints)
            return inner if not isinstance(inner, Words) or opening != "(" else None
        return None
    values = [_read(part, hints) for part in parts if part]
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


def bracket_needed(content: str) -> bool:
    """Whether what stands in brackets is no formula but, say, one more bracketed thing."""
    return content.startswith(("\\begin", "(", "[")) and splitting.bracketed(content) is not None


def _is_alternatives(value: Value) -> bool:
    return isinstance(value, Sequence) and value.opening == "" and not value.ordered


def _ratio(text: str, hints: Hints) -> Value | None:
    text = RATIO_WORD.sub(":", text.removeprefix("from "))
    parts, signs = splitting.cut(text, re.compile(":"))
    if not signs or len(parts) > 12:
        return None
    terms = tuple(_single(part) for part in parts)
    labelled = len(parts) == 2 and re.fullmatch(r"[A-Z]|[A-Za-z][a-z ]{2,}", parts[0])
    if all(isinstance(term, Quantity) for term in terms) and not (
        labelled and re.match(r"[-+\d\\$]", parts[1]) and not hints.ratio
    ):
        return Ratio(terms)
    if (
        len(parts) == 2
        and parts[1]
        and re.fullmatch(r"[A-Za-z]{2,}", parts[0])
        and parts[0] != "lambda"
    ):
        return Relation((Words(parts[0]), _read(parts[1], hints)), ("=",), (parts[0], parts[1]))
    if len(parts) == 2 and parts[1] and parts[0] != "lambda" and LABEL.fullmatch(parts[0]):
        return _read(parts[1], hints)
    return None


def _single(text: str) -> Value:
    quantity = read_quantity(text)
    if quantity is None:
        return Words(text)
    nodes = signs(quantity.node)
    if len(nodes) == 1:
        return quantity
    return Sequence(tuple(Quantity(node, unit=quantity.unit) for node in nodes))


def formula(text: str) -> Node | None:
    """A text as one formula, or None."""
    try:
        return parse(text)
    except Unreadable:
        return None
