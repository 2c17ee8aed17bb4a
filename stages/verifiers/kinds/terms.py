"""What a question lays down for its answer: unit, precision, order, form."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

from stages.verifiers.kinds.changes import direction_asked
from stages.verifiers.kinds.tolerance import Tolerance, tolerance_of
from stages.verifiers.kinds.units import asked_unit
from stages.verifiers.kinds.values import Value

CLOCK = re.compile(
    r"\bwhat time\b|\bwhen\b|o'clock|\bclock\b|arriv|depart"
    r"|几[点时]|时刻|写出?时间|什么时(?:候|间|刻)",
    re.IGNORECASE,
)
RATIO = re.compile(r"\bratio\b|proportion|\bodds\b|:\s*\?|之比|比例|比值|比为", re.IGNORECASE)
PERCENT = re.compile(r"percent|per cent|%|百分", re.IGNORECASE)
ORDERED = re.compile(
    r"in (?:this|that|the (?:given|same|following)) order|respectively|分别|依次"
    r"|\b(?:sort|arrange|rank|order|rearrange)\b[^.?]{0,80}\b(?:from|in|by|order|least|greatest)\b"
    r"|\b(?:ascending|descending|increasing|decreasing|chronological|alphabetical|numerical"
    r"|correct|right|proper) order\b|\bin order\b(?! to| that)|\bin (?:what|which) order\b"
    r"|\bfrom (?:the )?(?:left to right|right to left|top to bottom|bottom to top"
    r"|(?:least|smallest|lowest|lightest|shortest|slowest|youngest|earliest|greatest|largest"
    r"|biggest|highest|heaviest|longest|fastest|oldest|latest|first|strongest|weakest|most|small"
    r"|large|low|high)(?: \w+)? to)\b"
    r"|排序|从[小大左右上下低高早晚轻重短长快慢]到|由[小大左右上下低高早晚轻重短长快慢]到"
    r"|[升降]序|[先前]后顺序|(?:正确|排列)的?顺序"
    r"|\b(?:give|write|state|list|enter|answer|report|put|provide)\b[^.?]{0,80}\bfirst\b"
    r"|先(?:写|填|答|给)[^。？]{0,20}(?:再|后)",
    re.IGNORECASE,
)
SEVERAL = re.compile(
    r"separated by|comma|all (?:the )?(?:possible )?(?:values|solutions|roots|pairs"
    r"|numbers|integers"
    r"|real|possible)|list all|several",
    re.IGNORECASE,
)
BASE = re.compile(r"\bbase\b|进制|binary|octal|hexadecimal|_\{?\d", re.IGNORECASE)
INTEGERS = re.compile(r"\binteger answer\b", re.IGNORECASE)
UNKNOWN = r"\$?\\?[a-zA-Z](?:_\{?\d\}?)?\$?"
UNKNOWNS = re.compile(
    r"(?:\b(?:find|determine|compute|calculate|solve for|what (?:is|are)|values? (?:of|for)) |求)"
    r"(?:the (?:values? of|unknowns?) )?"
    rf"({UNKNOWN}(?: ?(?:,|、|和|与|and) ?(?:and )?{UNKNOWN})*)"
    r"(?= ?(?:[.?,;:。？，；\n]|$|的值|(?:if|in|such|so|when|where|given|for|that)\b))",
    re.IGNORECASE,
)
LONGEST_QUESTION = 6000


@dataclass(frozen=True, slots=True)
class Hints:
    """What the question says about the form of its answer."""

    clock: bool = False
    """It asks for a time of day."""
    ratio: bool = False
    """It asks for a ratio."""
    several: bool = False
    """It asks for several values, so `1,234` may be two."""
    direction: int = 0
    """It speaks of a rise, 1, or of a fall, -1."""


NO_HINTS = Hints()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a question lays down."""

    question: str = ""
    hints: Hints = NO_HINTS
    unknowns: tuple[str, ...] = ()
    """The unknowns whose values it asks for, in its order: `x` and `y`."""
    tolerance: Tolerance = Tolerance()  # noqa: RUF009 - frozen
    unit: str | None = None
    """The unit it asks for."""
    percent: bool = False
    """It speaks of percent, so a bare number may be meant as one."""
    ordered: bool = False
    """It says that the order of several values matters."""
    base: bool = False
    """It speaks of number bases."""
    renaming: bool = True
    """Whether a parameter may have another name; not where names are all there is to compare."""


Same = Callable[[Value, Value, Terms], bool | None]
"""Whether two values are the same under these terms; None: it can't be told."""


@functools.lru_cache(maxsize=5_000)
def terms_of(question: str) -> Terms:
    """Read what a question lays down for its answer."""
    question = question[-LONGEST_QUESTION:]
    hints = Hints(
        clock=bool(CLOCK.search(question)) and not RATIO.search(question),
        ratio=bool(RATIO.search(question)),
        several=bool(SEVERAL.search(question)),
        direction=direction_asked(question),
    )
    return Terms(
        question=question,
        hints=hints,
        unknowns=_unknowns(question),
        tolerance=tolerance_of(question),
        unit=asked_unit(question),
        percent=bool(PERCENT.search(question)) or not question.strip(),
        ordered=bool(ORDERED.search(question)),
        base=bool(BASE.search(question)) or not question.strip(),
    )


def _unknowns(question: str) -> tuple[str, ...]:
    found: list[str] = []
    for match in UNKNOWNS.finditer(question):
        found += re.findall(r"(?<![A-Za-z])[a-zA-Z](?:_\{?\d\}?)?(?![A-Za-z])", match[1])
    return tuple(dict.fromkeys(re.sub(r"[{}]", "", name) for name in found))
