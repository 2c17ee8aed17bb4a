"""What a question lays down for its answer: unit, precision, order, form."""

import functools
import re
from dataclasses import dataclass

from stages.verifiers.reading import Hints
from stages.verifiers.tolerance import Tolerance, tolerance_of
from stages.verifiers.units import asked_unit

CLOCK = re.compile(
    r"\bwhat time\b|\bwhen\b|o'clock|\bclock\b|arriv|depart|几点|什么时(?:候|间|刻)", re.IGNORECASE
)
RATIO = re.compile(r"\bratio\b|proportion|\bodds\b|:\s*\?|之比|比例|比值|比为", re.IGNORECASE)
PERCENT = re.compile(r"percent|per cent|%|百分", re.IGNORECASE)
ORDERED = re.compile(
    r"in (?:this|that|the (?:given|same|following)) order|respectively|分别|依次",
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
LONGEST_QUESTION = 6000


@dataclass(frozen=True, slots=True)
class Terms:
    """What a question lays down."""

    question: str = ""
    hints: Hints = Hints()  # noqa: RUF009 - frozen
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


@functools.lru_cache(maxsize=5_000)
def terms_of(question: str) -> Terms:
    """Read what a question lays down for its answer."""
    question = question[-LONGEST_QUESTION:]
    hints = Hints(
        clock=bool(CLOCK.search(question)) and not RATIO.search(question),
        ratio=bool(RATIO.search(question)),
        several=bool(SEVERAL.search(question)),
    )
    return Terms(
        question=question,
        hints=hints,
        tolerance=tolerance_of(question),
        unit=asked_unit(question),
        percent=bool(PERCENT.search(question)) or not question.strip(),
        ordered=bool(ORDERED.search(question)),
        base=bool(BASE.search(question)) or not question.strip(),
    )
