r"""Answers into values: what kind of thing a text says, from its own form and a few hints.

Gold answers and responses are read alike, so what a reader can't know is never known on one side
only. Anything that is no mathematics is `Words`. Each kind of value that holds others has a reader
in a file of its own, which is handed the one here for its parts.
"""

import functools
import re

from stages.verifiers.kinds.changes import read_change
from stages.verifiers.kinds.integer_sets import read_integers
from stages.verifiers.kinds.labelled import OPEN
from stages.verifiers.kinds.lists import numbered_parts, read_enclosed, read_list
from stages.verifiers.kinds.matrices import read_matrix
from stages.verifiers.kinds.numbers import MIXED, plain_number
from stages.verifiers.kinds.progressions import read_progression
from stages.verifiers.kinds.quantities import compound, read_quantity
from stages.verifiers.kinds.real_line import read_named_region, read_region, with_round_ends
from stages.verifiers.kinds.remarks import without_remarks
from stages.verifiers.kinds.shorthand import said_twice, signs
from stages.verifiers.kinds.terms import NO_HINTS, Hints
from stages.verifiers.kinds.times import read_moment
from stages.verifiers.kinds.values import (
    Quantity,
    Ratio,
    Read,
    Region,
    Relation,
    Sequence,
    Value,
    Words,
)
from stages.verifiers.screen import DEEPEST, bracket_depth
from stages.verifiers.spelling import splitting
from stages.verifiers.spelling.clean import LONGEST_ANSWER, tidy
from stages.verifiers.spelling.han import circled, without_label

QUANTIFIED = re.compile(
    r"\s*,?\s*(?:for|where|with|when)\s+(?:all|some|any|every|each|integers?|[a-zA-Z]\s*\\in)\b"
    r"[^,;]*?(?=,\s*\\?(?:and|or)?\b|\band\b|$)|\(?[a-z]\s*\\in\s*\\mathbb\{[ZN]\}"
    r"(?:[\^_]\{?[*+]\}?)?\)?\s*$"
)
INDEXED = re.compile(
    r"([a-zA-Z]_\{?(?P<index>[nk])\}?\s*=.+?)\s*,?\s*\(?\s*(?P=index)\s*"
    r"(?:\\geq\s*[01]|=\s*1\s*,\s*2\s*,\s*(?:3\s*,\s*)?\\ldots|\\in\s*N\s*[*+^_{}]{0,4})\s*\)?"
)
"""A sequence with what its index may be: all there is."""
TRANSPOSED = re.compile(r"^(\(.*\)|\[.*\])\s*\^\s*\{?\s*(?:T|\\top|\\mathsf T)\s*\}?$")
RATIO_WORD = re.compile(r"(?<=[\d}\s])\s*(?:to|比)\s*(?=[\d\\])")
WORDS_TO = re.compile(r"[a-z]{3,9}(?: to [a-z]{3,9}){1,3}", re.IGNORECASE)
"""`two to three`"""
LEAD = re.compile(
    r"(?:(?:so|thus|hence|therefore),? )?(?:the |its )(?:[a-z]+ ){1,8}?(?:is|equals|equal to)\s+"
    r"(?=[-\d\\(])",
    re.IGNORECASE,
)
"""`The number of ways is`, before what it is."""
HAN_LEAD = re.compile(r"[\u4e00-\u9fff]{2,12}\s?[为是:]\s*(?=[-\d\\(][^\u4e00-\u9fff]*$)")
LEAD_ON = re.compile(r"\b(?:is|are|equals|the)\b|:")
COLON = re.compile(":")
PROSE = re.compile(r"(?<![\\A-Za-z])(?!and\b|or\b)[A-Za-z]{2,}(?![A-Za-z(])")
GROUPS = re.compile(r"(?<![\d,.(\[{])(?!0)\d{1,3}(?:,\d{3})+(?![\d,])")
SAID_TWICE = re.compile(r"([^()]{1,60}?)\s*\((?:\\approx|~|=|or|about|≈)?\s*([^()]{1,40})\)")
SAID_AGAIN = re.compile(
    r"([^()]{1,60}?)\s*,?\s*(?:\bi\.e\.,?|\bthat is,?|\b(?:or )?equivalently,?|即)\s*([^()]{1,40})"
)
LABEL = re.compile(r"(?!.*\b(?:is|are|of)\b)[^\d]*[^\d\s]\s*\d{0,2}|\D+")
MOST_WORDS = 6
"""With more words than this an answer is a sentence, and its commas separate clauses."""
MOST_TERMS = 12
"""Terms of a ratio."""


