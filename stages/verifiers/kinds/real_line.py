r"""Parts of the real line as answers write them: `x \neq 3`, `(-\infty, 1] \cup [5, \infty)`.

What these come to, as pieces of the line, is worked out in `regions`.
"""

import re

from stages.verifiers.kinds.relations import SETS
from stages.verifiers.kinds.values import Either, Line, Read, Region, Relation, Sequence, Value
from stages.verifiers.kinds.worded_regions import region_in_words
from stages.verifiers.spelling import splitting

BUILT = re.compile(r"[\[({\\]")
LONGEST_NAME = 40
UNION = re.compile(r"\\cup(?![A-Za-z])|(?<![A-Za-z])(?:or|U)(?![A-Za-z])|或者?")
SHARED = re.compile(r"\\cap(?![A-Za-z])|(?<![A-Za-z])and(?![A-Za-z])|且")
MINUS = re.compile(r"\\setminus(?![A-Za-z])|-(?=\s*\\\{)")
BUILDER = re.compile(
    r"\\?\{\s*([a-zA-Z]|\\[a-z]+)\s*(?:\\in\s*\\mathbb\{R\}\s*)?[|:]\s*(.+?)\s*\\?\}"
)
REVERSED = re.compile(
    r"(?:^|\\cup|\\in|=)\s*\][^\[\]]+[,;][^\[\]]+[\[\]]|[,;][^\[\]]+\[\s*(?:$|\\cup)"
)
OTHER_WAY = re.compile(r"([\[\]])([^\[\]]+[,;][^\[\]]+)([\[\]])")
REAL_LINE = re.compile(
    r"\\mathbb\s*\{?R\}?|(?:the set of )?(?:all )?real numbers?|all reals|全体实数|一切实数|R"
    r"|\(\s*-\s*\\infty\s*,\s*\+?\s*\\infty\s*\)"
)
NOTHING = re.compile(
    r"\\emptyset|\\?\{\s*\\?\}|(?:the )?(?:empty|null) set"
    r"|(?:there (?:is|are|exists?) |(?:the |this )?(?:equation|system|inequality) has )?no"
    r" (?:real |integer |such )?(?:solutions?|roots?|values?)(?: exists?)?|none"
    r"|(?:所以|因此|故)?(?:该|原|此|这个)?(?:方程组?|不等式组?)?无解|空集|无实数解|不存在|没有实数解"
    r"|does not exist|no such \w+(?: exists?)?|DNE",
    re.IGNORECASE,
)
ORIGIN = re.compile(r"(?:at )?the origin|(?:坐标)?原点", re.IGNORECASE)
HALF_LINE = re.compile(
    r"\\mathbb\s*\{?R\}?\s*(?:\^\s*\{?\+\}?|_\s*\{?\s*(\\geq|>=|>|\+)\s*0?\s*\}?)"
)
SIGNED_REALS = re.compile(
    r"(?:the set of )?(?:all )?(non-?)?(positive|negative) real(?: number)?s?", re.IGNORECASE
)


def with_round_ends(text: str) -> str:
    """A text whose open intervals are written `]0,1[`, with round brackets there."""
    return OTHER_WAY.sub(_opened, text) if REVERSED.search(text) else text


def _opened(match: re.Match[str]) -> str:
    opening = "(" if match[1] == "]" else "["
    return f"{opening}{match[2]}{')' if match[3] == '[' else ']'}"


def read_named_region(text: str, read: Read) -> Value | None:
    """What has a name: all real numbers, the positive ones, no solution; None: it is none."""
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
        return read(low)
    if ORIGIN.fullmatch(text):
        return read("(0,0)")
    if (written := region_in_words(text)) is not None:
        return read(written)
    if match := HALF_LINE.fullmatch(text):
        closed = "[" if match[1] in ("\\geq", ">=") else "("
        return read(rf"{closed}0,\infty)")
    return None


def read_region(text: str, read: Read) -> Value | None:
    """Unions of intervals, inequalities and sets, and what is taken away from them."""
    name, equals, rest = text.partition("=")
    if equals and len(name) <= LONGEST_NAME and SETS.fullmatch(name.strip()):
        if BUILT.match(rest.strip()):
            return read(rest.strip())  # what it is made of names it, `A \cap B =`
    if (match := BUILDER.fullmatch(text)) and splitting.bracketed(text):
        return read(match[2])
    for pattern, operation in ((UNION, "or"), (SHARED, "and"), (MINUS, "minus")):
        parts, found = splitting.cut(text, pattern)
        if not found or not all(parts):
            continue
        values = [read(part) for part in parts]
        written = any(sign.startswith(("\\", "-", "U")) for sign in found)
        if written and all(_is_region(value, loose=True) for value in values):
            return Region(tuple(values), operation)
        if not written and operation == "and" and all(_is_excluding(value) for value in values):
            return Region(tuple(values), operation)
        if not written and any(_is_region(value) for value in values):
            both = operation == "or" or all(isinstance(value, Relation) for value in values)
            if both and all(_is_region(value, loose=True) for value in values):
                if operation == "or" and _share_an_end(values):
                    return Either(text)
                return Region(tuple(values), operation)
    return None


def _is_excluding(value: Value) -> bool:
    return isinstance(value, Relation) and value.signs == ("!=",)


def _share_an_end(values: list[Value]) -> bool:
    """Whether one of several pieces lies in another, as both end alike: `(0, 2] or (0, 2)`."""
    ends: list[object] = [
        (value.items[at], at) for value in values if isinstance(value, Sequence) for at in (0, 1)
    ]
    ends += [(value.sides, value.signs[0][0]) for value in values if isinstance(value, Relation)]
    return len(set(ends)) < len(ends)


def _is_region(value: Value, loose: bool = False) -> bool:
    if isinstance(value, Relation):
        return bool({"<", ">", "<=", ">="} & set(value.signs)) or (loose and len(value.sides) == 2)
    if isinstance(value, Sequence):
        if loose and value.opening == "{":
            return True
        mixed = (value.opening, value.closing) in (("[", ")"), ("(", "]"))
        return len(value.items) == 2 and value.opening in ("(", "[") and (loose or mixed)
    return isinstance(value, (Region, Line))
