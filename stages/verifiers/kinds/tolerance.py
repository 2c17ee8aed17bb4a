"""How near is near enough: from what the question asks for, and from how the numbers are written.

Without a word from the question, a decimal stands for what rounds to it, provided that it has
enough digits to mean something: 6.46 is 84/13, but 0.5 is not 0.46. Nothing is ever compared with
an absolute allowance, except what the question itself allows.
"""

import functools
import re
from dataclasses import dataclass
from typing import Any

import mpmath

from stages.verifiers.formulas.arithmetic import same_number
from stages.verifiers.kinds.values import Literal

PLACES = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "1": 1, "2": 2, "3": 3, "4": 4,
    "5": 5, "6": 6, "一": 1, "两": 2, "二": 2, "三": 3, "四": 4,
}  # fmt: skip
NEAREST = {
    "tenth": 1, "tenths": 1, "hundredth": 2, "hundredths": 2, "thousandth": 3, "thousandths": 3,
    "integer": 0, "whole": 0, "whole number": 0, "unit": 0, "cent": 2, "penny": 2, "degree": 0,
    "ten": -1, "hundred": -2, "thousand": -3, "dollar": 0, "percent": 0, "minute": 0, "meter": 0,
    "foot": 0, "mile": 0, "inch": 0, "year": 0, "kilometer": 0, "second": 0,
}  # fmt: skip
COUNT = r"(one|two|three|four|five|six|[1-6])"
DECIMALS = re.compile(
    rf"{COUNT}[- ]*(?:digits?[- ])?(?:decimals?(?:[- ](?:place|point|digit)s?)?|d\.?p\.?\b"
    rf"|(?:digits?|places?) (?:after|to the right of) the decimal|digit floating)"
    r"|保留([一两二三四1-4])位小数|([一两二三四1-4])位小数",
    re.IGNORECASE,
)
NEAREST_WORD = re.compile(
    rf"nearest\s+(?:\\?\$)?({'|'.join(sorted(NEAREST, key=len, reverse=True))})\b", re.IGNORECASE
)
NEAREST_NUMBER = re.compile(
    r"(?:nearest|accurate to|correct to|precision of|精确到)\s*\$?(0?\.0*1"
    r"|1)\b(?!\s*(?:decimal|significant|d))",
    re.IGNORECASE,
)
SIGNIFICANT = re.compile(
    rf"{COUNT}[- ]*(?:significant|sig\.?)[- ]*(?:figures?|digits?|figs?)"
    rf"|([一两二三四1-6])位有效数字",
    re.IGNORECASE,
)
RELATIVE = re.compile(
    r"(?:within|tolerance of|error of|误差(?:不超过|小于|在)?|accurate to within|\\pm|±|up to)\s*"
    r"(?:an? )?(?:relative )?(?:error )?(?:tolerance )?(?:of )?(?:\\pm"
    r"|±)?\s*(\d+(?:\.\d+)?)\s*\\?\$?\s*(?:%|percent|\\%)",
    re.IGNORECASE,
)
ABSOLUTE = re.compile(
    r"(?:within|tolerance of|error of|accurate to within|误差(?:不超过|小于)?"
    r"|plus or minus|\\pm|±)\s*"
    r"(?:an? )?(?:absolute )?(?:error )?(?:tolerance )?(?:of )?(?:\\pm|±)?\s*\$?(0?\.\d+"
    r"|\d+(?:\.\d+)?)\b(?!\s*\\?\$?\s*(?:%|percent|\\%))",
    re.IGNORECASE,
)
MEANINGFUL = 3
"""Significant digits from which a decimal gold answer stands for whatever rounds to it."""
ENOUGH = 4
"""Significant digits with which a decimal answer may stand for an exact gold answer."""
COMPUTED = 8
"""A gold answer with so many digits came out of a computer, and may be written with fewer."""
FLOAT = mpmath.mpf(10) ** -9
NOISY = 13
"""Significant digits from which the last ones of a decimal may be a float's rounding."""
NOISE = mpmath.mpf(10) ** -13
SLACK = 1 + mpmath.mpf(10) ** -9


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a question says of precision; None: nothing."""

    relative: float | None = None
    absolute: float | None = None
    decimals: int | None = None
    significant: int | None = None


@functools.lru_cache(maxsize=10_000)
def tolerance_of(question: str) -> Tolerance:
    """Read what a question says about how precise its answer is to be."""
    relative = absolute = None
    decimals = significant = None
    if match := RELATIVE.search(question):
        relative = float(match[1]) / 100
    elif (match := ABSOLUTE.search(question)) and re.search(
        r"toleran|error|误差|accura|answer|round|approx", question, re.IGNORECASE
    ):
        absolute = float(match[1])
    if match := SIGNIFICANT.search(question):
        significant = PLACES[(match[1] or match[2]).lower()]
    elif match := DECIMALS.search(question):
        decimals = PLACES[(match[1] or match[2] or match[3]).lower()]
    elif match := NEAREST_WORD.search(question):
        decimals = NEAREST[match[1].lower()]
    elif match := NEAREST_NUMBER.search(question):
        decimals = len(match[1].partition(".")[2])
    return Tolerance(relative, absolute, decimals, significant)


def near(
    gold: Any, gold_literal: Literal | None, answer: Any, literal: Literal | None, asked: Tolerance
) -> bool:
    """Whether an answer's number is the gold one, as precisely as anybody asked.

    Args:
        gold: the gold number.
        gold_literal: how it was written; None: as a formula.
        answer: the answer's number.
        literal: how it was written; None: as a formula.
        asked: what the question says.
    """
    if gold == answer:
        return True
    if mpmath.isinf(gold) or mpmath.isinf(answer) or mpmath.im(gold) or mpmath.im(answer):
        return same_number(gold, answer)
    distance = abs(gold - answer)
    allowed = asked.absolute or 0
    if asked.relative is not None:
        allowed = max(allowed, asked.relative * abs(gold))
    if asked.decimals is not None:
        allowed = max(allowed, _half(asked.decimals))
    if asked.significant is not None and gold != 0:
        size = int(mpmath.floor(mpmath.log10(abs(gold)))) + 1
        allowed = max(allowed, _half(asked.significant - size))
    if allowed and gold != 0:
        # However large the allowance, it is no leave to answer something else altogether.
        return bool(distance <= allowed * SLACK) and (gold > 0) == (answer > 0)
    if allowed:
        return bool(distance <= allowed * SLACK)
    return gold != 0 and _as_written(gold, gold_literal, answer, literal)


def _half(decimals: int) -> Any:
    return mpmath.mpf(10) ** -decimals / 2


def _as_written(
    gold: Any, gold_literal: Literal | None, answer: Any, literal: Literal | None
) -> bool:
    distance = abs(gold - answer)
    if gold_literal is None and literal is None:
        return same_number(gold, answer)
    if (gold_literal is None or gold_literal.exact) and (literal is None or literal.exact):
        return same_number(gold, answer)
    if gold_literal is not None and literal is not None:
        # Of two decimals only one that a computer wrote out may end in noise.
        noisy = max(gold_literal.significant, literal.significant) >= NOISY
        if same_number(gold, answer, NOISE if noisy else None):
            return True
    elif same_number(gold, answer, FLOAT):
        return True
    if gold_literal is not None and not gold_literal.exact:
        if gold_literal.significant >= COMPUTED and literal is not None and not literal.exact:
            return literal.significant >= ENOUGH and bool(
                distance <= _half(literal.decimals) * SLACK
            )
        if literal is None:
            meaningful = gold_literal.significant >= 2 and (
                gold_literal.decimals >= 2 or gold_literal.significant >= MEANINGFUL
            )
        else:
            meaningful = (
                gold_literal.significant >= MEANINGFUL and literal.decimals > gold_literal.decimals
            )
        return meaningful and bool(distance <= _half(gold_literal.decimals) * SLACK)
    if gold_literal is None and literal is not None and not literal.exact:
        return literal.significant >= ENOUGH and bool(distance <= _half(literal.decimals) * SLACK)
    return False
