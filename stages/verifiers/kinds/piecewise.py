r"""Formulas by cases, in braces or in words: `a_1 = 3`, and `a_n = 2^{n-1}` for `n \geq 2`."""

import re
from dataclasses import dataclass

from stages.verifiers.kinds.terms import Same, Terms
from stages.verifiers.kinds.text import HEDGE, NEGATION
from stages.verifiers.kinds.values import Read, Words
from stages.verifiers.spelling import splitting

CASES = re.compile(
    r"(?:(?P<name>[a-zA-Z])(?:_\{?(?P<index>[a-z])\}?|\((?P<unknown>[a-z])\))\s*=\s*)?"
    r"(?:\\?\{)?\s*\\begin\{(?:cases|array|aligned)\}(?:\{[lcr]+\})?(?P<rows>.{1,400})"
    r"\\end\{(?:cases|array|aligned)\}\.?"
)
ROW = re.compile(
    r"(?P<value>[^&]{1,120}?)\s*,?\s*(?:&|(?<=,))\s*(?:if|when|for|\()?\s*(?P<rule>[^&,]{1,60}?)"
    r"\s*\)?[,;.]?"
)
EQUATION = re.compile(
    r"(?P<name>[a-zA-Z])(?:_\{?(?P<index>\w{1,4})\}?|\((?P<at>[^()]{1,12})\))\s*=\s*"
    r"(?P<value>[^=<>]{1,120}?)"
    r"(?:\s*(?:if|when|for(?: all)?|where|\()\s*(?P<rule>[a-z]\s*(?:[=<>]|\\[gl]eq)[^()]{1,40}"
    r"|[-\d]{1,6}\s*(?:<|\\leq)[^()]{1,40})\s*\)?)?"
)
RULE = re.compile(
    r"(?:当|if|when|for(?: all)?)?\s*(?P<rule>[a-z]\s*(?:[=<>]|\\[gl]eq)[^()=]{1,40}?"
    r"|[-\d]{1,6}\s*(?:<|\\leq)[^()=]{1,40}?)\s*时?"
)
INTEGERS = re.compile(r"[a-z]\s*\\in\s*(?:\\mathbb\s*\{?)?[NZ]\}?(?:[\^_]\{?[*+]?\}?)?")
CUT = re.compile(r"\s*[,;]\s*(?:and(?![a-z])|while|而)?\s*|\s+and\s+(?=[a-z])|(?<=时)\s*(?=[a-z])")
ABOVE = re.compile(r"(?P<name>[a-z])\s*>\s*(?P<bound>\d{1,4})")
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Branch:
    """One case of a formula."""

    value: str
    rule: str
    """When it holds."""


@dataclass(frozen=True, slots=True)
class Piecewise:
    """A formula by cases."""

    name: str
    """Of the sequence or function; empty where it has none."""
    unknown: str
    branches: tuple[Branch, ...]


def in_braces(plain: str) -> Piecewise | None:
    """A formula by cases in braces; None: a text is no such thing."""
    match = CASES.fullmatch(plain) if len(plain) <= LONGEST else None
    if match is None:
        return None
    rows = [re.sub(rf",\s*{INTEGERS.pattern}\s*$", "", row) for row in match["rows"].split("\\\\")]
    rows = [row.strip() for row in rows if row.strip()]
    found = [ROW.fullmatch(row) for row in rows]
    branches = tuple(Branch(one["value"].strip(" ,"), one["rule"]) for one in found if one)
    if len(branches) < max(2, len(rows)):
        return None
    unknown = match["index"] or match["unknown"] or ""
    return Piecewise(match["name"] or "", unknown, branches)


def in_words(plain: str, unknown: str) -> Piecewise | None:
    """A formula by cases in sentences; None: a text is no such thing.

    Args:
        plain: tidied text.
        unknown: the name of what the cases tell apart, for `a_1 = 3`.
    """
    if len(plain) > LONGEST or NEGATION.search(plain) or HEDGE.search(plain):
        return None
    names: set[str] = set()
    values: list[str] = []
    rules: list[str] = []
    ahead = ""
    for part in filter(None, splitting.cut(plain, CUT)[0]):
        if INTEGERS.fullmatch(part.strip("() ")):
            continue
        if match := EQUATION.fullmatch(part):
            names.add(match["name"])
            at = match["index"] or match["at"] or ""
            own = f"{unknown}={at}" if unknown and re.fullmatch(r"-?\d+", at) else ""
            rule = match["rule"] or own or ahead
            ahead = ""
            values.append(match["value"].strip(" ("))
            rules.append(rule)
        elif match := RULE.fullmatch(part.strip("() ")):
            if rules and not rules[-1] and not part.startswith("当"):
                rules[-1] = match["rule"]
            elif not ahead:
                ahead = match["rule"]
            else:
                return None
        else:
            return None
    if len(names) != 1 or ahead or not all(rules):
        return None
    branches = tuple(Branch(value, rule) for value, rule in zip(values, rules, strict=True))
    return Piecewise(names.pop(), unknown, branches)


def same_piecewise(gold: str, answer: str, terms: Terms, read: Read, same: Same) -> bool | None:
    """Whether an answer in words gives a gold formula by cases; None: it can't be told.

    Args:
        gold: tidied text.
        answer: tidied text.
        terms: what the question lays down.
        read: reads a value.
        same: compares two values.
    """
    ours = in_braces(gold)
    if ours is None or in_braces(answer):
        return None
    theirs = in_words(answer, ours.unknown)
    if theirs is None:
        return None
    if len(ours.branches) != len(theirs.branches) or ours.name not in ("", theirs.name):
        return False
    is_sequence = CASES.fullmatch(gold)
    counts = is_sequence is not None and is_sequence["index"] is not None

    def alike(one: str, other: str) -> bool | None:
        values = read(one), read(other)
        if any(isinstance(value, Words) for value in values):
            return None
        return same(*values, terms)

    left = list(theirs.branches)
    for branch in ours.branches:
        rules = [alike(_rule(branch.rule, counts), _rule(one.rule, counts)) for one in left]
        if True not in rules:
            return None if None in rules else False
        if (found := alike(branch.value, left.pop(rules.index(True)).value)) is not True:
            return found
    return True


def _rule(text: str, counts: bool) -> str:
    r"""A condition; for integers `n > 1` as `n \geq 2`."""
    match = ABOVE.fullmatch(text.strip()) if counts else None
    return rf"{match['name']}\geq {int(match['bound']) + 1}" if match else text
