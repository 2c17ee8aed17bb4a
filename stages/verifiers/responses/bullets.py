"""Values that a response lists a line each: `The roots are`, `- x = 9`, `- x = 4`."""

import itertools
import re
from collections.abc import Sequence

from stages.verifiers.kinds.text import NEGATION

BULLETED = re.compile(
    r"[-*•]\s+[\s$*]{0,4}(?:\\\()?\s?(?P<value>(?:[a-zA-Z](?:_\{?\d\}?)?\s*=\s*)?"
    r"[-−+]?(?:\d|\\(?:frac|sqrt|pi|pm)|√|\()(?:[^=A-Za-z\u4e00-\u9fff]|\\[a-zA-Z]+|[a-z](?![a-z])){0,60}?)"
    r"[\s$*]*(?:\\\))?[.,;]?"
)
LEAD = re.compile(
    r"(?:\b(?:roots?|solutions?|values?|zeros?|answers?|intercepts?|points?)\b[^.。]{0,60}"
    r"|[解根值点案][^。，,]{0,8}?)[\s*:：]*$",
    re.IGNORECASE,
)


def values_listed(lines: Sequence[str]) -> list[str]:
    """The values of the bullets that some lines begin with; none where they are no values."""
    found = [BULLETED.fullmatch(line) for line in lines]
    return [match["value"].strip() for match in itertools.takewhile(bool, found) if match]


def values_in_front(lines: Sequence[str]) -> list[str]:
    """The values of the bullets that an answer begins with, after what calls them its solutions."""
    is_led = lines[:1] and LEAD.search(lines[0][-120:]) and not NEGATION.search(lines[0])
    return values_listed(lines[1:] if is_led else lines)


def solutions_listed(lines: Sequence[str]) -> str | None:
    """The values that a response ends with, where the line in front calls them its solutions."""
    at = len(lines)
    while at > 0 and BULLETED.fullmatch(lines[at - 1]):
        at -= 1
    values = values_listed(lines[at:])
    if at == 0 or not 1 < len(set(values)) == len(values):
        return None
    lead = lines[at - 1]
    return ", ".join(values) if LEAD.search(lead[-120:]) and not NEGATION.search(lead) else None
