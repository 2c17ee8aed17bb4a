"""Questions that ask for a form: simplify, expand, factor. What they state is no answer."""

import functools
import re
from math import gcd

from stages.verifiers.formulas.expressions import Node, Unreadable, symbols
from stages.verifiers.formulas.grammar import parse
from stages.verifiers.kinds.text import squeezed

FORM = "form"
"""What the rule is called."""
TASK = re.compile(
    r"\b(?:simplify|reduce|expand|factor(?:i[sz]e)?|evaluate|compute|calculate|solve"
    r"|what is (?:the value of )?(?=\$|[\d(])|rewrite|rationali[sz]e"
    r"|express|convert|write|find the (?:value|product|sum|derivative))|化简|约分|展开|分解|计算"
    r"|求值|解不等式|解方程",
    re.IGNORECASE,
)
FACTOR = re.compile(r"\bfactor(?:i[sz]e|ed)?\b|分解因式|因式分解", re.IGNORECASE)
EXPAND = re.compile(r"\bexpand|展开|multiply out", re.IGNORECASE)
LOWEST = re.compile(r"\bsimplif|\breduce|lowest terms|化简|约分|最简", re.IGNORECASE)
FORMULA = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
INLINE = re.compile(r"(?<=\s)([^\s$]*\d[^\s$]*(?:\s*[-+*/=<>^]\s*[^\s$]+)*)")
STATED = re.compile(r"[:：]\s*([^\n$:：]{3,80}?)\s*[.?。？]?\s*(?:\n|$)")
AS_FRACTION = re.compile(r"\bas an? (?:\w+ )?fraction|化[成为](?:最简)?分数", re.IGNORECASE)
DECIMAL = re.compile(r"-?\d*\.\d+")
MOST_FACTORS = 20
SUM = frozenset("+-")


def breaks_form(question: str, gold: str, answer: str) -> bool:
    """Whether an answer, equal as it may be, is not in the form that the question asks for."""
    if not TASK.search(question):
        return False
    written, wanted = squeezed(answer), squeezed(gold)
    if written == wanted:
        return False
    if not written.lstrip("-").replace(".", "").isdigit() and written in _formulas(question):
        return True
    if _bare(written) != written and _bare(written) in _formulas(question):
        return True
    if AS_FRACTION.search(question) and DECIMAL.fullmatch(written):
        return not DECIMAL.fullmatch(wanted)
    try:
        ours, theirs = parse(wanted), parse(written)
    except Unreadable:
        return False
    if FACTOR.search(question) and ours.kind in ("*", "^") and theirs.kind in SUM:
        return True
    if FACTOR.search(question) and _num_factors(theirs) < _num_factors(ours):
        return True
    if EXPAND.search(question) and ours.kind in SUM and _has_product_of_sums(theirs):
        return True
    if not LOWEST.search(question):
        return False
    return _is_reduced(ours) is True and _is_reduced(theirs) is False


def _bare(text: str) -> str:
    """A formula without a name in front."""
    return re.sub(r"^[a-zA-Z](?:\([a-z]\))?=", "", text)


@functools.lru_cache(maxsize=2_000)
def _formulas(question: str) -> frozenset[str]:
    spans = [next(part for part in match if part) for match in FORMULA.findall(question)]
    spans += INLINE.findall(question)
    spans += STATED.findall(question)
    return frozenset(
        squeezed(span) for span in spans if len(span.strip()) > 1 and not span.strip().isdigit()
    )


def _has_product_of_sums(node: Node) -> bool:
    if node.kind == "*" and any(part.kind in SUM for part in node.parts):
        return True
    if node.kind == "^" and node.parts[0].kind in SUM:
        return True
    return node.kind in (*SUM, "*", "neg") and any(
        _has_product_of_sums(part) for part in node.parts
    )


def _num_factors(node: Node) -> int:
    """How many factors with unknowns a product has, each as often as its power says."""
    if node.kind in ("*", "neg", "/"):
        return sum(_num_factors(part) for part in node.parts[: 1 if node.kind == "/" else None])
    if node.kind == "^" and node.parts[1].name.isdigit():
        return min(int(node.parts[1].name), MOST_FACTORS) * _num_factors(node.parts[0])
    return 1 if symbols(node) else 0


def _is_reduced(node: Node) -> bool | None:
    """Whether a fraction of integers is in lowest terms; None: it is no such fraction."""
    if node.kind == "neg":
        return _is_reduced(node.parts[0])
    if node.kind == "number":
        return True
    if node.kind != "/" or any(not part.name.isdigit() for part in node.parts):
        return None
    top, bottom = (int(part.name) for part in node.parts)
    return gcd(top, bottom) == 1