@functools.lru_cache(maxsize=20_000)
def read(text: str, hints: Hints = NO_HINTS) -> Value:
    """The value that an answer states; `Words` where it states none that is known here."""
    plain = tidy(text)
    if len(plain) > LONGEST_ANSWER or plain == "" or bracket_depth(plain) > DEEPEST:
        return Words(plain)
    return _read(plain, hints)


def _read(text: str, hints: Hints) -> Value:
    def part(text: str) -> Value:
        return _read(text, hints)

    text = TRANSPOSED.sub(r"\1", with_round_ends(without_label(without_remarks(text))))
    if (found := _short(text, hints, part)) is not None:
        return found
    if (found := read_matrix(text, part)) is not None:
        return found
    if len(PROSE.findall(text)) > MOST_WORDS:
        return Words(text)
    for listed in (read_progression, read_integers):
        if (value := listed(text, part)) is not None:
            return value
    if (
        (led := LEAD.match(text) or HAN_LEAD.match(text))
        and not OPEN.search(led[0])
        and not LEAD_ON.search(text, led.end())
    ):
        return part(text[led.end() :])
    if whole := INDEXED.fullmatch(text):
        text = whole[1]
    text = QUANTIFIED.sub("", text).strip() or text
    if not hints.several:
        text = GROUPS.sub(lambda match: match[0].replace(",", ""), text)
    if (parts := numbered_parts(text)) is not None:
        return Sequence(tuple(map(part, parts)), ordered=True)
    match = SAID_TWICE.fullmatch(text) or SAID_AGAIN.fullmatch(text)
    if match and (value := said_twice(match)) is not None:
        return value
    for reader in (read_region, read_list, _relation, read_enclosed):
        if (value := reader(text, part)) is not None:
            return value
    return _ratio(text, hints, part) or _single(text)


def _short(text: str, hints: Hints, read: Read) -> Value | None:
    """What can be told from a text as a whole: names, times, plain numbers."""
    if (named := read_named_region(text, read)) is not None:
        return named
    if len(text) > 1 and (numbers := circled(text)):
        return Sequence(tuple(read(str(one)) for one in numbers))
    if (moment := read_moment(text, hints.clock, hints.ratio)) is not None:
        return moment
    if (change := read_change(text, hints.direction)) is not None:
        return change
    if MIXED.match(text) and (mixed := read_quantity(text)) is not None:
        return mixed
    if text[:1].isdigit() and (whole := compound(text)) is not None:
        return whole
    if not hints.several and (found := plain_number(text)) is not None:
        return Quantity(*found)
    return None


def _relation(text: str, read: Read) -> Value | None:
    found = splitting.relation(text)
    if found is None:
        return None
    sides, signs = found
    if signs == ["in"]:
        return read(sides[1])
    if "in" in signs or not set(signs) <= {"=", "<", ">", "<=", ">=", "!=", "~"}:
        return None
    if "" in sides:
        return None
    values = tuple(map(read, sides))
    last = values[-1]
    if signs == ["!="] and isinstance(last, Sequence) and last.is_set:
        # x is none of these
        kept = [Relation((values[0], item), ("!=",), (sides[0], "")) for item in last.items]
        return Region(tuple(kept), "and")
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


def _ratio(text: str, hints: Hints, read: Read) -> Value | None:
    colon = ":" in text
    text = RATIO_WORD.sub(":", text.removeprefix("from "))
    if hints.ratio and WORDS_TO.fullmatch(text):
        text = text.replace(" to ", ":")
    parts, signs = splitting.cut(text, COLON)
    if not signs or len(parts) > MOST_TERMS:
        return None
    terms = tuple(_single(part) for part in parts)
    labelled = len(parts) == 2 and re.fullmatch(r"[A-Z]|[A-Za-z][a-z ]{2,}", parts[0])
    if all(isinstance(term, Quantity) for term in terms) and not (
        labelled and re.match(r"[-+\d\\$]", parts[1]) and not hints.ratio
    ):
        return Ratio(terms)
    if not colon:
        return None
    if (
        len(parts) == 2
        and parts[1]
        and re.fullmatch(r"[A-Za-z]{2,}|\\(?:triangle|angle)\s?[A-Z]{1,4}", parts[0])
        and parts[0] != "lambda"
    ):
        return Relation((Words(parts[0]), read(parts[1])), ("=",), (parts[0], parts[1]))
    if len(parts) == 2 and parts[1] and parts[0] != "lambda" and LABEL.fullmatch(parts[0]):
        return read(parts[1])
    return None


def _single(text: str) -> Value:
    quantity = read_quantity(text)
    if quantity is None:
        return Words(text)
    nodes = signs(quantity.node)
    if len(nodes) == 1:
        return quantity
    return Sequence(tuple(Quantity(node, unit=quantity.unit) for node in nodes))
